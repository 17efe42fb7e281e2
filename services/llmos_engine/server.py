"""The process around the engine: sockets, signals, systemd."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from llmos_api.types import Health, HealthStatus
from llmos_engine.app import make_app
from llmos_engine.engine import Engine
from llmos_engine.errors import ServiceError
from llmos_engine.notify import Notifier

log = logging.getLogger(__name__)

DRAIN: Final = 20
"""Seconds that running answers have to end after SIGTERM; TimeoutStopSec= is longer."""

LAST_WORDS: Final = 5
"""Seconds after that in which the answers that were cut short say so to their clients."""


class SocketTaken(ServiceError):
    """Another engine listens there, or something that is no socket is in the way."""


@dataclass
class Service:
    """The engine behind sockets; :meth:`run` returns when it was told to stop."""

    engine: Engine
    sockets: list[socket.socket]
    notifier: Notifier = field(default_factory=Notifier)
    drain: int = DRAIN

    def run(self) -> int | None:
        """Serve until SIGTERM or SIGINT; return the signal's number."""
        config = uvicorn.Config(
            make_app(self.engine),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=self.drain + LAST_WORDS,
        )
        server = _Server(config, self)
        self.engine.start()
        try:
            server.run(self.sockets)
        finally:
            if not self.engine.stop():
                log.warning("the engine's thread does not end: leaving it behind")
        return server.stopped_by


class _Server(uvicorn.Server):
    """uvicorn's server with our signals, no polling, and a word to systemd."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.stopped_by: int | None = None
        self._service = service
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Ready means that the socket answers, not that the model is loaded: loading takes
        # seconds to minutes, nothing at boot should wait for it, and a model that cannot
        # be loaded is a state that /health tells, not a service that failed to start.
        self._service.notifier.send("READY=1", f"STATUS={status_line(self._service.engine.health)}")

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should end: too often for a laptop.
        watchdog = asyncio.create_task(self._feed_watchdog())
        try:
            await self._stop.wait()
        finally:
            watchdog.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.notifier.send("STOPPING=1", "STATUS=stopping")
        self._service.engine.drain()
        cutting = asyncio.create_task(self._cut_short())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_short(self) -> None:
        """End the answers that have had their time, or that a second signal does not wait for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._service.drain):
                await self._hurry.wait()
        await asyncio.to_thread(self._service.engine.stop)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own sends the signal to itself again at the end, and the service would
        # end by the signal instead of with an exit code.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        # The first signal lets answers end, the second cuts them short, the third drops them.
        self.force_exit = self._hurry.is_set()
        if self.should_exit:
            self._hurry.set()
        self.stopped_by = self.stopped_by or sig
        self.should_exit = True
        self._stop.set()

    async def _feed_watchdog(self) -> None:
        """Feed systemd's watchdog while the thread moves that hands out the work.

        This loop alone says little. A model that hangs is ended and loaded again by the engine.
        """
        service = self._service
        if service.notifier.watchdog is None:
            return
        while True:
            if service.engine.silent_for() < service.notifier.watchdog / 2:
                service.notifier.send("WATCHDOG=1")
            await asyncio.sleep(service.notifier.watchdog / 4)


def status_line(health: Health) -> str:
    """Say the state in one line."""
    match health.status:
        case HealthStatus.OK:
            return f"ready: {health.model}"
        case HealthStatus.LOADING:
            return f"loading {health.model}" if health.model else "loading"
        case HealthStatus.FAILED:
            return f"no model: {health.error}"


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen on ``path``, for everybody on this machine; remove it in the end.

    Raises :class:`SocketTaken`.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(str(path))
            path.chmod(0o666)
        except OSError as error:
            raise SocketTaken(f"cannot listen on {path}: {error.strerror or error}") from error
        inode = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()
    finally:
        listener.close()


def _clear(path: Path) -> None:
    """Remove a socket that a process left behind that is no more."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise SocketTaken(f"cannot listen on {path}: it exists and is no socket")
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise SocketTaken(
                f"cannot listen on {path}: {os.strerror(error.errno or 0)}"
            ) from error
        else:
            raise SocketTaken(f"another engine listens on {path} already")
