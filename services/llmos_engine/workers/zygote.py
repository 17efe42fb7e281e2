"""A small process that workers are forked from.

A process with threads cannot fork safely, and the front has some. So before it has any, it forks
this one, with all loaded that a worker needs: a worker then takes milliseconds to start, and
shares its memory. The zygote forks twice, so that the worker becomes a child of the front
(PR_SET_CHILD_SUBREAPER, prctl(2)): the front learns how it ended, and may end it by a file
descriptor that means this process and no other one (pidfd_open(2)).
"""

import contextlib
import ctypes
import functools
import logging
import os
import pickle
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from llmos_engine.backends import BackendKind
from llmos_engine.backends.base import BackendOptions
from llmos_engine.workers.handle import NoWorkers
from llmos_engine.workers.serving import Serving
from llmos_engine.workers.wire import Closed, Connection, ToWorker
from llmos_models.scan import ModelFile

log = logging.getLogger(__name__)

BIRTH_SECONDS: Final = 60.0
"""Seconds that a new worker has for its first word."""
_LOOK_SECONDS: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_HEAD: Final = 4


@dataclass(frozen=True)
class Start:
    """What a worker is told before anything else."""

    kind: BackendKind
    options: BackendOptions
    file: ModelFile
    predict: bool


class WorkerProcess:
    """A worker's process, a child of this one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # A child keeps its number until it is waited for, so this is the right one.
        self._pidfd = os.pidfd_open(pid)
        self._lock = threading.Lock()
        self._how: str | None = None

    def kill(self) -> None:
        """End it, whatever it does."""
        with self._lock:
            if self._how is None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self, seconds: float) -> str | None:
        """Wait until it has ended; how it did, or None while it runs."""
        until = time.monotonic() + seconds
        while self._look() is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        return self._how

    def _look(self) -> str | None:
        with self._lock:
            if self._how is None:
                found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
                if found is not None:
                    self._how = _how(found.si_code, found.si_status)
                    os.close(self._pidfd)
            return self._how


class Zygote:
    """Forks workers for one kind of back end. Make it while there is one thread.

    ``private`` are sockets that neither it nor the workers shall hold open.
    """

    def __init__(
        self, kind: BackendKind, options: BackendOptions, private: Sequence[socket.socket] = ()
    ) -> None:
        self._kind = kind
        self._options = options
        self._workers: list[WorkerProcess] = []
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        front = os.getpid()
        if os.fork() == 0:
            _alone(lambda: _serve(theirs, front), self._control, *private)
        theirs.close()

    def spawn(self, file: ModelFile, *, predict: bool) -> tuple[socket.socket, WorkerProcess]:
        """Start a worker that loads ``file``; the front's end of its connection.

        Raises:
            NoWorkers: none can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"w"], [theirs.fileno()])
                start = pickle.dumps(Start(self._kind, self._options, file, predict))
                ours.sendall(len(start).to_bytes(_HEAD, "big") + start)
            except OSError as error:
                ours.close()
                raise NoWorkers(f"no process can be started for a model: {error}") from None
        worker = WorkerProcess(_first_word(ours))
        self._workers.append(worker)
        return ours, worker

    def tidy(self) -> None:
        """Wait for the children of workers that were killed: they are this process's own now."""
        workers = {worker.pid for worker in self._workers if worker.wait(0) is None}
        self._workers = [worker for worker in self._workers if worker.pid in workers]
        with contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in workers:
                    break  # it has just ended: whoever waits for it learns how
                os.waitpid(found.si_pid, os.WNOHANG)


def _first_word(ours: socket.socket) -> int:
    """The number of a new worker's process: it says that first, and more right after it."""
    ours.settimeout(BIRTH_SECONDS)
    try:
        pid = int.from_bytes(_exactly(ours, _HEAD), "big")
    except (Closed, OSError) as error:
        ours.close()
        raise NoWorkers(f"no process can be started for a model: {error}") from None
    ours.settimeout(None)
    return pid


# What follows runs in the zygote and in the workers.


def _alone(run: Callable[[], None], *others: socket.socket) -> NoReturn:
    """Run the rest of a forked process, and end it without what its parent would do at the end."""
    status = 1
    try:
        # The front ends its workers, in its own time.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for other in others:
            other.close()
        run()
        status = 0
    except Closed:
        log.info("a process of a model ends: the front has gone")
    except Exception:
        log.exception("a process of a model failed in a way that nobody foresaw")
    finally:
        os._exit(status)


def _serve(control: socket.socket, front: int) -> None:
    """Fork a worker for each socket that comes, until the front has gone."""
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                _alone(functools.partial(_work, socket.socket(fileno=fds[0]), front), control)
            os._exit(0)
        os.waitpid(child, 0)
        for fd in fds:
            os.close(fd)


def _work(link: socket.socket, front: int) -> None:
    # What it was forked from ends at once, and then its parent is the front: it ends with that.
    until = time.monotonic() + BIRTH_SECONDS
    while os.getppid() != front:
        if time.monotonic() > until:
            raise Closed("the front has gone")
        time.sleep(_LOOK_SECONDS / 10)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size = int.from_bytes(_exactly(link, _HEAD), "big")
    start: Start = pickle.loads(_exactly(link, size))  # noqa: S301 - of the process that forked it
    link.sendall(os.getpid().to_bytes(_HEAD, "big"))
    wire: Connection[ToWorker] = Connection(link, ToWorker)
    backend = start.kind.make(start.options)
    Serving(wire, backend, start.file, predict=start.predict).run()


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise Closed("the front has gone")
        data += piece
    return data


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _how(code: int, status: int) -> str:
    if code == os.CLD_EXITED:
        return "has ended" if status == 0 else f"has ended with status {status}"
    name = signal.Signals(status).name
    short = ", as it does when memory is short" if status == signal.SIGKILL else ""
    return f"was ended by {name}{short}"
