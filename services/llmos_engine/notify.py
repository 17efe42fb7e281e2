"""systemd's two protocols for services: sockets handed over, and sd_notify.

sd_listen_fds(3) and sd_notify(3) say how; both are a few lines, and the library that has
them is not in the image.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

FIRST_FD: Final = 3


def take_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd passed; none when it passed none.

    Takes the variables out of ``environ``, so that no child believes they are its own.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    fds = range(FIRST_FD, FIRST_FD + int(count))
    for fd in fds:
        os.set_inheritable(fd, False)
    return [socket.socket(fileno=fd) for fd in fds]


@dataclass(frozen=True)
class Notifier:
    """Tells systemd how the service is; says nothing to nobody outside of it."""

    address: str | None = None
    watchdog: float | None = None
    """Seconds within which systemd wants a sign of life."""

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """Read the variables of sd_notify(3) and take them out of ``environ``."""
        address = environ.pop("NOTIFY_SOCKET", None)
        period, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", None)
        mine = pid is None or pid == str(os.getpid())
        return cls(address, int(period) / 1e6 if mine and period.isdigit() else None)

    def send(self, *assignments: str) -> None:
        """Send ``READY=1`` and the like; a message that cannot be delivered is lost."""
        if not self.address:
            return
        # "@" stands for the zero byte of an abstract address.
        address = self.address.replace("@", "\0", 1) if self.address[0] == "@" else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            try:
                notify.connect(address)
                notify.sendall("\n".join(assignments).encode())
            except OSError:
                return
