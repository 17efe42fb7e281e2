"""Server-sent events: an incremental parser of the `data` fields, and the writer.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from typing import Final

MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes that one event may have; more is not an answer of the engine."""


class EventTooLong(ValueError):
    """A line or an event grew past :data:`MAX_EVENT` bytes."""


class EventParser:
    """Turns the bytes of a stream, in pieces cut anywhere, into the data of its events."""

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[str]:
        """Take the next bytes; return the data of every event that they complete.

        Raises :class:`EventTooLong`. Bytes that are not UTF-8 become U+FFFD, as in browsers.
        """
        text = self._pending + piece
        # A CR at the very end may be the first half of a CRLF: leave it for the next piece.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._pending = lines.pop() + held
        if len(self._pending) > MAX_EVENT:
            raise EventTooLong
        events = (self._line(line) for line in lines)
        return [event for event in events if event is not None]

    def _line(self, line: bytes) -> str | None:
        if not line:
            data, self._data, self._size = self._data, [], 0
            return b"\n".join(data).decode(errors="replace") if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            if self._size > MAX_EVENT:
                raise EventTooLong
        return None


def encode(data: str, kind: str | None = None) -> bytes:
    """Write one event, of a ``kind`` or of none; the opposite of the parser."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    head = f"event: {kind}\n" if kind else ""
    return (head + "".join(f"data: {line}\n" for line in lines)).encode() + b"\n"


def encode_json(data: bytes, kind: str | None = None) -> bytes:
    """Write one event whose data is JSON, as it comes from an encoder: without a line's end."""
    head = b"event: " + kind.encode() + b"\n" if kind else b""
    return head + b"data: " + data + b"\n\n"


def encode_comment(text: str) -> bytes:
    """Write a comment, which keeps a silent connection alive and means nothing."""
    return f": {text}\n\n".encode()
