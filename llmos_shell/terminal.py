"""What the terminal can do, found out before anything heavy is imported.

Three kinds of terminal matter: the Linux console (8 colours, few glyphs), a serial line
(the same, slow, and without a size until somebody asks for it) and a terminal emulator.
"""

import contextlib
import fcntl
import os
import re
import select
import struct
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

ASK_SIZE: Final = b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8"
"""Save the cursor, go as far as it goes, ask where that is, come back."""
ANSWER: Final = re.compile(rb"\x1b\[(\d{1,4});(\d{1,4})R")
ANSWER_TIMEOUT: Final = 1.5
"""Seconds: a slow line or an emulated processor answers late, a printer never."""
FALLBACK: Final = (80, 24)
LEAST: Final = (20, 5)
MOST: Final = (1000, 500)

RESET: Final = (
    b"\x1b[?1049l"  # leave the alternate screen
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # no mouse reports
    b"\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # no focus, paste and size reports
    b"\x1b[?7h\x1b[?25h\x1b[0m\x1b[r\x1b[999;1H\r\n"  # wrap, cursor, colours, last line
)
"""Undoes what a full-screen program may have done to the terminal."""

EMULATORS: Final = (
    "xterm", "tmux", "screen", "rxvt", "alacritty", "kitty", "foot", "konsole", "gnome", "vte",
    "wezterm", "ghostty", "putty", "contour", "st-",
)  # fmt: skip


class Line(Enum):
    """What carries the bytes."""

    CONSOLE = "console"
    SERIAL = "serial"
    EMULATOR = "emulator"

    @classmethod
    def of(cls, device: str) -> "Line":
        """Tell the kind from the name of the terminal's device."""
        if re.fullmatch(r"/dev/(tty\d+|console)", device):
            return cls.CONSOLE
        if re.fullmatch(r"/dev/(tty(S|AMA|USB|ACM|mxc|PS|SC)\d+|hvc\d+|xvc\d+)", device):
            return cls.SERIAL
        return cls.EMULATOR


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal of the session."""

    line: Line
    term: str

    @property
    def rich(self) -> bool:
        """Whether it shows more than 8 colours and ASCII."""
        return self.line is Line.EMULATOR and self.term.startswith(EMULATORS)

    @property
    def frames(self) -> int:
        """How many pictures a second it takes."""
        if self.rich:
            return 30
        return 5 if self.line is Line.SERIAL else 10

    def environment(self) -> dict[str, str]:
        """Return what the user interface's library must be told before it is imported."""
        changes = {
            "TERM": self.term,
            "TEXTUAL_FPS": str(self.frames),
            "TEXTUAL_ANIMATIONS": "none",
            "TEXTUAL_SMOOTH_SCROLL": "0",
        }
        if not self.rich:
            changes |= {"TEXTUAL_COLOR_SYSTEM": "standard", "TEXTUAL_DISABLE_KITTY_KEY": "1"}
        return changes


def prepare(fd: int, env: Mapping[str, str]) -> Terminal | None:
    """Find out about the terminal on ``fd`` and give it a size if it has none.

    Returns None when it is no terminal that can move its cursor.
    """
    line = Line.of(os.ttyname(fd))
    term = env.get("TERM", "")
    sized = _size(fd)
    doubtful = term in {"", "dumb", "unknown", "network"}
    answer = None
    if not sized or doubtful:
        answer = ask_size(fd)
    if not sized:
        _set_size(fd, answer or FALLBACK)
    if doubtful:
        if answer is None and line is Line.EMULATOR:
            return None
        term = "linux" if line is Line.CONSOLE else "vt220"
    return Terminal(line, term)


def ask_size(fd: int, timeout: float = ANSWER_TIMEOUT) -> tuple[int, int] | None:
    """Ask the terminal itself how large it is; None when it does not say."""
    received = b""
    with _raw(fd):
        os.write(fd, ASK_SIZE)
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0 and len(received) < 4096:
            if not select.select([fd], [], [], left)[0]:
                break
            piece = os.read(fd, 256)
            if not piece:
                break
            received += piece
            if match := ANSWER.search(received):
                rows, columns = int(match[1]), int(match[2])
                fits = all(
                    low <= n <= high
                    for low, n, high in zip(LEAST, (columns, rows), MOST, strict=True)
                )
                return (columns, rows) if fits else None
    return None


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


def _size(fd: int) -> tuple[int, int] | None:
    packed = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    rows, columns = struct.unpack("HHHH", packed)[:2]
    return (columns, rows) if rows and columns else None


def _set_size(fd: int, size: tuple[int, int]) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))


class Keeper:
    """Keeps the state of a terminal as it was, to bring it back after an accident."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._attributes = termios.tcgetattr(fd)

    def restore(self) -> None:
        """Bring the terminal back, whatever has been done to it."""
        with contextlib.suppress(OSError):
            os.tcsetpgrp(self._fd, os.getpgrp())
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._attributes)
        with contextlib.suppress(OSError):
            os.write(self._fd, RESET)
