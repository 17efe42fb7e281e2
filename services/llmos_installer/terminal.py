"""What the terminal can do, and what Textual must be told before it is imported.

As ``llmos_shell.terminal`` does it, for the two terminals that an installation has: the Linux
console and a serial line. The login session's own is not imported: it may be replaced
without this, and the other way round.
"""

import contextlib
import fcntl
import os
import re
import struct
import termios
from collections.abc import Mapping
from typing import Final

SIZE: Final = (80, 24)
"""Of a serial terminal that does not say; every one has that much."""
_UNABLE: Final = frozenset({"", "dumb", "unknown", "network"})


def prepare(fd: int, env: Mapping[str, str]) -> dict[str, str] | None:
    """What to set in the environment for full screens; None when it can show lines only."""
    if not os.isatty(fd):
        return None
    term = env.get("TERM", "")
    if term in _UNABLE:
        return None
    packed = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
    rows, columns = struct.unpack("HHHH", packed)[:2]
    if not (rows and columns):
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    elif columns < SIZE[0] or rows < SIZE[1]:
        return None
    serial = re.fullmatch(r"/dev/(tty[A-Z]+\d+|[hx]vc\d+)", os.ttyname(fd)) is not None
    return {
        "TEXTUAL_FPS": "5" if serial else "10",
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_COLOR_SYSTEM": "standard",
        "TEXTUAL_DISABLE_KITTY_KEY": "1",
    }
