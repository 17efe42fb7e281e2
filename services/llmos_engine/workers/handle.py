"""The front's side of a worker: what it works on, and what becomes of it when it ends.

    asking ──► waiting ──► loading ──► ready ──► ended
       └──────────┴───────────┴──────────────────┘

Two threads: one sends, so that nobody waits for a worker that computes, and one receives.
"""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from llmos_engine.backends.base import Needs
from llmos_engine.errors import NotReady, Refused
from llmos_engine.jobs import RETRY_AFTER, Event, Failed, Job, Task, Text
from llmos_engine.metrics import Metrics
from llmos_engine.scheduling.request import Priority
from llmos_engine.workers.wire import (
    Ask,
    Cancel,
    Closed,
    Connection,
    FromWorker,
    Go,
    Loaded,
    Report,
    Submit,
    Unusable,
    Wants,
)
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile

END_SECONDS: Final = 3.0
"""Seconds that a worker has to give its memory back after the connection was closed."""


class NoWorkers(ModelError):
    """No process can be started for any model, now or later."""


class Process(Protocol):
    """What a worker runs in."""

    def kill(self) -> None:
        """End it, whatever it does."""

    def wait(self, seconds: float) -> str | None:
        """Wait until it has ended; how it did, or None while it runs."""


class Spawner(Protocol):
    """Starts workers."""

    def spawn(self, file: ModelFile, *, predict: bool) -> tuple[socket.socket, Process]:
        """Start a worker for ``file``; the front's end of its connection.

        With ``predict`` it finds out what the model takes, else it says the file's size.

        Raises:
            NoWorkers: none can be started.
        """

    def tidy(self) -> None:
        """Forget what workers have left that ended; called every few seconds."""


class State(Enum):
    """Where a worker stands."""

    ASKING = "asking"
    """It finds out what the model will take."""
    WAITING = "waiting"
    """It waits for room."""
    LOADING = "loading"
    READY = "ready"
    ENDING = "ending"
    """Its model has failed: it takes no more work, and its memory is not free yet."""
    ENDED = "ended"


