"""One turn: a line, and everything that comes of it until the prompt is free again."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from llmos_shell.engine import Condition
from llmos_shell.errors import NoPlan, RunnerError
from llmos_shell.pseudoterminal import TerminalSize
from llmos_shell.runner import Outcome
from llmos_shell.session import Proposal, Session
from llmos_shell.widgets.block import Block
from llmos_shell.widgets.prompt import Mode

STILL_LOADING: Final = "The model is still loading: this takes a moment longer."
NOTHING_TO_RUN: Final = "There is nothing to run for that."
NO_PROGRAM: Final = "There is no program called {} here."
SCREENFUL: Final = "This program wants the whole screen: Ctrl-C, then start it with !! before it."


class Stage(Protocol):
    """What a turn needs of the screen."""

    frames: int
    """Pictures a second."""

    def switch(self, mode: Mode) -> None:
        """Turn the prompt to another purpose."""

    def output_size(self) -> TerminalSize:
        """Return how much room the output of a command has."""

    def hide_input(self, hidden: bool) -> None:
        """Show what is typed, or do not."""

    def give_terminal(self, run: Callable[[], Outcome]) -> Outcome:
        """Leave the terminal to ``run`` and come back."""


class Turn:
    """Asks, proposes, waits for consent, runs."""

    def __init__(self, session: Session, block: Block, stage: Stage) -> None:
        self._session = session
        self._block = block
        self._stage = stage
        self.proposal: Proposal | None = None
        """What waits for consent."""

    async def ask(self, request: str, missing: str = "") -> None:
        """Get a plan, and put the question.

        ``missing`` is a program that the person may have meant and that is not here.
        """
        await self._block.show_request(request)
        self._stage.switch(Mode.THINKING)
        if self._session.link.state.condition is Condition.LOADING:
            await self._block.say(STILL_LOADING)
        try:
            proposal = await self._session.propose(request)
        except NoPlan as problem:
            await self._block.show_problem(problem)
        except asyncio.CancelledError:
            await self._block.say("Never mind.")
            raise
        else:
            await self._put(proposal)
            if proposal.command:
                missing = ""
        finally:
            if self.proposal is None:
                self._stage.switch(Mode.READY)
        if missing:
            await self._block.say(NO_PROGRAM.format(missing))

    async def _put(self, proposal: Proposal) -> None:
        if not proposal.command:
            await self._block.say(proposal.say or NOTHING_TO_RUN, kind="say")
            return
        await self._block.show_proposal(proposal)
        if proposal.risk.runs_on_enter and self._session.settings.auto_run_read_only:
            await self._block.settle()
            await self.run(proposal.command)
        else:
            self.proposal = proposal
            self._stage.switch(Mode.CONFIRM)

    async def refuse(self, text: str = "Not run.") -> None:
        """Take the question back; returns the prompt."""
        self.proposal = None
        await self._block.settle(text)
        self._stage.switch(Mode.READY)

    async def agree(self) -> None:
        """Run what was proposed."""
        proposal, self.proposal = self.proposal, None
        if proposal is not None:
            self._stage.switch(Mode.RUNNING)
            await self._block.settle()
            await self.run(proposal.command)

    async def run_typed(self, command: str, *, whole_terminal: bool) -> None:
        """Run a command that the person typed."""
        await self._block.show_command(command)
        await self.run(command, whole_terminal=whole_terminal)

    async def run(self, command: str, *, whole_terminal: bool = False) -> None:
        """Run a command to its end, and show how it ended."""
        self._stage.switch(Mode.RUNNING)
        try:
            if whole_terminal or self._session.needs_terminal(command):
                runner = self._session.runner
                outcome = self._stage.give_terminal(lambda: runner.run_on_terminal(command))
            else:
                outcome = await self._in_block(command)
        except RunnerError as problem:
            await self._block.show_problem(problem)
        else:
            await self._block.show_outcome(outcome)
        finally:
            self._stage.switch(Mode.READY)

    async def _in_block(self, command: str) -> Outcome:
        output = await self._block.begin_output()
        runner = self._session.runner
        size = self._stage.output_size()
        shown: list[bool] = []

        async def keep_showing() -> None:
            while True:
                await asyncio.sleep(1 / self._stage.frames)
                output.show()
                self._stage.hide_input(runner.hides_input)
                if output.paper.wants_screen and not shown:
                    shown.append(True)
                    await self._block.say(SCREENFUL)

        showing = asyncio.create_task(keep_showing())
        try:
            return await runner.run(command, size, output.take)
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing
            output.show()
