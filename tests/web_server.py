"""A web server of this host, for what downloads."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve ``folder`` on the loopback interface while the block runs; gives the port."""
    with answering(functools.partial(_Quiet, directory=str(folder))) as port:
        yield port


@contextlib.contextmanager
def answering(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """Answer on the loopback interface while the block runs; gives the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the test's own output matters."""

    def handle(self) -> None:
        # A machine is switched off when it likes.
        with contextlib.suppress(ConnectionError):
            super().handle()
