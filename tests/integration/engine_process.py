"""Starts engines as processes and talks to them over their sockets, for the tests beside it."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos_api import (
    ChatMessage,
    ChatRequest,
    EngineClient,
    EngineUnavailable,
    Health,
    HealthStatus,
    JsonSchema,
    JsonSchemaFormat,
)
from tests.unit.models.gguf_file import tiny_model

PATIENCE = 60.0
"""Seconds after which something that should happen has not."""

CONTEXT = 131_072
ENDLESS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 900},
    "minItems": 900,
}
"""Nothing of this shape fits into the context: an answer goes on until it is stopped."""


T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T | None]]) -> T:
    """Ask again and again until the answer is true; fail after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await condition()):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)
        return found


@dataclass
class Service:
    """One running engine."""

    process: subprocess.Popen[bytes]
    socket: Path
    models: Path
    log: Path

    def client(self) -> EngineClient:
        return EngineClient(self.socket)

    @property
    def pid(self) -> int:
        """The engine's own process, whatever sandbox was started around it."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid: int = struct.unpack("3i", raw)[0]
        return pid

    async def until(self, status: HealthStatus, reason: str = "") -> Health:
        async def reached() -> Health | None:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(EngineUnavailable):
                health = await client.health()
                if health.status is status and reason in (health.error or ""):
                    return health
            return None

        async with self.client() as client:
            return await eventually(reached)

    async def logged(self, text: str) -> None:
        async def found() -> bool:
            return text in self.log.read_text()

        await eventually(found)

    async def refuses(self) -> None:
        """Wait until it takes no more connections."""

        async def refused() -> bool:
            try:
                async with self.client() as client:
                    await client.health()
            except EngineUnavailable:
                return True
            return False

        await eventually(refused)

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE)


@dataclass
class Launcher:
    """Starts engines with one back end."""

    command: list[str]
    folder: Path
    name: str

    @contextlib.asynccontextmanager
    async def running(self, *options: str, model: bool = True) -> AsyncIterator[Service]:
        folder = self.folder / f"{self.name}-{len(list(self.folder.iterdir()))}"
        models = folder / "models"
        models.mkdir(parents=True)
        if model:
            tiny_model(context=CONTEXT).write(models / "default.gguf")
        service = self._start(folder, models, options)
        process = service.process
        try:
            await service.until(HealthStatus.OK if model else HealthStatus.FAILED)
            yield service
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def _start(self, folder: Path, models: Path, options: tuple[str, ...]) -> Service:
        log, path = folder / "log", folder / "s"
        argv = [*self.command, "--socket", str(path), "--models", str(models), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # The group, because a sandbox does not hand signals on.
                start_new_session=True,
            )
        return Service(process, path, models, log)


def llama_launcher(command: list[str], folder: Path, *, context: int = CONTEXT) -> Launcher:
    """Return the launcher of the real engine."""
    # One thread: more of them wait for each other by spinning, and a busy machine is slow then.
    return Launcher([*command, "--threads", "1", "--context", str(context)], folder, "llama")


def ask(text: str = "hello", **more: Any) -> ChatRequest:
    return ChatRequest((ChatMessage.user(text),), **more)


def shaped(schema: dict[str, Any], text: str = "hello", **more: Any) -> ChatRequest:
    return ask(text, response_format=JsonSchemaFormat(JsonSchema("x", schema)), **more)


PLAN = {
    "type": "object",
    "properties": {
        "say": {"type": "string", "maxLength": 30},
        "command": {"type": "string", "maxLength": 30},
    },
    "required": ["say", "command"],
    "additionalProperties": False,
}
