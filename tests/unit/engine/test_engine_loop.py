"""The engine and its worker: loading, answering, cancelling, failing and coming back."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_api import ChatMessage, FinishReason, Health, HealthStatus
from llmos_engine.backends.base import (
    Conversation,
    Progress,
    Sampling,
)
from llmos_engine.engine import Engine
from llmos_engine.errors import (
    ContextOverflow,
    DecodeFailed,
    InvalidRequest,
    NotReady,
    QueueFull,
)
from llmos_engine.jobs import Failed, Finished, Task, Work
from llmos_engine.models import ModelStore
from llmos_models.errors import ModelError
from llmos_models.scan import ModelFile
from tests.unit.engine.in_thread import InThread
from tests.unit.engine.scripted import (
    PATIENCE,
    Asked,
    Asker,
    ScriptedBackend,
    ScriptedModel,
    eventually,
    reason,
    refusal,
)
from tests.unit.models.gguf_file import tiny_model

HELLO = Conversation((ChatMessage.user("hi"),))


@pytest.fixture
def asker(models: Path) -> Iterator[Asker]:
    asker = Asker(models, ScriptedBackend(), queue_limit=2)
    asker.engine.start()
    asker.until(HealthStatus.OK)
    yield asker
    asker.backend.gate.set()
    assert asker.engine.stop(PATIENCE)


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
