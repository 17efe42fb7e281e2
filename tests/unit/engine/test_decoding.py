"""Many answers with one model: side by side, put aside, cancelled."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmos_api import ChatMessage, FinishReason
from llmos_engine.backends.base import Conversation, Sampling
from llmos_engine.backends.echo import SLOTS, EchoModel
from llmos_engine.decoding import Decoding
from llmos_engine.errors import InvalidRequest, NotReady
from llmos_engine.jobs import Event, Failed, Finished, Job, Task, Text, Work
from llmos_engine.models import ModelStore
from llmos_engine.scheduling.request import Priority
from tests.unit.models.gguf_file import tiny_model


@dataclass
class Asked:
    """A job, and what came of it."""

    job: Job
    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def end(self) -> Finished | Failed | None:
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Finished | Failed) else None


class Room:
    """A model that echoes, and answers in the making."""

    def __init__(self, folder: Path) -> None:
        tiny_model().write(folder / "default.gguf")
        self._file = ModelStore([folder]).find(None)
        self.model = Watched(2048)
        self.decoding = Decoding(self.model, clock=lambda: self.turns * 0.01)
        self.turns = 0

    def ask(
        self, text: str, priority: Priority = Priority.INTERACTIVE, limit: int | None = None
    ) -> Asked:
        asked_of = Conversation((ChatMessage.user(text),))
        task = Task(asked_of, Sampling(), limit=limit, priority=priority)
        events: list[Event] = []
        asked = Asked(Job(Work(self._file, task), events.append), events)
        self.decoding.add(asked.job, task)
        return asked

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.decoding.turn()
            self.turns += 1

    def run(self) -> None:
        for _ in range(5000):
            if self.decoding.idle:
                return
            self.turn()
        raise AssertionError("it does not come to an end")


class Watched(EchoModel):
    """Counts what is put aside, brought back and given up."""

    def __init__(self, context: int) -> None:
        super().__init__(context)
        self.counts = {"park": 0, "resume": 0, "drop": 0}

    def park(self, slot: int) -> object:
        self.counts["park"] += 1
        return super().park(slot)

    def resume(self, slot: int, parked: object) -> None:
        self.counts["resume"] += 1
        super().resume(slot, parked)

    def drop(self, parked: object) -> None:
        self.counts["drop"] += 1
        super().drop(parked)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_answers_are_made_side_by_side(room: Room) -> None:
    asked = [room.ask(letter * 20) for letter in "abc"]
    room.turn(10)
    assert [len(one.text) for one in asked] == [10, 10, 10]
    room.run()
    assert [one.text for one in asked] == ["a" * 20, "b" * 20, "c" * 20]
    assert all(isinstance(one.end, Finished) for one in asked)


def test_an_urgent_one_puts_another_aside_which_goes_on_where_it_was(room: Room) -> None:
    texts = [f"{number} " * 20 for number in range(SLOTS)]
    batch = [room.ask(text, Priority.BATCH) for text in texts]
    room.turn(10)
    urgent = room.ask("now")
    room.turn(2)
    assert urgent.text
    room.run()
    assert [one.text for one in batch] == texts
    assert room.model.counts == {"park": 1, "resume": 1, "drop": 0}


def test_one_that_is_cancelled_while_it_is_aside_is_given_up(room: Room) -> None:
    batch = [room.ask(f"{number}" * 50, Priority.BATCH) for number in range(SLOTS)]
    room.turn(10)
    room.ask("now" * 20)
    room.turn()
    assert room.model.counts["park"] == 1
    for one in batch:
        one.job.cancel()
    room.run()
    assert room.model.counts["drop"] == 1
    assert all(one.end is None for one in batch)


def test_those_without_a_place_are_counted(room: Room) -> None:
    for _ in range(SLOTS + 3):
        room.ask("x" * 10)
    room.turn()
    assert room.decoding.waiting == 3


def test_an_answer_ends_at_its_limit(room: Room) -> None:
    asked = room.ask("abcdef", limit=3)
    room.run()
    assert asked.text == "abc"
    assert isinstance(asked.end, Finished)
    assert asked.end.reason is FinishReason.LENGTH
    assert asked.end.usage.completion_tokens == 3


def test_nothing_to_read_is_refused(room: Room) -> None:
    with pytest.raises(InvalidRequest, match="nothing to read"):
        room.ask("")


def test_a_failure_ends_all_of_them(room: Room) -> None:
    asked = [room.ask("abc"), room.ask("def")]
    room.turn()
    room.decoding.fail(NotReady("gone", code="decode_failed"))
    assert room.decoding.idle
    assert [str(one.end.error) for one in asked if isinstance(one.end, Failed)] == ["gone"] * 2
