"""One session without its screen: what a line means, what is proposed, what runs."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from llmos_shell.engine import EngineLink
from llmos_shell.errors import SettingsError
from llmos_shell.explain import because, explain
from llmos_shell.history import History, history_file
from llmos_shell.plan import make_plan
from llmos_shell.policy import Context, Policy, Verdict
from llmos_shell.route import Route, route
from llmos_shell.runner import Runner
from llmos_shell.settings import Settings, load, settings_files
from llmos_shell.state import ShellState


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with everything that a person needs to decide."""

    request: str
    say: str
    command: str
    verdict: Verdict

    @property
    def does(self) -> str:
        """What the command does, by the rules and not by the model."""
        return explain(self.verdict)

    @property
    def because(self) -> str:
        """Why its risk is what it is, where that is not plain."""
        return because(self.verdict)


class Session:
    """Ties the parts together; the screen above only shows and asks."""

    def __init__(
        self,
        *,
        runner: Runner,
        link: EngineLink,
        policy: Policy,
        history: History,
        settings: Settings,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.runner = runner
        self.link = link
        self.policy = policy
        self.history = history
        self.settings = settings
        self.notes = notes
        """What the person should know at the start."""

    @classmethod
    def of_the_system(cls, env: Mapping[str, str] | None = None) -> "Session":
        """Make the session of a real login."""
        env = os.environ if env is None else env
        notes: tuple[str, ...] = ()
        try:
            settings = load(settings_files(env))
        except SettingsError as error:
            settings, notes = Settings(), (f"Settings are ignored: {error.what}",)
        return cls(
            runner=Runner(ShellState.first(env)),
            link=EngineLink(),
            policy=Policy(),
            history=History(history_file(env)),
            settings=settings,
            notes=notes,
        )

    async def warm_up(self) -> None:
        """Load what the first line will need, while the person still reads and types."""
        await asyncio.to_thread(self.policy.judge, "true", Context())
        await self.runner.prime()
        await self.link.warm_up()

    def route(self, line: str) -> Route:
        """Decide what a line is, as things stand."""
        return route(line, self.runner.state.lookup)

    async def propose(self, request: str) -> Proposal:
        """Turn a request into a proposal; raises :class:`~llmos_shell.errors.NoPlan`."""
        await self.link.warm_up()
        plan = await make_plan(request, self.link, self.policy, self.runner.state.lookup.is_program)
        return Proposal(request, plan.say, plan.command, self.judge(plan.command))

    def judge(self, command: str) -> Verdict:
        """Judge a command as it would run now."""
        state = self.runner.state
        return self.policy.judge(command, Context(str(state.cwd), state.home, state.names))
