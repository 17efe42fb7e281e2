"""What the tests of the shell share: a session with a real bash and an engine that is not there."""

from pathlib import Path

import pytest

from llmos_shell.engine import EngineLink
from llmos_shell.history import History
from llmos_shell.runner import Runner
from llmos_shell.session import Session
from llmos_shell.settings import Settings
from llmos_shell.state import ShellState
from tests.unit.shell.fake_engine import FakeEngine


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
