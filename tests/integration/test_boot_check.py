"""``llmos-boot-check`` as its unit starts it, against engines that really run."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmos_image.places import SOURCE
from tests.integration.engine_process import Launcher, llama_launcher

pytestmark = pytest.mark.integration

BUILT_IN = SOURCE / "image/model/llmos-plan-v0.gguf"


def boot_check(socket: Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    options = ["--seconds", str(seconds), "--models", str(socket.parent / "models")]
    return subprocess.run(
        [sys.executable, "-m", "llmos_ctl.boot_check", "--socket", socket, *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def echo(tmp_path: Path) -> Launcher:
    command = [sys.executable, "-m", "llmos_engine.main", "--backend", "echo"]
    return Launcher(command, tmp_path, "echo")


async def test_the_built_in_model_passes(
    real_engine_command: list[str], engine_folder: Path
) -> None:
    launcher = llama_launcher(real_engine_command, engine_folder, context=2048)
    async with launcher.running(model=False) as service:
        (service.models / "default.gguf").write_bytes(BUILT_IN.read_bytes())
        done = boot_check(service.socket)
    assert done.stdout == "llmos-boot-check: default has answered\n", done.stderr


async def test_an_engine_that_constrains_answers_passes(echo: Launcher) -> None:
    async with echo.running() as service:
        assert boot_check(service.socket).returncode == 0


async def test_a_model_that_cannot_be_loaded_does_not_pass(echo: Launcher) -> None:
    async with echo.running(model=False) as service:
        (service.models / "default.gguf").write_bytes(b"GGUF but no more")
        done = boot_check(service.socket, seconds=5)
    assert done.returncode == 1
    assert "default.gguf" in done.stderr
    assert "Traceback" not in done.stderr


async def test_an_image_without_a_model_has_nothing_to_ask(echo: Launcher) -> None:
    async with echo.running(model=False) as service:
        assert "no model that could be asked" in boot_check(service.socket).stdout


def test_no_engine_does_not_pass(tmp_path: Path) -> None:
    done = boot_check(tmp_path / "no.sock", seconds=1)
    assert done.returncode == 1
    assert done.stderr.startswith("llmos-boot-check: the engine does not answer on")
