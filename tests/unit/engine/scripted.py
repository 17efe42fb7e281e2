"""A model that says what a test wrote, an engine with it, and questions to that."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from llmos_api import ChatMessage, FinishReason, Health, HealthStatus
from llmos_engine.backends.base import (
    Asked as AskedOf,
)
from llmos_engine.backends.base import (
    Conversation,
    Feed,
    Made,
    Needs,
    Outcome,
    Progress,
    Prompt,
    Sampling,
    Shape,
    Token,
)
from llmos_engine.engine import Engine
from llmos_engine.errors import (
    NotReady,
    Refused,
)
from llmos_engine.jobs import Event, Failed, Finished, Job, Task, Text, Work
from llmos_engine.models import ModelStore
from llmos_models.scan import ModelFile
from tests.unit.engine.in_thread import InThread

PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""


class ScriptedModel:
    """Says what it was told to, one answer at a time; `gate` holds it before each token."""

    context = 32
    device = "a script"
    shape = Shape(slots=1, capacity=32, batch=64)

    def __init__(self, backend: "ScriptedBackend") -> None:
        self._backend = backend
        self._script: Iterator[str | Exception] = iter(())

    def prompt(self, asked: AskedOf) -> Prompt:
        assert isinstance(asked, Conversation)
        return Prompt(asked.messages[-1].text.encode())

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Sequence[int]:
        return text.encode()

    def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        return [bytes([token]) for token in tokens]

    def open(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, *, anew: bool = False
    ) -> int:
        assert (slot, list(tokens)) == (0, list(tokens))
        self._script = iter(self._backend.script)
        return 0

    def run(self, feeds: Sequence[Feed]) -> Sequence[Outcome]:
        assert len(feeds) == 1
        return [Outcome(self._next() if feed.makes else None) for feed in feeds]

    def _next(self) -> Made:
        backend = self._backend
        step = next(self._script, None)
        if step is None:
            return None
        backend.reached.set()
        assert backend.gate.wait(PATIENCE)
        if isinstance(step, Refused):
            return step
        if isinstance(step, Exception):
            raise step
        return Token(ord(step[0]), step.encode())

    def park(self, slot: int) -> object:
        return self._script

    def resume(self, slot: int, parked: object) -> None:
        self._script = cast("Iterator[str | Exception]", parked)

    def drop(self, parked: object) -> None:
        pass

    def end(self, slot: int) -> None:
        self._backend.ended.set()

    def close(self) -> None:
        self._backend.closed += 1


class ScriptedBackend:
    def __init__(self) -> None:
        self.script: list[str | Exception] = ["a", "b", "c"]
        self.failure: Exception | None = None
        self.loaded: list[str] = []
        self.size = 0
        self.faults: dict[str, BaseException] = {}
        self.closed = 0
        self.reached, self.ended, self.gate = (
            threading.Event(),
            threading.Event(),
            threading.Event(),
        )
        self.gate.set()

    def needs(self, file: ModelFile) -> Needs:
        if (fault := self.faults.get(file.id)) is not None:
            raise fault
        return Needs(self.size // 2, self.size // 2)

    def load(self, file: ModelFile, progress: Progress) -> ScriptedModel:
        progress(0.5)
        if self.failure is not None:
            raise self.failure
        self.loaded.append(file.id)
        return ScriptedModel(self)


class Asker:
    """Submits jobs and waits for their events, without a clock."""

    def __init__(self, models: Path, backend: ScriptedBackend, *, queue_limit: int = 32) -> None:
        self.backend = backend
        self.states: queue.Queue[Health] = queue.Queue()
        self.spawner = InThread(backend)
        self.engine = Engine(
            self.spawner,
            ModelStore([models]),
            queue_limit=queue_limit,
            on_health=self.states.put,
        )

    def ask(self, text: str = "hi", *, model: str | None = None, **work: object) -> "Asked":
        return Asked(
            self.engine,
            Work(
                self.engine.store.find(model),
                Task(
                    Conversation((ChatMessage.user(text),)),
                    Sampling(),
                    **work,  # type: ignore[arg-type]
                ),
            ),
        )

    def until(self, status: HealthStatus) -> Health:
        while (health := self.states.get(timeout=PATIENCE)).status is not status:
            pass
        return health


class Asked:
    def __init__(self, engine: Engine, work: Work) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self.job = Job(work, self._events.put)
        engine.submit(self.job)

    def next(self) -> Event:
        return self._events.get(timeout=PATIENCE)

    def all(self) -> tuple[str, Finished | Failed]:
        text = ""
        while isinstance(event := self.next(), Text):
            text += event.text
        assert isinstance(event, Finished | Failed)
        return text, event


def reason(end: Finished | Failed) -> FinishReason | str:
    return end.reason if isinstance(end, Finished) else str(end.error)


def refusal(asker: Asker, model: str) -> str:
    """What a request is refused with before it is queued; empty if it is not."""
    try:
        asker.ask(model=model).all()
    except NotReady as error:
        return str(error)
    return ""


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
