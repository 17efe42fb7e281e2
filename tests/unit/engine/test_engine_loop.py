"""The engine and its worker: loading, answering, cancelling, failing and coming back."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from llmos_api import ChatMessage, FinishReason, Health, HealthStatus
from llmos_engine import residency
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
    ContextOverflow,
    DecodeFailed,
    InvalidRequest,
    NotReady,
    QueueFull,
    Refused,
)
from llmos_engine.jobs import Event, Failed, Finished, Job, Task, Text, Work
from llmos_engine.models import ModelStore
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile
from tests.unit.engine.in_thread import InThread
from tests.unit.models.gguf_file import tiny_model

PATIENCE = 10.0
HELLO = Conversation((ChatMessage.user("hi"),))
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


@pytest.fixture
def models(tmp_path: Path) -> Path:
    tiny_model().write(tmp_path / "default.gguf")
    return tmp_path


@pytest.fixture
def asker(models: Path) -> Iterator[Asker]:
    asker = Asker(models, ScriptedBackend(), queue_limit=2)
    asker.engine.start()
    asker.until(HealthStatus.OK)
    yield asker
    asker.backend.gate.set()
    assert asker.engine.stop(PATIENCE)


def reason(end: Finished | Failed) -> FinishReason | str:
    return end.reason if isinstance(end, Finished) else str(end.error)


def test_an_answer_is_text_and_its_counts(asker: Asker) -> None:
    text, end = asker.ask("four").all()
    assert text == "abc"
    assert isinstance(end, Finished)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (4, 3)
    assert end.usage.total_tokens == 7


def test_the_token_limit_ends_an_answer(asker: Asker) -> None:
    text, end = asker.ask(limit=2).all()
    assert (text, reason(end)) == ("ab", FinishReason.LENGTH)


def test_a_stop_string_ends_an_answer_and_is_not_in_it(asker: Asker) -> None:
    text, end = asker.ask(stops=("bc",)).all()
    assert (text, reason(end)) == ("a", FinishReason.STOP)


def test_the_end_of_the_context_ends_an_answer(asker: Asker) -> None:
    asker.backend.script = ["x"] * 100
    text, end = asker.ask("p" * 30).all()
    assert (text, reason(end)) == ("xx", FinishReason.LENGTH)


def test_a_prompt_without_room_for_an_answer_is_refused_with_both_numbers(asker: Asker) -> None:
    _, end = asker.ask("p" * 32).all()
    assert isinstance(end, Failed)
    assert isinstance(end.error, ContextOverflow)
    assert (end.error.status, end.error.code) == (400, "context_length_exceeded")
    assert "32 tokens" in str(end.error)


def test_a_cancelled_job_stops_within_one_step(asker: Asker) -> None:
    backend = asker.backend
    backend.gate.clear()
    asked = asker.ask()
    assert backend.reached.wait(PATIENCE)
    asked.job.cancel()
    backend.gate.set()
    assert backend.ended.wait(PATIENCE)
    assert asker.ask("next").all()[0] == "abc"
    assert asked._events.empty()


def test_requests_are_answered_in_their_order_and_too_many_are_refused(asker: Asker) -> None:
    asker.backend.gate.clear()
    first = asker.ask()
    assert asker.backend.reached.wait(PATIENCE)
    waiting = [asker.ask(), asker.ask()]
    with pytest.raises(QueueFull):
        asker.ask()
    asker.backend.gate.set()
    assert [asked.all()[0] for asked in (first, *waiting)] == ["abc"] * 3


def test_a_refusal_by_the_model_leaves_it_loaded(asker: Asker) -> None:
    asker.backend.script = ["a", InvalidRequest("cannot be")]
    text, end = asker.ask().all()
    assert (text, reason(end)) == ("a", "cannot be")
    assert asker.backend.loaded == ["default"]


@pytest.mark.parametrize("fault", [DecodeFailed("no slot"), ValueError("a bug")])
def test_a_failing_model_is_loaded_again(asker: Asker, fault: Exception) -> None:
    asker.backend.script = ["a", fault]
    text, end = asker.ask().all()
    assert text == "a"
    assert isinstance(end, Failed)
    assert isinstance(end.error, NotReady)
    asker.backend.script = ["back"]
    assert asker.ask().all()[0] == "back"
    assert (asker.backend.loaded, asker.backend.closed) == (["default"] * 2, 1)


def test_another_model_is_loaded_when_it_is_asked_for(asker: Asker, models: Path) -> None:
    tiny_model().write(models / "other.gguf")
    assert asker.ask(model="other").all()[0] == "abc"
    assert asker.engine.health == Health(HealthStatus.OK, model="default", device="a script")
    assert asker.ask(model="default").all()[0] == "abc"
    assert asker.backend.loaded == ["default", "other"]


def test_a_model_that_does_not_load_leaves_the_default(asker: Asker, models: Path) -> None:
    tiny_model().write(models / "other.gguf")
    asker.backend.failure = ModelError("is too large")
    text, end = asker.ask(model="other").all()
    assert (text, reason(end)) == ("", "is too large")
    assert asker.engine.health.ready
    assert asker.ask().all()[0] == "abc"
    eventually(lambda: "is too large" in refusal(asker, "other"))


class Small:
    """A machine with room for two models of the tests, but not for three."""

    room = 250
    each = 100

    def __init__(self, asker: "Asker") -> None:
        self._asker = asker

    def available(self) -> int:
        # Weights are pages of files, which count as free: only the other half is gone.
        loaded = len(self._asker.engine._residents.all())
        return self.room - max(0, loaded - 1) * self.each // 2


@pytest.fixture
def tight(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    monkeypatch.setattr(residency, "STAYS", 0.0)
    backend = ScriptedBackend()
    backend.size = Small.each
    asker = Asker(models, backend)
    asker.engine._residents._machine = Small(asker)  # type: ignore[assignment]
    for name in ("second", "third"):
        tiny_model().write(models / f"{name}.gguf")
    asker.engine.start()
    asker.until(HealthStatus.OK)
    yield asker
    backend.gate.set()
    assert asker.engine.stop(PATIENCE)


def resident(asker: Asker) -> set[str]:
    return {worker.file.id for worker in asker.engine._residents.all()}


def test_models_stay_while_there_is_room_and_the_longest_idle_goes(tight: Asker) -> None:
    for name in ("second", "default"):
        assert tight.ask(model=name).all()[0] == "abc"
    assert resident(tight) == {"default", "second"}
    assert tight.ask(model="third").all()[0] == "abc"
    assert resident(tight) == {"default", "third"}
    assert tight.backend.loaded == ["default", "second", "third"]
    assert tight.backend.closed == 1


def test_one_that_works_is_waited_for_and_gets_no_more_work_meanwhile(tight: Asker) -> None:
    assert tight.ask(model="second").all()[0] == "abc"
    tight.backend.gate.clear()
    busy = [tight.ask(model=name) for name in ("default", "second")]
    assert tight.backend.reached.wait(PATIENCE)
    wanted = tight.ask(model="third")
    eventually(lambda: tight.engine._residents.starting is not None)
    later = tight.ask(model="second")
    assert wanted._events.empty()
    tight.backend.gate.set()
    assert [asked.all()[0] for asked in (*busy, wanted, later)] == ["abc"] * 4
    assert tight.backend.loaded[:3] == ["default", "second", "third"]


def test_what_never_fits_is_refused_at_once_with_both_sizes(tight: Asker) -> None:
    tight.backend.size = 2_000_000_000
    _, end = tight.ask(model="third").all()
    assert isinstance(end, Failed)
    assert (end.error.status, end.error.code) == (503, "insufficient_memory")
    assert "third needs 2.0 GB of memory, and 0 MB can be had" in str(end.error)
    assert tight.ask().all()[0] == "abc"
    tight.backend.size = Small.each
    assert tight.ask(model="third").all()[0] == "abc"


def test_what_is_predicted_and_measured_is_told(tight: Asker) -> None:
    assert tight.ask().all()[0] == "abc"
    page = tight.engine.metrics.text().decode()
    assert 'llmos_engine_model_memory_bytes{kind="predicted",model="default"} 100.0' in page


def test_a_model_whose_file_has_gone_gives_its_memory_back(tight: Asker, models: Path) -> None:
    assert tight.ask(model="second").all()[0] == "abc"
    (models / "second.gguf").unlink()
    eventually(lambda: resident(tight) == {"default"})


def test_a_worker_that_ends_while_it_predicts_is_not_asked_again_to(
    tight: Asker,
) -> None:
    tight.engine._residents._machine.room = 1_000_000_000  # type: ignore[attr-defined]
    tight.backend.faults["second"] = SystemExit()  # ends the thread without a word
    _, end = tight.ask(model="second").all()
    assert isinstance(end, Failed)
    assert tight.ask(model="second").all()[0] == "abc"


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


def test_a_model_that_cannot_be_loaded_is_a_state_with_a_reason(models: Path) -> None:
    backend = ScriptedBackend()
    backend.failure = ModelError("has no tokenizer")
    asker = Asker(models, backend)
    asker.engine.start()
    assert asker.until(HealthStatus.FAILED).error == "has no tokenizer"
    with pytest.raises(NotReady, match="has no tokenizer"):
        asker.ask()
    assert asker.engine.stop(PATIENCE)


def test_a_fault_while_loading_is_a_state_too(models: Path) -> None:
    backend = ScriptedBackend()
    backend.failure = RuntimeError("a bug")
    asker = Asker(models, backend)
    asker.engine.start()
    assert "a bug" in (asker.until(HealthStatus.FAILED).error or "")
    assert asker.engine.stop(PATIENCE)


def test_a_model_that_is_put_there_later_is_found(tmp_path: Path) -> None:
    asker = Asker(tmp_path, ScriptedBackend())
    asker.engine.start()
    assert "there is no model" in (asker.until(HealthStatus.FAILED).error or "")
    tiny_model().write(tmp_path / "new")
    (tmp_path / "new").rename(tmp_path / "default.gguf")
    assert asker.until(HealthStatus.OK).model == "default"
    assert asker.ask().all()[0] == "abc"
    assert asker.engine.stop(PATIENCE)


def test_jobs_that_came_while_loading_are_answered(models: Path) -> None:
    asker = Asker(models, ScriptedBackend())
    asked = asker.ask()
    assert asker.engine.health.status is HealthStatus.LOADING
    asker.engine.start()
    assert asked.all()[0] == "abc"
    assert asker.engine.stop(PATIENCE)


def test_draining_answers_what_waits_and_refuses_the_rest(asker: Asker) -> None:
    asker.backend.gate.clear()
    first = asker.ask()
    assert asker.backend.reached.wait(PATIENCE)
    second = asker.ask()
    asker.engine.drain()
    with pytest.raises(NotReady, match="stopping"):
        asker.ask()
    asker.backend.gate.set()
    assert (first.all()[0], second.all()[0]) == ("abc", "abc")


def test_stopping_ends_a_running_answer_and_those_that_wait(asker: Asker) -> None:
    asker.backend.gate.clear()
    running = asker.ask()
    assert asker.backend.reached.wait(PATIENCE)
    waiting = asker.ask()
    stopper = threading.Thread(target=asker.engine.stop, args=(PATIENCE,))
    stopper.start()
    assert "stopping" in str(reason(waiting.all()[1]))
    asker.backend.gate.set()
    assert "stopping" in str(reason(running.all()[1]))
    stopper.join(PATIENCE)


def test_stopping_while_a_model_loads_is_no_failure(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(ScriptedBackend):
        def load(self, file: ModelFile, progress: Progress) -> ScriptedModel:
            self.reached.set()
            while progress(0.5):
                pass
            raise ModelError("llama.cpp cannot load it")

    backend = Slow()
    asker = Asker(models, backend)
    asker.engine.start()
    assert backend.reached.wait(PATIENCE)
    assert asker.engine.stop(PATIENCE)
    assert asker.engine.health.status is HealthStatus.LOADING
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_model_that_hangs_is_ended_and_loaded_again(models: Path) -> None:
    now = [0.0]
    backend = ScriptedBackend()
    states: queue.Queue[Health] = queue.Queue()
    engine = Engine(
        InThread(backend), ModelStore([models]), clock=lambda: now[0], on_health=states.put
    )
    engine.start()
    while states.get(timeout=PATIENCE).status is not HealthStatus.OK:
        pass
    backend.gate.clear()
    asked = Asked(engine, Work(engine.store.find(None), Task(HELLO, Sampling())))
    assert backend.reached.wait(PATIENCE)
    assert engine.health.ready
    now[0] = 500.0
    health = engine.health
    assert (health.status, health.status.http_status) == (HealthStatus.FAILED, 503)
    assert "has not moved for 500 seconds" in (health.error or "")
    _, end = asked.all()
    assert isinstance(end, Failed)
    assert (end.error.status, end.error.headers) == (503, {"retry-after": "5"})
    assert "has not moved for 500 seconds" in str(end.error)
    backend.gate.set()
    while states.get(timeout=PATIENCE).status is not HealthStatus.OK:
        pass
    again = Asked(engine, Work(engine.store.find(None), Task(HELLO, Sampling())))
    assert again.all()[0] == "abc"
    assert engine.stop(PATIENCE)


def test_a_worker_that_is_gone_costs_its_requests_and_no_other(asker: Asker) -> None:
    asker.backend.gate.clear()
    lost = asker.ask()
    assert asker.backend.reached.wait(PATIENCE)
    asker.spawner.workers[0].kill()
    _, end = lost.all()
    assert isinstance(end, Failed)
    assert isinstance(end.error, NotReady)
    assert end.error.headers == {"retry-after": "5"}
    assert "SIGKILL" in str(end.error)
    asker.backend.gate.set()
    assert asker.ask().all()[0] == "abc"
    assert b"llmos_engine_worker_deaths_total 1.0" in asker.engine.metrics.text()