class Worker:
    """One model's process. ``on_change`` is called, on any thread, when there is news of it:
    another state, or nothing more to do.
    """

    def __init__(
        self,
        file: ModelFile,
        spawner: Spawner,
        *,
        meter: Metrics,
        on_change: Callable[[], None] = lambda: None,
        predict: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = file
        self.device = ""
        self.fault: str | None = None
        """Why it has ended, if nobody told it to."""
        self.state = State.ASKING
        self.ended_in: State | None = None
        """The state before it ended."""
        self.usable = True
        """False once it has said that its model cannot be loaded."""
        self.refused = False
        """Whether there is no room for it."""
        self.needs = Needs(0, 0)
        self.begun = self.ready_since = self.idle_since = clock()
        self.urgency = Priority.INTERACTIVE
        """Of the last request."""
        self._code = "model_failed"
        self._meter = meter
        self._on_change = on_change
        self._clock = clock
        self._last_word = clock()
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._newest = self._waiting = self._slots = 0
        end, self._process = spawner.spawn(file, predict=predict)
        self._link: Connection[FromWorker] = Connection(end, FromWorker)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="send", daemon=True)
        self._sender.start()
        threading.Thread(target=self._receive, name="receive", daemon=True).start()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything from it."""
        return not self._jobs

    @property
    def waiting(self) -> int:
        """How many of its answers have not begun, or were put aside."""
        # What it said last, but for what it was told since.
        return max(self._waiting, len(self._jobs) - self._slots)

    def silent_for(self) -> float:
        """Seconds since it last said anything; it does after each batch, and when idle."""
        return self._clock() - self._last_word

    def let_load(self) -> None:
        """There is room for it."""
        self.state = State.LOADING
        self._meter.take("model_memory_bytes", self.needs.total, self.file.id, "predicted")
        self._outbox.put(self._link.encode(Go()))

    def submit(self, job: Job) -> None:
        """Hand a job over; it fails at once if the worker has ended."""
        with self._lock:
            self._newest += 1
            number = self._newest
        task = job.work.task
        try:
            message = Submit.of(number, task) if isinstance(task, Task) else Ask(number, task)
        except Refused as error:
            job.emit(Failed(error))
            return
        data = self._link.encode(message)
        with self._lock:
            ended = self.state in {State.ENDING, State.ENDED}
            if not ended:
                self._jobs[number] = job
                self.urgency = task.priority if isinstance(task, Task) else self.urgency
                self._outbox.put(data)
        if ended:
            job.emit(Failed(self._ended_error()))
        else:
            job.on_cancel(lambda: self._cancel(number))

    def stop(self, error: Refused) -> None:
        """Fail what it works on with ``error``, and have it end; wait a little, then kill it."""
        self._fail_all(error)
        self._link.close()
        if self._process.wait(END_SECONDS) is None:
            self.kill(None)

    def refuse(self, why: str, *, code: str) -> None:
        """End one that waits for room: there never will be any."""
        self._code, self.refused = code, True
        self.kill(why)

    def kill(self, why: str | None) -> None:
        """End it at once; ``why`` is what those are told who wait for it."""
        self.fault = self.fault or why
        self._process.kill()
        self._link.close()

    # What follows runs on its two threads.

    def _send(self) -> None:
        with contextlib.suppress(Closed):
            while (data := self._outbox.get()) is not None:
                self._link.send_bytes(data)

    def _receive(self) -> None:
        try:
            while True:
                for message in self._link.receive():
                    self._last_word = self._clock()
                    self._take(message)
        except Closed as error:
            self._end(str(error))

    def _take(self, message: FromWorker) -> None:
        match message:
            case Wants(needs):
                self.needs, self.state = needs, State.WAITING
                self._on_change()
            case Loaded(device, slots):
                self.device, self._slots, self.state = device, slots, State.READY
                self.ready_since = self.idle_since = self._clock()
                self._on_change()
            case Unusable(why):
                self.fault, self.usable = why, False
            case Report():
                self._take_report(message)

    def _take_report(self, report: Report) -> None:
        self._waiting = report.waiting
        if report.last:
            # Before anybody hears of it: what comes now is for another worker.
            self.ended_in, self.state = self.state, State.ENDING
        for sample in report.samples:
            self._meter.take(sample.name, sample.value, *sample.labels)
        for number, event in report.events:
            if (job := self._job_of(number, event)) is not None:
                job.emit(event)
        if report.events and self.idle:
            self.idle_since = self._clock()
            self._on_change()

    def _job_of(self, number: int, event: Event) -> Job | None:
        """Whose event it is; the last one ends the job."""
        with self._lock:
            if isinstance(event, Text):
                return self._jobs.get(number)
            return self._jobs.pop(number, None)

    def _cancel(self, number: int) -> None:
        with self._lock:
            known = self._jobs.pop(number, None)
        if known is not None:
            self._outbox.put(self._link.encode(Cancel(number)))
            if self.idle:
                self.idle_since = self._clock()
                self._on_change()

    def _end(self, why: str) -> None:
        self._link.close()
        how = self._process.wait(END_SECONDS)
        if how is None:
            self._process.kill()
            how = self._process.wait(END_SECONDS) or why
        with self._lock:
            self.fault = self.fault or f"the process of the model {self.file.id} {how}"
            self.ended_in, self.state = self.ended_in or self.state, State.ENDED
        self._outbox.put(None)
        self._sender.join()
        self._link.release()
        self._meter.forget(self.file.id)
        self._fail_all(self._ended_error())
        self._on_change()

    def _ended_error(self) -> NotReady:
        what = self.fault or "the model is not loaded any more"
        return NotReady(what, code=self._code, retry_after=RETRY_AFTER)

    def _fail_all(self, error: Refused) -> None:
        with self._lock:
            jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            job.emit(Failed(error))
