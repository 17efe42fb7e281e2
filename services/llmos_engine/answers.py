"""The asyncio side of a job: its events as the answers of the chat endpoint."""

import asyncio
import contextlib
import time
import uuid
from collections import deque
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos_api import sse
from llmos_api.types import (
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    Role,
    Usage,
)
from llmos_engine.engine import Engine
from llmos_engine.jobs import Event, Failed, Finished, Job, Text, Work

FIRST_EVENT: Final = 5.0
"""Seconds to wait for the first event before a stream begins: an error that comes later
can no longer have a status of its own."""

KEEP_ALIVE: Final = 10.0
"""Seconds of silence after which a stream gets a comment."""

CLIENT_GONE: Final = 499
"""nginx's status for a client that closed the connection: nobody reads it."""


class Answer:
    """One request in the engine, seen from the event loop.

    Cancels the job when the client goes away; call :meth:`close` in any case.
    """

    def __init__(self, engine: Engine, work: Work, request: Request) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.model = work.model.id
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event | None] = deque()
        self._arrived = asyncio.Event()
        self._waking = False
        self._job = Job(work, self._emit)
        engine.submit(self._job)
        self._watch = self._loop.create_task(self._until_disconnect(request.receive))

    async def next(self) -> Event | None:
        """Wait for the next event; None when the client has gone.

        Text that has piled up comes as one event: a client that reads slowly, or a model
        that is fast, then costs a message for what is new and not one for each token.
        """
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if not isinstance(event, Text):
            return event
        parts = [event.text]
        while self._events and isinstance(following := self._events[0], Text):
            parts.append(following.text)
            self._events.popleft()
        return Text("".join(parts))

    def close(self) -> None:
        """Stop the work, if there is any left."""
        self._job.cancel()
        self._watch.cancel()

    def _emit(self, event: Event) -> None:
        """Take an event; called on the decode thread."""
        self._events.append(event)
        # Once is enough, however many events come: each call writes to the loop's pipe, and
        # a full pipe loses signals. The order is what makes it safe: append, then look.
        if not self._waking:
            self._waking = True
            # The loop is closed when the service ends: then nobody waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._arrived.set()

    async def _until_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._job.cancel()
        self._events.append(None)
        self._arrived.set()


async def whole(answer: Answer) -> Response:
    """Answer with one JSON object; raises what the job failed with."""
    parts: list[str] = []
    try:
        while True:
            match await answer.next():
                case Text(text):
                    parts.append(text)
                case Finished(reason, usage):
                    message = ChatMessage(Role.ASSISTANT, "".join(parts))
                    completion = ChatCompletion(
                        id=answer.id,
                        created=answer.created,
                        model=answer.model,
                        choices=(Choice(0, message, reason),),
                        usage=usage,
                    )
                    body = msgspec.json.encode(completion)
                    return Response(body, media_type="application/json")
                case Failed(error):
                    raise error
                case None:
                    return Response(status_code=CLIENT_GONE)
    finally:
        answer.close()


async def streamed(answer: Answer, *, include_usage: bool) -> Response:
    """Answer with server-sent events; raises what the job failed with at its start."""
    first: Event | None = None
    try:
        async with asyncio.timeout(FIRST_EVENT):
            first = await answer.next()
        if isinstance(first, Failed):
            raise first.error
    except TimeoutError:
        pass
    except BaseException:
        answer.close()
        raise
    return EventStream(answer, first, include_usage=include_usage)


class EventStream(Response):
    """A response that follows a job until its end, or the client's."""

    media_type = "text/event-stream"

    def __init__(self, answer: Answer, first: Event | None, *, include_usage: bool) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._answer = answer
        self._first = first
        self._include_usage = include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        del scope, receive  # the answer waits for the disconnect
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            await self._send(send, self._chunk(Delta(role=Role.ASSISTANT, content="")))
            await self._follow(send)
        finally:
            self._answer.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, send: Send) -> None:
        event = self._first
        while True:
            match event or await self._next(send):
                case Text(text):
                    await self._send(send, self._chunk(Delta(content=text)))
                case Finished(reason, usage):
                    await self._send(send, self._chunk(Delta(), finish=reason))
                    if self._include_usage:
                        await self._send(send, self._chunk(None, usage=usage))
                    await self._send_data(send, "[DONE]")
                    return
                case Failed(error):
                    await self._send(send, error.body)
                    return
                case None:
                    return
            event = None

    async def _next(self, send: Send) -> Event | None:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    return await self._answer.next()
            except TimeoutError:
                await self._send_bytes(send, sse.encode_comment("still there"))

    def _chunk(
        self, delta: Delta | None, *, finish: FinishReason | None = None, usage: Usage | None = None
    ) -> ChatChunk:
        choices = () if delta is None else (ChunkChoice(0, delta, finish),)
        answer = self._answer
        return ChatChunk(answer.id, answer.created, answer.model, choices, usage)

    async def _send(self, send: Send, value: msgspec.Struct) -> None:
        await self._send_data(send, msgspec.json.encode(value).decode())

    async def _send_data(self, send: Send, data: str) -> None:
        await self._send_bytes(send, sse.encode(data))

    @staticmethod
    async def _send_bytes(send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})
