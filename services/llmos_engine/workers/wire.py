"""What the front and a worker say to each other: MessagePack, each message after its length.

https://github.com/msgpack/msgpack/blob/master/spec.md; four bytes of length, the highest first.
"""

import contextlib
import select
import socket
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from llmos_engine import errors
from llmos_engine.backends.base import Needs
from llmos_engine.errors import InvalidRequest, Refused
from llmos_engine.jobs import Event, Task
from llmos_engine.metrics import Sample
from llmos_engine.tokens import Question

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes: a request has one MiB at most, the echo of a prompt with its probabilities more."""
_HEAD: Final = 4
_CHUNK: Final = 256 * 1024
_TASKS: Final = msgspec.json.Decoder(Task)


class Submit(Struct, frozen=True, tag=True):
    """A task, by the number that its events will have.

    It is JSON: a schema may have integers that MessagePack has no room for.
    """

    number: int
    task: bytes

    @classmethod
    def of(cls, number: int, task: Task) -> "Submit":
        """Make it.

        Raises:
            InvalidRequest: a schema or a tool cannot be written down.
        """
        try:
            return cls(number, msgspec.json.encode(task))
        except (ValueError, OverflowError, RecursionError) as error:
            raise _unreadable(error) from None

    def read(self) -> Task:
        """The task.

        Raises:
            InvalidRequest: it cannot be read.
        """
        try:
            return _TASKS.decode(self.task)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _unreadable(error) from None


class Ask(Struct, frozen=True, tag=True):
    """A question that computes nothing."""

    number: int
    question: Question


class Cancel(Struct, frozen=True, tag=True):
    """Nobody waits for it any more."""

    number: int


class Go(Struct, frozen=True, tag=True):
    """There is room: the model may be loaded."""


ToWorker = Submit | Ask | Cancel | Go


class Wants(Struct, frozen=True, tag=True):
    """The first word of a worker: what its model will take. It waits for :class:`Go`."""

    needs: Needs


class Loading(Struct, frozen=True, tag=True):
    """How much of the model is loaded, from 0 to 1."""

    share: float


class Loaded(Struct, frozen=True, tag=True):
    """The model answers from now on, computing on ``device``, ``slots`` requests side by side."""

    device: str
    slots: int


class Unusable(Struct, frozen=True, tag=True):
    """The model cannot be loaded; the worker ends."""

    why: str


class Report(Struct, frozen=True, tag=True):
    """What came of a batch, or a sign of life; ``waiting`` are the answers without a slot.

    With ``last`` the model has failed, and its process ends.
    """

    events: Sequence[tuple[int, Event]] = ()
    samples: Sequence[Sample] = ()
    waiting: int = 0
    last: bool = False


FromWorker = Wants | Loading | Loaded | Unusable | Report


class Closed(Exception):
    """The other side has gone, or says what nobody can understand."""


M = TypeVar("M")


class Connection(Generic[M]):
    """One end; takes messages of the type ``M``. Sending and receiving may be on two threads."""

    def __init__(self, end: socket.socket, incoming: Any) -> None:
        self._socket = end
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(
            incoming, dec_hook=_from_wire
        )
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_to_wire)
        self._begun = bytearray()

    def encode(self, message: Struct) -> bytes:
        """The bytes of a message; they can be handed to :meth:`send_bytes`."""
        body = self._encoder.encode(message)
        return len(body).to_bytes(_HEAD, "big") + body

    def send(self, message: Struct) -> None:
        """Send a message; raises :class:`Closed`."""
        self.send_bytes(self.encode(message))

    def send_bytes(self, data: bytes) -> None:
        """Send an encoded message; raises :class:`Closed`."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from None

    def receive(self, timeout: float | None = None) -> list[M]:
        """Take the messages that are there; wait up to ``timeout`` seconds for the first.

        Raises:
            Closed: there will be no more.
        """
        found = self._whole()
        while not found and self._readable(timeout):
            try:
                chunk = self._socket.recv(_CHUNK)
            except OSError as error:
                raise Closed(str(error)) from None
            if not chunk:
                raise Closed("the connection has ended")
            self._begun += chunk
            found = self._whole()
        return found

    @property
    def gone(self) -> bool:
        """Whether the other side has closed; what it said before can still be received."""
        if not self._readable(0):
            return False
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """Say no more; both sides learn it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _readable(self, timeout: float | None) -> bool:
        # Not select(): that knows no file numbers beyond 1023.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def _whole(self) -> list[M]:
        found: list[M] = []
        begun, at = self._begun, 0
        while len(begun) - at >= _HEAD:
            size = int.from_bytes(begun[at : at + _HEAD], "big")
            if size > MAX_MESSAGE:
                raise Closed(f"a message of {size} bytes")
            if len(begun) - at - _HEAD < size:
                break
            body = bytes(begun[at + _HEAD : at + _HEAD + size])
            try:
                found.append(self._decoder.decode(body))
            except msgspec.MsgspecError as error:
                raise Closed(f"a message that is none: {error}") from None
            at += _HEAD + size
        del begun[:at]
        return found


def _unreadable(error: Exception) -> InvalidRequest:
    return InvalidRequest(f"the request cannot be handed to the model: {error}")


class _Refusal(Struct, frozen=True):
    """An error on its way."""

    kind: str
    what: str
    param: str | None
    code: str | None
    retry_after: int | None


def _to_wire(value: Any) -> Any:
    if isinstance(value, Refused):
        return _Refusal(
            type(value).__name__, str(value), value.param, value.code, value.retry_after
        )
    raise NotImplementedError(f"{type(value)} has no place in a message")


def _from_wire(kind: type, value: Any) -> Any:
    if kind is not Refused:
        raise NotImplementedError(f"{kind} has no place in a message")
    said = msgspec.convert(value, _Refusal)
    known = getattr(errors, said.kind, None)
    if not (isinstance(known, type) and issubclass(known, Refused)):
        raise ValueError(f"no error is called {said.kind!r}")
    # Each kind makes its own sentence; here the sentence is there.
    error = known.__new__(known)
    Refused.__init__(
        error, said.what, param=said.param, code=said.code, retry_after=said.retry_after
    )
    return error
