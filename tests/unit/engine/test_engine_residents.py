"""Which models stay loaded in an engine, which make room, and which never fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_api import HealthStatus
from llmos_engine import residency
from llmos_engine.jobs import Failed
from tests.unit.engine.scripted import PATIENCE, Asker, ScriptedBackend, eventually
from tests.unit.models.gguf_file import tiny_model


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
