"""Starts the engine and its rivals side by side, each with the same settings."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from llmos_image.build import Ground
from llmos_image.errors import BuildFailed
from llmos_image.run import output
from tests.bench.engine.client import Address, ask, get
from tests.bench.engine.models import prompt
from tests.bench.engine.rivals import Rivals

BATCH: Final = 256
"""Tokens in one batch, as the engine has it."""
_START_SECONDS: Final = 180.0
_WARM_UP: Final = 64
"""Tokens of a prompt that each server reads before it is measured."""
_PYTHON: Final = "/usr/lib/llmos/bin/python3"


@dataclass(frozen=True)
class Settings:
    """What all of them are started with."""

    threads: int
    context: int
    passive: bool = False
    """Whether the rivals' threads sleep while they wait, as the engine's do, or spin."""

    @property
    def environment(self) -> list[str]:
        """What a rival's command line begins with."""
        return ["/usr/bin/env", "OMP_WAIT_POLICY=passive"] if self.passive else []


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    address: Address
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The process that listens, whatever sandbox was started around it."""
        if not isinstance(self.address, Path):
            return self.process.pid
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.address))
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", raw)[0])


@dataclass
class Launcher:
    """Starts them for one model; ``folder`` has sockets and logs, ``command`` is the engine's."""

    ground: Ground
    rivals: Rivals
    command: Sequence[str]
    folder: Path
    settings: Settings
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _running: dict[str, Server] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def engine(self, model: Path, backend: str = "llama") -> Server:
        """Our own."""
        address = self.folder / f"{backend}.sock"
        argv = [*self.command, "--socket", str(address), "--models", str(model.parent)]
        argv += ["--threads", str(self.settings.threads), "--context", str(self.settings.context)]
        argv += ["--backend", backend]
        return self._start(f"engine-{backend}", argv, address, "/health")

    def llama_server(self, model: Path, slots: int) -> Server:
        """llama.cpp's server, with one cache for all slots as the engine has it."""
        address = self.folder / f"llama-server-{slots}.sock"
        argv = self._program(
            "llama-server",
            *("--model", model, "--host", address, "--parallel", slots, "--kv-unified"),
            *("--ctx-size", self.settings.context, "--batch-size", BATCH, "--ubatch-size", BATCH),
            *("--threads", self.settings.threads, "--threads-batch", self.settings.threads),
            *("--cache-type-k", "f16", "--cache-type-v", "f16", "--no-webui", "--offline"),
        )
        return self._start(f"llama-server-{slots}", argv, address, "/health")

    def python_server(self, model: Path) -> Server:
        """llama-cpp-python's server.

        Raises:
            BuildFailed: what it needs cannot be had.
        """
        if self.rivals.packages is None:
            raise BuildFailed(self.rivals.missing)
        port = _free_port()
        settings = {
            "model": model,
            "port": port,
            "host": "127.0.0.1",
            "n_ctx": self.settings.context,
            "n_batch": BATCH,
            "n_ubatch": BATCH,
            "n_threads": self.settings.threads,
            "n_threads_batch": self.settings.threads,
            # By default it computes and keeps the logits of each token of the prompt.
            "logits_all": False,
            # Otherwise a question ends the answers to all others.
            "interrupt_requests": False,
        }
        argv = [
            *self.command[:-1],
            "/usr/bin/env",
            *self.settings.environment[1:],
            f"PYTHONPATH={self.rivals.packages}",
            *(_PYTHON, "-m", "llama_cpp.server"),
            *(part for key, value in settings.items() for part in (f"--{key}", str(value))),
        ]
        return self._start("llama_cpp.server", argv, port, "/v1/models")

    def bench(self, model: Path, *options: object) -> str:
        """What ``llama-bench`` prints."""
        settings = self.settings
        return output(
            self._program(
                "llama-bench",
                *("--model", model, "--output", "json", "--threads", settings.threads),
                *("--batch-size", BATCH, "--ubatch-size", BATCH, *options),
            )
        )

    def python(self, script: Path, *arguments: object) -> str:
        """What a script prints that the target's Python runs, beside the engine's packages."""
        return output([*self.command[:-1], _PYTHON, str(script), *map(str, arguments)])

    def _program(self, name: str, *arguments: object) -> list[str]:
        program = self.rivals.programs / name
        command = [*self.settings.environment, str(program), *map(str, arguments)]
        models = [Path(a).parent for a in arguments if isinstance(a, Path) and a.suffix == ".gguf"]
        sandbox = self.ground.tools.sandbox_for(self.ground.llama.tree)
        readable = [self.rivals.programs, *models]
        return sandbox.argv(command, binds=[self.folder], ro_binds=readable)

    def _start(self, name: str, argv: Sequence[str], address: Address, page: str) -> Server:
        if name not in self._running:
            log = self.folder / f"{name}.log"
            server = self._stack.enter_context(_running(name, argv, address, log))
            asyncio.run(_until_ready(server, page))
            asyncio.run(ask(address, prompt(_WARM_UP, 0), 4))
            self._running[name] = server
        return self._running[name]


@contextlib.contextmanager
def _running(name: str, argv: Sequence[str], address: Address, log: Path) -> Iterator[Server]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A group, because a sandbox does not hand signals on.
            start_new_session=True,
        )
    try:
        yield Server(name, address, process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _until_ready(server: Server, page: str) -> None:
    """Wait until its model is loaded."""
    deadline = time.monotonic() + _START_SECONDS
    while (await get(server.address, page))[0] != 200:
        if server.process.poll() is not None or time.monotonic() > deadline:
            end = server.log.read_text(errors="replace")[-2000:]
            raise BuildFailed(f"{server.name} did not start:\n{end}")
        await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
