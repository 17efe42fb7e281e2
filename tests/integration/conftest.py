"""What integration tests share: the real tools tree and the real engine, as the image has it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.archive import host_archive
from llmos_image.build import Ground
from llmos_image.local import engine_command, ground_of
from llmos_image.places import SOURCE, spec_path
from llmos_image.run import Log
from llmos_image.spec import load
from tests.integration.engine_process import Launcher, llama_launcher


@pytest.fixture(scope="session")
def ground() -> Ground:
    """Tools tree, llama wheel and runtime layer; from the cache, or made (needs a network)."""
    return ground_of(load(spec_path("vm")).with_archive(host_archive()))[0]


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the real engine can use: put sockets and models below it."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def real_engine_command(ground: Ground, engine_folder: Path) -> Iterator[list[str]]:
    """The command line of the real ``llmos-engine``: the target's Python, libggml and wheel.

    It sees ``engine_folder`` and the checkout's ``image/model`` at their own paths.
    """
    binds = [engine_folder, SOURCE / "image" / "model"]
    with engine_command(ground, SOURCE, binds=binds, log=Log(engine_folder / "code.log")) as argv:
        yield argv


@pytest.fixture
def echo(tmp_path: Path) -> Launcher:
    """The service with the back end that says what it was told."""
    # The echo is fast: only a large context makes its answers last.
    options = ["--backend", "echo", "--context", "4000000"]
    return Launcher([sys.executable, "-m", "llmos_engine.main", *options], tmp_path, "echo")


@pytest.fixture
def llama(real_engine_command: list[str], engine_folder: Path) -> Launcher:
    """The service with llama.cpp."""
    return llama_launcher(real_engine_command, engine_folder)


@pytest.fixture(params=["echo", "llama"])
def engine(request: pytest.FixtureRequest) -> Launcher:
    """The service with each of them."""
    launcher: Launcher = request.getfixturevalue(request.param)
    return launcher
