"""Answers as server-sent events, while they are made."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos_api import sse
from llmos_engine.answers import Answer, usage_of
from llmos_engine.jobs import Event, Failed, Finished, Text
from llmos_engine.wording import Wording

FIRST_EVENT: Final = 5.0
"""Seconds to wait for the first event before a stream begins: an error that comes later
can no longer have a status of its own."""

KEEP_ALIVE: Final = 10.0
"""Seconds of silence after which a stream gets a comment."""


async def streamed(answer: Answer, wording: Wording, *, include_usage: bool) -> Response:
    """Answer with server-sent events; raises what the job failed with at its start."""
    first: tuple[int, Event] | None = None
    try:
        async with asyncio.timeout(FIRST_EVENT):
            first = await answer.next()
        if first is not None and isinstance(first[1], Failed):
            raise first[1].error
    except TimeoutError:
        pass
    except BaseException:
        answer.close()
        raise
    return EventStream(answer, wording, first, include_usage=include_usage)


class EventStream(Response):
    """A response that follows a job until its end, or the client's."""

    media_type = "text/event-stream"

    def __init__(
        self,
        answer: Answer,
        wording: Wording,
        first: tuple[int, Event] | None,
        *,
        include_usage: bool,
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._answer = answer
        self._wording = wording
        self._first = first
        self._include_usage = include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        del scope, receive  # the answer waits for the disconnect
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            for index in range(self._answer.choices):
                for said in self._wording.opening(self._answer, index):
                    await self._send(send, said)
            await self._follow(send)
        finally:
            self._answer.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, send: Send) -> None:
        event, answer = self._first, self._answer
        ends: list[Finished] = []
        while len(ends) < answer.choices:
            event = event or await self._next(send)
            if event is None:
                return
            index, what = event
            for said in self._said(index, what):
                await self._send(send, said)
            if isinstance(what, Failed):
                return
            if isinstance(what, Finished):
                ends.append(what)
            event = None
        if self._include_usage:
            for said in self._wording.usage(answer, usage_of(ends)):
                await self._send(send, said)
        if self._wording.last is not None:
            await self._send_bytes(send, sse.encode(self._wording.last))

    def _said(self, index: int, event: Event) -> Sequence[msgspec.Struct]:
        match event:
            case Text() as text:
                return self._wording.piece(self._answer, index, text)
            case Finished() as end:
                return self._wording.end(self._answer, index, end)
            case Failed(error):
                return self._wording.failure(self._answer, error)
        return ()

    async def _next(self, send: Send) -> tuple[int, Event] | None:
        # A time limit costs more than what there is already.
        if self._answer.has_news:
            return await self._answer.next()
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    return await self._answer.next()
            except TimeoutError:
                await self._send_bytes(send, sse.encode_comment("still there"))

    async def _send(self, send: Send, value: msgspec.Struct) -> None:
        kind = getattr(value, "type", None) if self._wording.named else None
        await self._send_bytes(send, sse.encode_json(msgspec.json.encode(value), kind))

    @staticmethod
    async def _send_bytes(send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})
