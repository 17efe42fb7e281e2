"""Requests on their way to a model, and what comes back.

What goes to the model's process and back again is made of :class:`msgspec.Struct`, with a tag
where there is a choice: see ``workers/wire.py``.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from llmos_api.types import FinishReason, Usage
from llmos_engine.backends.base import Asked, Place, Sampling
from llmos_engine.errors import NotReady, QueueFull, Refused
from llmos_engine.scheduling.request import Priority
from llmos_engine.tokens import Question
from llmos_models.scan import ModelFile

RETRY_AFTER: Final = 5
"""Seconds after which a client may ask again when the queue was full."""


class Text(Struct, frozen=True, tag=True):
    """A piece of the answer, and its tokens when it was asked how probable they were."""

    text: str
    places: tuple[Place, ...] = ()

    def __add__(self, other: "Text") -> "Text":
        return Text(self.text + other.text, self.places + other.places)


class Found(Struct, frozen=True, tag=True):
    """What was looked up in the model, as JSON."""

    value: bytes


class Finished(Struct, frozen=True, tag=True):
    """The end of the answer."""

    reason: FinishReason
    usage: Usage
    prompt: int = 0
    """Which prompt of the request it answers."""


class Failed(Struct, frozen=True, tag=True):
    """There is no answer, or no more of it."""

    error: Refused


Event = Text | Found | Finished | Failed


class Task(Struct, frozen=True, tag=True):
    """What is asked of a model, checked as far as it can be without it."""

    asked: Asked
    sampling: Sampling
    stops: tuple[str, ...] = ()
    limit: int | None = None
    """Tokens to make at most; 0 only reads."""
    echo: bool = False
    """Whether the answer begins with the prompt."""
    prompt: int = 0
    """Which prompt of the request it is."""
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True)
class Work:
    """What is asked, and of which model. A question computes nothing."""

    model: ModelFile
    task: Task | Question


@dataclass(eq=False)
class Job:
    """One request. ``emit`` is called on any thread and must not block."""

    work: Work
    emit: Callable[[Event], None]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cancelled: bool = False
    _on_cancel: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Stop the work on it, from any thread: nobody waits for the answer."""
        with self._lock:
            told, self._cancelled = self._cancelled, True
            tell = self._on_cancel
        if tell is not None and not told:
            tell()

    def on_cancel(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when it is cancelled; at once if it has been."""
        with self._lock:
            self._on_cancel = tell
            now = self._cancelled
        if now:
            tell()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled


class JobQueue:
    """First in, first out, with an end to its patience. Safe to use from any thread.

    ``elsewhere`` says how many jobs wait that are not in the queue any more.
    """

    def __init__(self, limit: int, elsewhere: Callable[[], int] = lambda: 0) -> None:
        self._limit = limit
        self._elsewhere = elsewhere
        self._jobs: deque[Job] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._nudged = False

    def put(self, *jobs: Job) -> None:
        """Add the jobs of a request: all of them, or none.

        Raises :class:`~llmos_engine.errors.QueueFull`, or
        :class:`~llmos_engine.errors.NotReady` once the queue is closed.
        """
        with self._condition:
            if self._closed:
                raise NotReady("the engine is stopping", code="stopping")
            # Those whose clients have gone do not count, and do not wait any longer.
            self._jobs = deque(waiting for waiting in self._jobs if not waiting.cancelled)
            waiting = len(self._jobs) + self._elsewhere()
            if waiting >= self._limit:
                raise QueueFull(waiting, retry_after=RETRY_AFTER)
            self._jobs.extend(jobs)
            self._condition.notify()

    def get(self, timeout: float, fits: Callable[[Job], bool] = lambda _: True) -> Job | None:
        """Wait for the first job that fits; it overtakes those that do not.

        None after ``timeout`` seconds, after :meth:`nudge`, or when closed and empty.
        """

        def ready() -> bool:
            nothing = self._closed and not self._jobs
            return self._nudged or nothing or any(map(fits, self._jobs))

        with self._condition:
            self._condition.wait_for(ready, timeout)
            self._nudged = False
            job = next(filter(fits, self._jobs), None)
            if job is not None:
                self._jobs.remove(job)
            return job

    def pause(self, timeout: float) -> None:
        """Wait until it is nudged, for at most ``timeout`` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._nudged, timeout)
            self._nudged = False

    def nudge(self) -> None:
        """Have who waits look again: what fits has changed."""
        with self._condition:
            self._nudged = True
            self._condition.notify_all()

    def close(self) -> None:
        """Take no more jobs; those that wait can still be had."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def clear(self) -> list[Job]:
        """Take all that wait."""
        with self._condition:
            jobs, self._jobs = list(self._jobs), deque()
            return jobs

    @property
    def finished(self) -> bool:
        """Whether it is closed and empty."""
        with self._condition:
            return self._closed and not self._jobs
