"""Workers on threads of the test's own process: all but the process is the real thing."""

import contextlib
import socket
import threading
from dataclasses import dataclass

from llmos_engine.backends.base import Backend
from llmos_engine.workers.serving import Serving
from llmos_engine.workers.wire import Connection, ToWorker
from llmos_models.scan import ModelFile


@dataclass
class WorkerThread:
    """Stands for a process; it cannot be killed, but nobody listens to it any more."""

    thread: threading.Thread
    link: Connection[ToWorker]
    killed: bool = False

    def kill(self) -> None:
        self.killed = True
        self.link.close()

    def wait(self, seconds: float) -> str | None:
        if self.killed:
            return "was ended by SIGKILL"
        self.thread.join(seconds)
        return None if self.thread.is_alive() else "has ended"


class InThread:
    """Starts workers that all use one back end."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.workers: list[WorkerThread] = []

    def tidy(self) -> None:
        pass

    def spawn(self, file: ModelFile, *, predict: bool) -> tuple[socket.socket, WorkerThread]:
        ours, theirs = socket.socketpair()
        link: Connection[ToWorker] = Connection(theirs, ToWorker)
        serving = Serving(link, self._backend, file, predict=predict)

        def run() -> None:
            # A process that ends without a word ends no test.
            with contextlib.suppress(SystemExit), contextlib.closing(link):
                serving.run()
            link.release()

        worker = WorkerThread(threading.Thread(target=run, daemon=True), link)
        worker.thread.start()
        self.workers.append(worker)
        return ours, worker
