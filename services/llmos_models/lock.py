"""One writer at a time: a lock that goes with its process, however that ends."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from llmos_models.errors import StoreBusy


@contextlib.contextmanager
def locked(path: Path, *, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock at ``path``; with ``on_wait``, say whom it waits for and wait.

    Raises:
        StoreBusy: another process holds it.
    """
    # Readable for nobody else: who can open it can hold it, and keep root out.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f"another command is changing the models ({_holder(path)})"
            if on_wait is None:
                raise StoreBusy(what, hint="Wait for it to end, or interrupt it.") from None
            on_wait(what)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _holder(path: Path) -> str:
    number = path.read_text(encoding="ascii", errors="replace").strip()
    return f"process {number}" if number.isdigit() else "just started"
