"""The product's engine and shell on this machine, without a virtual machine.

The engine runs as in the image: the target's Python, libraries and wheel, in a sandbox; only
its folder and its models are this machine's.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from llmos_image import payload
from llmos_image.archive import host_archive
from llmos_image.build import GROUND_PHASES, Ground, prepare
from llmos_image.cache import Cache, default_root
from llmos_image.errors import BuildFailed, SpecError
from llmos_image.places import SOURCE, spec_path
from llmos_image.progress import reporter
from llmos_image.run import Log
from llmos_image.runtime import build_wheel, install_code
from llmos_image.spec import ImageSpec, load, missing_files

_START_SECONDS = 30.0
_SAMPLES = {
    "Documents/notes.txt": "Buy milk.\nCall Ada about the engine.\n",
    "Documents/report.txt": "The quarterly report.\n",
    "Pictures/about.txt": "No pictures yet.\n",
}


@contextlib.contextmanager
def engine_command(
    ground: Ground, source: Path, *, binds: Sequence[Path], log: Log
) -> Iterator[list[str]]:
    """The command line of the product's ``llmos-engine`` with the code of ``source``.

    ``binds`` are the folders that it may use.
    """
    with tempfile.TemporaryDirectory(prefix="llmos-code-") as name:
        work = Path(name)
        code = work / "code"
        code.mkdir()
        install_code(ground.runtime, build_wheel(source, work / "wheel", log), code, work, log)
        yield ground.runtime.argv(
            ["/usr/lib/llmos/bin/llmos-engine"], code=code, binds=[code, *binds]
        )


def ground_of(spec: ImageSpec) -> tuple[Ground, Log]:
    """What the engine runs on, made when the cache has none."""
    cache = Cache(default_root())
    report = reporter(GROUND_PHASES)
    log = Log(cache.root / "logs" / "try.log", on_line=report.detail)
    return prepare(spec, cache, report, log), log


@click.command("try")
@click.argument("spec", default="vm")
def try_command(spec: str) -> None:
    """Run the engine and the shell here, with the models of SPEC, and keep nothing.

    The shell starts in a private folder that is gone afterwards; commands that you confirm
    are real commands on this machine.

    \b
    Example:
      llmos-image try
    """
    path = spec_path(spec)
    loaded = load(path).with_archive(host_archive())
    if faults := missing_files(loaded) or ([] if loaded.models else ["models: none"]):
        raise SpecError(path, faults)
    ground, log = ground_of(loaded)
    with tempfile.TemporaryDirectory(prefix="llmos-try-") as name:
        folder = Path(name)
        home = folder / "home"
        for sample, text in _SAMPLES.items():
            (home / sample).parent.mkdir(parents=True, exist_ok=True)
            (home / sample).write_text(text)
        payload.stage_models(folder / "models", loaded.models)
        with (
            engine_command(ground, SOURCE, binds=[folder], log=log) as command,
            _running(command, folder) as socket,
        ):
            sys.exit(_shell(home, socket))


@contextlib.contextmanager
def _running(command: Sequence[str], folder: Path) -> Iterator[Path]:
    socket = folder / "engine.sock"
    output = folder / "engine.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--socket", str(socket), "--models", str(folder / "models")],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Ctrl-C belongs to the shell.
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BuildFailed(f"the engine did not start:\n{output.read_text()[-2000:]}")
                time.sleep(0.05)
            yield socket
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _shell(home: Path, socket: Path) -> int:
    environment = {
        **os.environ,
        "HOME": str(home),
        "LLMOS_ENGINE_SOCKET": str(socket),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }
    shell = Path(sys.executable).with_name("llmos-shell")
    return subprocess.run([shell], check=False, cwd=home, env=environment).returncode
