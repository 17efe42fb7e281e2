"""One session without its screen: what a line means, what is proposed, what runs."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmos_shell.engine import EngineLink
from llmos_shell.errors import SettingsError
from llmos_shell.history import History, history_file
from llmos_shell.route import Route, route
from llmos_shell.runner import Runner
from llmos_shell.settings import Settings, load, settings_files
from llmos_shell.state import ShellState

if TYPE_CHECKING:  # the prompt does not wait for these: loading them takes a while
    from llmos_shell.policy import Policy, Risk, Verdict

NOTICES: Final = Path("/run/llmos/notices")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with everything that a person needs to decide."""

    request: str
    say: str
    command: str
    risk: "Risk"
    does: str
    """What the command does, by the rules and not by the model."""
    because: str
    """Why its risk is what it is, where that is not plain."""


class Session:
    """Ties the parts together; the screen above only shows and asks."""

    def __init__(
        self,
        *,
        runner: Runner,
        link: EngineLink,
        history: History,
        settings: Settings,
        policy: "Policy | None" = None,
        notes: tuple[str, ...] = (),
        notices: Path | None = None,
    ) -> None:
        self.runner = runner
        self.link = link
        self._policy = policy
        self.history = history
        self.settings = settings
        self.notes = notes
        self.is_warm = False
        """Whether all that the first line needs is loaded."""
        """What the person should know at the start."""
        self._notices = notices

    @classmethod
    def of_the_system(
        cls, env: Mapping[str, str] | None = None, notices: Path = NOTICES
    ) -> "Session":
        """Make the session of a real login; ``notices`` is where the machine's notices are."""
        env = os.environ if env is None else env
        notes = _notes_of_the_machine(notices)
        try:
            settings = load(settings_files(env))
        except SettingsError as error:
            settings, notes = Settings(), (*notes, f"Settings are ignored: {error.what}")
        return cls(
            runner=Runner(ShellState.first(env)),
            link=EngineLink(),
            history=History(history_file(env)),
            settings=settings,
            notes=notes,
            notices=notices,
        )

    def new_notes(self) -> tuple[str, ...]:
        """What services have had to say since; some of them are slower than the prompt."""
        if self._notices is None:
            return ()
        new = tuple(note for note in _notes_of_the_machine(self._notices) if note not in self.notes)
        self.notes += new
        return new

    @property
    def policy(self) -> "Policy":
        """The policy; its grammar and its rules are read when they are first needed."""
        if self._policy is None:
            from llmos_shell.policy import Policy  # noqa: PLC0415 - slow to load

            self._policy = Policy()
        return self._policy

    async def warm_up(self) -> None:
        """Load what the first line will need, while the person still reads and types."""
        await asyncio.to_thread(self.judge, "true")
        await self.runner.prime()
        await self.link.warm_up()
        self.is_warm = True

    def route(self, line: str) -> Route:
        """Decide what a line is, as things stand."""
        return route(line, self.runner.state.lookup)

    async def propose(self, request: str) -> Proposal:
        """Turn a request into a proposal; raises :class:`~llmos_shell.errors.NoPlan`."""
        from llmos_shell.explain import because, explain  # noqa: PLC0415 - slow to load
        from llmos_shell.plan import make_plan  # noqa: PLC0415

        await self.link.warm_up()
        known = self.runner.state.lookup.is_program
        plan = await make_plan(request, self.link, self.policy, known)
        verdict = self.judge(plan.command)
        return Proposal(
            request=request,
            say=plan.say,
            command=plan.command,
            risk=verdict.risk,
            does=explain(verdict),
            because=because(verdict),
        )

    def judge(self, command: str) -> "Verdict":
        """Judge a command as it would run now."""
        from llmos_shell.policy import Context  # noqa: PLC0415 - slow to load

        state = self.runner.state
        return self.policy.judge(command, Context(str(state.cwd), state.home, state.names))

    def needs_terminal(self, command: str) -> bool:
        """Whether a command draws on the whole terminal."""
        from llmos_shell.fullscreen import needs_terminal  # noqa: PLC0415 - slow to load

        return needs_terminal(command)


def _notes_of_the_machine(folder: Path) -> tuple[str, ...]:
    # Mostly there are none, and then the prompt need not wait for the reader to be loaded.
    if not folder.is_dir():
        return ()
    from llmos_api.notices import read_notices  # noqa: PLC0415 - slow to load

    return read_notices(folder)
