"""A socket that carries lines, with a deadline on both directions."""

import contextlib
import select
import socket
from collections.abc import Callable

from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import DeadlinePassed, MachineDied

Death = Callable[[str], MachineDied]
"""Makes the error for "the other end is gone"; the machine knows why, the socket does not."""


class LineSocket:
    """Lines to and from ``peer``, which is the name that errors call the other end."""

    def __init__(self, connection: socket.socket, *, peer: str, death: Death = MachineDied) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._peer = peer
        self._death = death
        self._received = b""

    def send(self, data: bytes, deadline: Deadline, what: str) -> None:
        """Send all of ``data``; errors call it ``what``."""
        while data:
            _, writable, _ = select.select([], [self._socket], [], deadline.remaining)
            if not writable:
                raise DeadlinePassed(f"{self._peer} did not take {what} in time")
            try:
                data = data[self._socket.send(data) :]
            except OSError:
                raise self._death(f"{self._peer} is gone, {what} cannot be sent") from None

    def discard(self) -> None:
        """Forget what has arrived and was not asked for."""
        self._received = b""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(65536):
                pass

    def receive(self, deadline: Deadline, what: str) -> bytes:
        """The next line without its end; errors call it ``what``."""
        while b"\n" not in self._received:
            readable, _, _ = select.select([self._socket], [], [], deadline.remaining)
            if not readable:
                raise DeadlinePassed(f"{self._peer} did not send {what} in time")
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise self._death(f"{self._peer} went away before it sent {what}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line
