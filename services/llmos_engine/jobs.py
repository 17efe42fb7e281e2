"""Requests on their way to the decode thread, and what comes back."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from llmos_api.types import FinishReason, Usage
from llmos_engine.backends.base import Asked, LoadedModel, Place, Sampling
from llmos_engine.errors import NotReady, QueueFull, Refused
from llmos_engine.scheduling.request import Priority
from llmos_models.scan import ModelFile

RETRY_AFTER: Final = 5
"""Seconds after which a client may ask again when the queue was full."""


@dataclass(frozen=True)
class Text:
    """A piece of the answer, and its tokens when it was asked how probable they were."""

    text: str
    places: tuple[Place, ...] = ()

    def __add__(self, other: "Text") -> "Text":
        return Text(self.text + other.text, self.places + other.places)


@dataclass(frozen=True)
class Found:
    """What was looked up in the model."""

    value: object


@dataclass(frozen=True)
class Finished:
    """The end of the answer."""

    reason: FinishReason
    usage: Usage
    prompt: int = 0
    """Which prompt of the request it answers."""


@dataclass(frozen=True)
class Failed:
    """There is no answer, or no more of it."""

    error: Refused


Event = Text | Found | Finished | Failed


@dataclass(frozen=True)
class Work:
    """What is asked, checked as far as it can be without the model."""

    model: ModelFile
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
class Lookup:
    """A question to the model that computes nothing; ``find`` runs between two batches."""

    model: ModelFile
    find: Callable[[LoadedModel], object]


@dataclass
class Job:
    """One request. ``emit`` is called on the decode thread and must not block."""

    work: Work | Lookup
    emit: Callable[[Event], None]
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop the work on it, from any thread: nobody waits for the answer."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled.is_set()


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
        """Wait for the next job; None after ``timeout`` seconds, or when closed and empty.

        None, too, when the next one does not fit: those behind it do not overtake.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._jobs or self._closed, timeout)
            return self._jobs.popleft() if self._jobs and fits(self._jobs[0]) else None

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
