"""Asks a server for a streamed answer over its socket, and notes when each piece came.

What came is only read afterwards: the client shares the processor with the server it measures.
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h11

from llmos_api.sse import EventParser
from llmos_image.errors import BuildFailed
from tests.bench.engine.models import TOKEN_BYTES

Address = Path | int
"""A UNIX socket, or a port of this machine."""

_PIECE: Final = 1 << 16
_PATIENCE: Final = 600.0
Clock = float
"""Seconds of :func:`time.perf_counter`."""


@dataclass(frozen=True)
class Answer:
    """When the texts of an answer came, and how many tokens had come by then."""

    sent: Clock
    times: list[Clock]
    tokens: list[int]
    text: str
    prompt_tokens: int | None = None

    @property
    def made(self) -> int:
        """All its tokens."""
        return self.tokens[-1]

    @property
    def first(self) -> float:
        """Seconds from the question to the first token."""
        return self.times[0] - self.sent

    @property
    def rate(self) -> float:
        """Tokens per second after the first ones."""
        return (self.tokens[-1] - self.tokens[0]) / (self.times[-1] - self.times[0])

    def gaps(self, begin: Clock = 0.0, end: Clock = float("inf")) -> list[float]:
        """Seconds between texts that came one after the other, from ``begin`` to ``end``."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return [later - earlier for earlier, later in pairs if later >= begin and earlier <= end]


@dataclass
class Stream:
    """One question, and its answer as it comes."""

    address: Address
    body: dict[str, Any]
    sent: Clock = 0.0
    pieces: list[tuple[Clock, bytes]] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Answer:
        """Ask, and wait for the end of the answer."""
        await self.receive()
        return read_answer(self.sent, self.pieces)

    async def receive(self) -> None:
        """Ask, and take what comes; cancelling closes the connection."""
        reader, writer = await _connect(self.address)
        try:
            request = _request(self.body)
            self.sent = time.perf_counter()
            writer.write(request)
            while piece := await reader.read(_PIECE):
                self.pieces.append((time.perf_counter(), piece))
                self._came.set()
                # The rest of the last event may be in the next piece; nobody needs it.
                if b"[DONE]" in piece:
                    break
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def until(self, tokens: int) -> None:
        """Wait until so many tokens have come, or a few less: each is an event of its own."""
        async with asyncio.timeout(_PATIENCE):
            while self.events < tokens:
                self._came.clear()
                await self._came.wait()

    @property
    def events(self) -> int:
        """How many have come."""
        return sum(piece.count(b"data:") for _, piece in self.pieces)


async def ask(address: Address, prompt: str, tokens: int, **more: Any) -> Answer:
    """Ask for ``tokens`` tokens, by default the most probable ones."""
    return await Stream(address, question(prompt, tokens, **more)).run()


def question(prompt: str, tokens: int, **more: Any) -> dict[str, Any]:
    """The body of a request for a streamed answer."""
    return {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }


async def get(address: Address, path: str) -> tuple[int, bytes]:
    """The status and the body of a page; 0 where nobody answers."""
    try:
        reader, writer = await _connect(address)
    except OSError:
        return 0, b""
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
        connection = _receiver("GET")
        connection.receive_data(await reader.read(-1))
        connection.receive_data(b"")
        status, body, _ = _drain(connection)
    except (OSError, h11.RemoteProtocolError):
        return 0, b""
    finally:
        writer.close()
    return status, body


def read_answer(sent: Clock, pieces: list[tuple[Clock, bytes]]) -> Answer:
    """What the pieces of a response say.

    Raises:
        BuildFailed: it was no answer; the error holds what it was.
    """
    connection, parser = _receiver("POST"), EventParser()
    status, refusal, text = 0, b"", ""
    times: list[Clock] = []
    tokens: list[int] = []
    prompt_tokens: int | None = None
    for at, piece in pieces:
        connection.receive_data(piece)
        came, body, _ = _drain(connection)
        status = status or came
        if status != 200:
            refusal += body
            continue
        new = ""
        for data in parser.feed(body):
            said, usage = _said(data)
            new += said
            prompt_tokens = usage or prompt_tokens
        if new:
            text += new
            times.append(at)
            tokens.append(-(-len(text) // TOKEN_BYTES))
    if not times:
        raise BuildFailed(f"no answer, status {status}: {refusal.decode(errors='replace')[:500]}")
    return Answer(sent, times, tokens, text, prompt_tokens)


def _said(data: str) -> tuple[str, int | None]:
    """The text of an event, and how many tokens it says that the prompt had."""
    if data == "[DONE]":
        return "", None
    event = json.loads(data)
    if "error" in event:
        raise BuildFailed(f"the answer broke off: {event['error']}")
    text = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    return text, (event.get("usage") or {}).get("prompt_tokens")


def _request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(str(address))
    return await asyncio.open_connection("127.0.0.1", address)


def _receiver(method: str) -> h11.Connection:
    """Reads a response: of the question it only has to know the method."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "engine")]))
    connection.send(h11.EndOfMessage())
    return connection


def _drain(connection: h11.Connection) -> tuple[int, bytes, bool]:
    """What can be read now: the status if it came, a part of the body, whether it has ended."""
    status, body = 0, b""
    while True:
        event = connection.next_event()
        match event:
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage():
                return status, body, True
            case h11.InformationalResponse():
                pass
            case _:  # nothing more, as yet
                return status, body, False
