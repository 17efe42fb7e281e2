"""The asyncio side of jobs: their events as one answer, whole or streamed.

How an endpoint words its answers is in ``wording.py`` and its neighbours, how they are streamed in
``streams.py``.
"""

import asyncio
import contextlib
import functools
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from llmos_api.types import Usage
from llmos_engine.engine import Engine
from llmos_engine.jobs import Event, Failed, Finished, Found, Job, Text, Work
from llmos_engine.wording import Wording

CLIENT_GONE: Final = 499
"""nginx's status for a client that closed the connection: nobody reads it."""


class Answer:
    """One request in the engine, seen from the event loop: a job for each of its choices.

    Cancels the jobs when the client goes away; call :meth:`close` in any case.
    """

    def __init__(
        self, engine: Engine, works: Sequence[Work], request: Request, prefix: str = ""
    ) -> None:
        self.id = f"{prefix}{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.model = works[0].model.id
        self.choices = len(works)
        self._loop = asyncio.get_running_loop()
        self._events: deque[tuple[int, Event] | None] = deque()
        self._arrived = asyncio.Event()
        self._waking = False
        self._jobs = [
            Job(work, functools.partial(self._emit, index)) for index, work in enumerate(works)
        ]
        engine.submit(*self._jobs)
        self._watch = self._loop.create_task(self._until_disconnect(request.receive))

    @property
    def has_news(self) -> bool:
        """Whether :meth:`next` returns at once."""
        return bool(self._events)

    async def next(self) -> tuple[int, Event] | None:
        """Wait for the next event, of which choice it is first; None when the client has gone.

        Text that has piled up comes as one event: a client that reads slowly, or a model
        that is fast, then costs a message for what is new and not one for each token.
        """
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        found = self._events.popleft()
        if found is None or not isinstance(found[1], Text):
            return found
        index, parts = found[0], [found[1]]
        while self._events and (following := self._events[0]) is not None:
            if following[0] != index or not isinstance(following[1], Text):
                break
            parts.append(following[1])
            self._events.popleft()
        return index, joined(parts)

    def close(self) -> None:
        """Stop the work, if there is any left."""
        self._cancel()
        self._watch.cancel()

    def _cancel(self) -> None:
        for job in self._jobs:
            job.cancel()

    def _emit(self, index: int, event: Event) -> None:
        """Take an event; called on any thread."""
        self._events.append((index, event))
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
        self._cancel()
        self._events.append(None)
        self._arrived.set()


def joined(texts: Sequence[Text]) -> Text:
    """Put pieces together."""
    if len(texts) == 1:
        return texts[0]
    places = tuple(place for text in texts for place in text.places)
    return Text("".join(text.text for text in texts), places)


async def whole(answer: Answer, wording: Wording) -> Response:
    """Answer with one JSON object; raises what a job failed with."""
    parts: list[list[Text]] = [[] for _ in range(answer.choices)]
    ends: dict[int, Finished] = {}
    try:
        while len(ends) < answer.choices:
            match await answer.next():
                case index, Text() as text:
                    parts[index].append(text)
                case index, Finished() as end:
                    ends[index] = end
                case _, Failed(error):
                    raise error
                case None:
                    return Response(status_code=CLIENT_GONE)
    finally:
        answer.close()
    in_order = [end for _, end in sorted(ends.items())]
    said = wording.whole(answer, [joined(texts) for texts in parts], in_order)
    return Response(msgspec.json.encode(said), media_type="application/json")


async def found(answer: Answer) -> bytes | None:
    """Return what was looked up, as JSON; None when the client has gone.

    Raises what it failed with.
    """
    try:
        match await answer.next():
            case _, Found(value):
                return value
            case _, Failed(error):
                raise error
            case _:
                return None
    finally:
        answer.close()


def usage_of(ends: Iterable[Finished]) -> Usage:
    """The tokens of all choices; a prompt that several answer counts once."""
    ends = list(ends)
    usages = [end.usage for end in ends]
    prompt = sum({end.prompt: end.usage.prompt_tokens for end in ends}.values())
    made = sum(usage.completion_tokens for usage in usages)
    return Usage(prompt, made, prompt + made)
