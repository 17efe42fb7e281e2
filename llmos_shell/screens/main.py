"""The main screen: the conversation above, the prompt and the status bar below."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from llmos_shell.complete import complete
from llmos_shell.keys import BANNER
from llmos_shell.pseudoterminal import TerminalSize
from llmos_shell.route import Kind, Route
from llmos_shell.runner import Outcome
from llmos_shell.screens.help import HelpScreen
from llmos_shell.session import Session
from llmos_shell.terminal import Terminal
from llmos_shell.turn import Turn
from llmos_shell.widgets.block import Block
from llmos_shell.widgets.prompt import Line, Mode, Prompt
from llmos_shell.widgets.status import StatusBar

if TYPE_CHECKING:
    from textual.worker import Worker

MAX_BLOCKS: Final = 40
"""Older pieces of the conversation go: memory has an end."""
NOTHING_OPEN: Final = "No question is open. To run the program of that name, type !{}"
QUICK: Final = 0.5
"""A program that had the terminal for less seconds than this may have left a message there."""
ERASE: Final = b"\x1b[2J"
REFUSALS: Final = frozenset({"n", "no", "y", "yes"})


class MainScreen(Screen[None]):
    """Shows a :class:`~llmos_shell.session.Session` and asks the person."""

    class Listening(Message):
        """The line has the keyboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", show=False),
        Binding("f10", "leave", show=False),
    ]

    def __init__(self, session: Session, terminal: Terminal) -> None:
        super().__init__()
        self.session = session
        self.terminal = terminal
        self.frames = terminal.frames
        self._turn: Turn | None = None
        self._work: Worker[None] | None = None
        self._look_again = asyncio.Event()

    # What there is to see

    def compose(self) -> ComposeResult:
        """Lay out the conversation, the prompt and the status bar."""
        with VerticalScroll(id="log", can_focus=False):
            yield Static(BANNER, classes="banner", markup=False)
            for note in self.session.notes:
                yield Static(note, classes="problem", markup=False)
        yield Prompt()
        yield StatusBar()

    def on_mount(self) -> None:
        """Show the prompt at once; everything slow comes after the first picture."""
        self.log_view.anchor()
        self.switch(Mode.READY)
        self.status.show_engine(self.session.link.state)
        self.call_after_refresh(self._begin_to_accompany)

    @property
    def log_view(self) -> VerticalScroll:
        """The conversation."""
        return self.query_one("#log", VerticalScroll)

    @property
    def prompt(self) -> Prompt:
        """The prompt."""
        return self.query_one(Prompt)

    @property
    def status(self) -> StatusBar:
        """The status bar."""
        return self.query_one(StatusBar)

    def _begin_to_accompany(self) -> None:
        # Not the coroutine itself: a session that is left at once would never await it.
        _: Worker[None] = self.run_worker(self._accompany, group="background")

    async def _accompany(self) -> None:
        """Load what will be needed, then keep an eye on the engine."""
        await self.session.warm_up()
        # A session that is left is taken down piece by piece, and this may still run.
        with contextlib.suppress(NoMatches):
            self.switch(self.prompt.mode)
            await self._watch_engine()

    async def _watch_engine(self) -> None:
        while True:
            for note in self.session.new_notes():
                await self.log_view.mount(Static(note, classes="problem", markup=False))
            state = await self.session.link.look()
            self.status.show_engine(state)
            self._look_again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(state.condition.next_look):
                    await self._look_again.wait()

    # What a turn needs

    def switch(self, mode: Mode) -> None:
        """Turn the prompt to another purpose."""
        self.prompt.switch(mode, self.session.runner.state.place)
        self._show_hint()
        self.call_after_refresh(self._place_cursor)
        if mode is not Mode.RUNNING:
            self._look_again.set()

    def _place_cursor(self) -> None:
        """Let the terminal's own cursor follow when the prompt moves and nobody types."""
        self.app.cursor_position = self.prompt.line.cursor_screen_offset
        self.prompt.line.refresh()

    def output_size(self) -> TerminalSize:
        """Return how much room the output of a command has."""
        room = self.log_view.scrollable_content_region
        return TerminalSize(room.width or 80, self.size.height or 24)

    def hide_input(self, hidden: bool) -> None:
        """Show what is typed, or do not: a password."""
        if self.prompt.line.password is not hidden:
            self.prompt.line.password = hidden
            self._show_hint()

    def give_terminal(self, run: Callable[[], Outcome]) -> Outcome:
        """Leave the terminal to ``run`` and come back."""
        with self.app.suspend():
            if not self.terminal.rich:  # no alternate screen: the session is still to be seen
                os.write(1, ERASE + b"\x1b[H")
            outcome = run()
            if outcome.status or outcome.seconds < QUICK:
                os.write(1, f"\r\n[{outcome.text}] Enter: back to the session ".encode())
                with contextlib.suppress(OSError):
                    os.read(0, 1024)
        return outcome

    # What the person does

    def on_descendant_focus(self) -> None:
        """Say that typed keys have somewhere to go."""
        self.post_message(self.Listening())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say where the line would go."""
        event.stop()
        self._show_hint()

    def on_resize(self, _: Resize) -> None:
        """Pass a new size on to the running command."""
        self.session.runner.resize(self.output_size())

    def _show_hint(self) -> None:
        match self.prompt.mode:
            case Mode.READY:
                hint = self.session.route(self.prompt.text).kind.hint
            case Mode.THINKING:
                hint = "Ctrl-C: never mind"
            case Mode.CONFIRM:
                proposal = self._turn.proposal if self._turn else None
                hint = proposal.risk.invitation if proposal else ""
            case Mode.RUNNING:
                hidden = self.prompt.line.password
                hint = "what you type is hidden" if hidden else "Ctrl-C: stop"
        self.status.show_hint(hint)

    async def action_enter(self) -> None:
        """Take the line, for whatever it is meant."""
        self.log_view.anchor()
        match self.prompt.mode:
            case Mode.READY:
                await self._submit(self.prompt.take_text())
            case Mode.CONFIRM:
                await self._answer(self.prompt.take_text())
            case Mode.RUNNING:
                self.session.runner.send(self.prompt.take_text().encode() + b"\n")
            case Mode.THINKING:
                pass  # what is typed ahead stays where it is

    async def _submit(self, line: str) -> None:
        route = self.session.route(line)
        if route.kind is Kind.NOTHING:
            return
        self.session.history.add(line)
        if route.kind is Kind.LEAVE:
            self.action_leave()
        elif line.strip() == "clear":
            await self.action_clear()
        elif line.strip() == "help":
            self.action_help()
        else:
            await self._take_turn(route)

    async def _take_turn(self, route: Route) -> None:
        block = await self._new_block()
        turn = self._turn = Turn(self.session, block, self)
        match route.kind:
            case Kind.STRAY:
                await block.say(NOTHING_OPEN.format(route.text))
                return
            case Kind.REQUEST:
                self.switch(Mode.THINKING)
                work = turn.ask(route.text, route.missing)
            case _:
                self.switch(Mode.RUNNING)
                work = turn.run_typed(route.text, whole_terminal=route.whole_terminal)
        self._work = self.run_worker(work, group="turn")

    async def _new_block(self) -> Block:
        """Begin a piece of the conversation, and let the oldest go."""
        log = self.log_view
        blocks = log.query(Block)
        if len(blocks) >= MAX_BLOCKS:
            await blocks.first().remove()
        block = Block(rich_colours=self.terminal.rich)
        await log.mount(block)
        return block

    async def _answer(self, answer: str) -> None:
        turn = self._turn
        if turn is None or turn.proposal is None:
            self.switch(Mode.READY)
        elif turn.proposal.risk.consents(answer):
            self.switch(Mode.RUNNING)
            self._work = self.run_worker(turn.agree(), group="turn")
        elif answer.strip():
            await turn.refuse()
            if answer.strip().lower() not in REFUSALS:  # a new line, typed without an answer
                self.prompt.set_text(answer)

    async def on_line_edit_wanted(self, event: Line.EditWanted) -> None:
        """Put the proposed command at the prompt."""
        event.stop()
        turn = self._turn
        if turn is not None and turn.proposal is not None:
            command = turn.proposal.command
            await turn.refuse("Edit it, then Enter.")
            self.prompt.set_text(f"!{command}")

    async def action_stop(self) -> None:
        """Ctrl-C: stop what goes on; at a free prompt, drop the line."""
        match self.prompt.mode:
            case Mode.RUNNING:
                self.session.runner.interrupt()
            case Mode.THINKING:
                if self._work is not None:
                    self._work.cancel()
            case Mode.CONFIRM:
                await self.action_cancel()
            case Mode.READY:
                self.prompt.take_text()

    async def action_cancel(self) -> None:
        """Esc: do not run what is proposed."""
        if self.prompt.mode is Mode.CONFIRM and self._turn is not None:
            await self._turn.refuse()

    def action_end_of_input(self) -> None:
        """Ctrl-D: end the input of a command; at a free and empty prompt, leave."""
        if self.prompt.text:
            self.prompt.line.action_delete_right()
        elif self.prompt.mode is Mode.RUNNING:
            self.session.runner.send(b"\x04")
        elif self.prompt.mode is Mode.READY:
            self.action_leave()

    def action_older(self) -> None:
        """Up: the line before."""
        if self.prompt.mode is Mode.READY:
            self._recall(self.session.history.older(self.prompt.text))

    def action_newer(self) -> None:
        """Down: the line after."""
        if self.prompt.mode is Mode.READY:
            self._recall(self.session.history.newer())

    def _recall(self, line: str | None) -> None:
        if line is not None:
            self.prompt.set_text(line)

    def action_complete(self) -> None:
        """Tab: complete the word before the cursor."""
        if self.prompt.mode is not Mode.READY:
            return
        line = self.prompt.line
        before, after = line.value[: line.cursor_position], line.value[line.cursor_position :]
        completion = complete(before, self.session.runner.state.lookup)
        if completion.text != before:
            line.value = completion.text + after
            line.cursor_position = len(completion.text)
        elif completion.candidates:
            names = [c.rstrip("/").rpartition("/")[2] for c in completion.candidates]
            self.status.show_hint("  ".join(names))

    async def action_clear(self) -> None:
        """Ctrl-L: begin with an empty screen, and draw all of it: others may have written there."""
        if self.prompt.mode is Mode.READY:
            await self.log_view.remove_children()
        os.write(1, ERASE)
        self.refresh(layout=True)

    def action_page(self, pages: int) -> None:
        """PgUp and PgDn: scroll the conversation."""
        log = self.log_view
        log.release_anchor()
        log.scroll_relative(y=pages * max(1, log.size.height - 2), animate=False)

    def action_help(self) -> None:
        """F1: the help."""
        self.app.push_screen(HelpScreen())

    def action_leave(self) -> None:
        """F10: end the session, and hang up on what still runs."""
        self.session.runner.hang_up()
        self.app.exit()
