"""The terminal that a command in a block believes it has: its size, and its output."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

READ_SIZE: Final = 65_536
BURST: Final = 262_144
"""Bytes taken from a command at a stretch…"""
PAUSE: Final = 0.04
"""…and seconds of rest after that: the command waits, the keys do not."""
DRAIN: Final = 1_048_576
"""Bytes still read after the end; a background job could write for ever."""


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Columns and rows."""

    columns: int
    rows: int

    def apply(self, fd: int) -> None:
        """Tell the terminal behind ``fd``; the programs on it get SIGWINCH."""
        packed = struct.pack("HHHH", max(1, self.rows), max(1, self.columns), 0, 0)
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, packed)


@contextlib.contextmanager
def pumping(master: int, on_output: Callable[[bytes], None]) -> Iterator[None]:
    """Pass on what comes from ``master``, in bursts with a rest between them."""
    loop = asyncio.get_running_loop()
    burst = 0
    rest: asyncio.TimerHandle | None = None

    def begin() -> None:
        nonlocal burst
        burst = 0
        loop.add_reader(master, read)

    def read() -> None:
        nonlocal burst, rest
        try:
            data = os.read(master, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process on the terminal is gone
            data = b""
        if not data:
            loop.remove_reader(master)
            return
        on_output(data)
        burst += len(data)
        if burst >= BURST:
            loop.remove_reader(master)
            rest = loop.call_later(PAUSE, begin)

    os.set_blocking(master, False)
    begin()
    try:
        yield
    finally:
        loop.remove_reader(master)
        if rest is not None:
            rest.cancel()


def drain(master: int, on_output: Callable[[bytes], None]) -> None:
    """Pass on what a command that has ended left in its terminal."""
    total = 0
    with contextlib.suppress(OSError):  # nothing left, or nobody
        while total < DRAIN and (data := os.read(master, READ_SIZE)):
            on_output(data)
            total += len(data)
