"""What the tests of the shell share: a session with a real bash and an engine that is not there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from llmos_api import (
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    EngineError,
    EngineUnavailable,
    FinishReason,
    Health,
    HealthStatus,
    Model,
    Usage,
)
from llmos_shell.engine import EngineLink
from llmos_shell.history import History
from llmos_shell.runner import Runner
from llmos_shell.session import Session
from llmos_shell.settings import Settings
from llmos_shell.state import ShellState


@dataclass
class FakeEngine:
    """Answers from a table, or with an error; remembers what it was asked."""

    answers: dict[str, str] = field(default_factory=dict)
    health_answer: Health = field(default_factory=lambda: Health(HealthStatus.OK, "fake"))
    meta: Mapping[str, str] = field(default_factory=dict)
    error: EngineError | None = None
    asked: list[ChatRequest] = field(default_factory=list)
    before_answer: Callable[[], object] | None = None

    def plan(self, request: str, command: str, say: str = "As you wish") -> None:
        """Let ``request`` be answered by a plan."""
        self.answers[request] = json.dumps({"say": say, "command": command})

    def stop(self) -> None:
        """Be gone."""
        self.error = EngineUnavailable(Path("/run/llmos/engine.sock"), "Connection refused")

    def __call__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def health(self) -> Health:
        self._check()
        return self.health_answer

    async def models(self) -> list[Model]:
        self._check()
        return [Model("fake", 0, "tests", dict(self.meta))]

    async def chat(self, request: ChatRequest) -> ChatCompletion:
        self.asked.append(request)
        if self.before_answer is not None:
            self.before_answer()
        self._check()
        text = self.answers.get(request.messages[-1].text, '{"say": "", "command": ""}')
        choice = Choice(0, ChatMessage.assistant(text), FinishReason.STOP)
        return ChatCompletion("1", 0, "fake", (choice,), Usage(1, 1, 2))

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that is ready and knows nothing."""
    return FakeEngine()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of a person who has just been given one."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def state(home: Path) -> ShellState:
    """The state of a fresh session in that home."""
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "xterm", "LANG": "C.UTF-8"}
    return ShellState(home, env)


@pytest.fixture
def runner(state: ShellState) -> Runner:
    """A runner with a real bash."""
    return Runner(state)


@pytest.fixture
def session(engine: FakeEngine, runner: Runner, home: Path) -> Session:
    """A session whose engine is fake and whose commands are real."""
    return Session(
        runner=runner,
        link=EngineLink(engine),
        history=History(home / "history"),
        settings=Settings(),
    )
