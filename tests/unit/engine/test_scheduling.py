"""The scheduler against a machine that only counts: nothing is lost, doubled or left behind."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_engine.scheduling.pace import FAIR_STRETCH, STRETCH, Pace
from llmos_engine.scheduling.ranking import AGE_SECONDS, QUANTUM, effective_class
from llmos_engine.scheduling.request import Phase, Priority, Request
from llmos_engine.scheduling.scheduler import Kind, Move, Piece, Scheduler, Step

STEP_SECONDS = 0.05


@dataclass
class World:
    """Computes what it is told to and checks that it is what it should be told."""

    slots: int = 4
    capacity: int = 512
    batch: int = 64
    now: float = 0.0
    requests: dict[int, Request] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(slots=self.slots, capacity=self.capacity, batch=self.batch)

    def submit(
        self, priority: Priority, prompt: int = 10, limit: int = 5, ends: int | None = None
    ) -> int:
        number = len(self.requests)
        request = Request(number, priority, prompt, limit, self.now)
        self.requests[number] = request
        self.held[number] = self.made[number] = 0
        if ends is not None:
            self.ends[number] = ends
        self.scheduler.submit(request)
        return number

    def cancel(self, number: int) -> None:
        self.scheduler.cancel(number)
        self.done.setdefault(number, self.now)
        self.owner = {slot: owner for slot, owner in self.owner.items() if owner != number}

    def turn(self) -> Step:
        """One step of whoever computes."""
        self._carry_out(self.scheduler.place(self.now))
        _priorities_hold(self)
        moves, step = self.scheduler.step(self.now)
        self._carry_out(moves)
        assert sum(piece.count for piece in step.pieces) <= self.batch
        assert len({piece.slot for piece in step.pieces}) == len(step.pieces)
        ended = [piece.request for piece in step.pieces if self._compute(piece)]
        assert sum(self.held[owner] for owner in self.owner.values()) <= self.capacity
        self.now += STEP_SECONDS
        self.steps += 1
        for number in self.scheduler.finished(step, ended, STEP_SECONDS):
            self.done[number] = self.now
            self.owner = {slot: owner for slot, owner in self.owner.items() if owner != number}
        return step

    def _carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            if move.kind is Kind.PARK:
                assert self.owner.pop(move.slot) == move.request
                continue
            assert move.slot not in self.owner
            self.owner[move.slot] = move.request
            if move.kind is Kind.ADMIT:
                self.held[move.request] = 0
                self.scheduler.reused(move.request, 0)

    def _compute(self, piece: Piece) -> bool:
        """Whether the request has ended by itself."""
        number = piece.request
        assert self.owner[piece.slot] == number
        assert piece.start == self.held[number]
        self.held[number] += piece.count
        whole = self.held[number] == self.requests[number].prompt + self.made[number]
        assert piece.makes == whole
        if not whole:
            return False
        if self.made[number] == self.ends.get(number):
            return True
        self.made[number] += 1
        self.first.setdefault(number, self.steps)
        return False

    def run(self, until: Callable[[], bool], steps: int = 3000) -> None:
        for _ in range(steps):
            if until():
                return
            assert self.turn().pieces, "something is to be done, and nothing is"
        raise AssertionError(f"not within {steps} steps")

    @property
    def over(self) -> bool:
        return len(self.done) == len(self.requests)


def test_a_request_is_read_and_answered_to_its_limit() -> None:
    world = World()
    number = world.submit(Priority.SERVICE, prompt=100, limit=7)
    world.run(lambda: world.over)
    assert world.made[number] == 7
    assert world.scheduler.idle


def test_one_that_ends_by_itself_ends_there() -> None:
    world = World()
    number = world.submit(Priority.SERVICE, limit=50, ends=3)
    world.run(lambda: world.over)
    assert world.made[number] == 3


def test_a_prompt_that_never_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        World().submit(Priority.BATCH, prompt=512)


def test_an_interactive_request_gets_a_slot_at_once_when_batch_work_has_all() -> None:
    world = World()
    for _ in range(8):
        world.submit(Priority.BATCH, limit=200, prompt=20)
    world.run(lambda: world.steps == 20)
    number = world.submit(Priority.INTERACTIVE, prompt=30, limit=4)
    before = world.steps
    world.run(lambda: number in world.first)
    assert world.first[number] - before <= 1
    world.run(lambda: world.over)
    assert all(world.made[n] == 200 for n in range(4))


def test_equals_do_not_take_each_others_slots() -> None:
    world = World(slots=1)
    first = world.submit(Priority.INTERACTIVE, limit=30)
    world.turn()
    second = world.submit(Priority.INTERACTIVE, limit=1)
    world.run(lambda: world.over)
    assert world.done[first] < world.done[second]


def test_batch_work_gets_on_however_many_others_come() -> None:
    world = World(slots=2)
    number = world.submit(Priority.BATCH, limit=3 * QUANTUM)
    others: list[int] = []
    while number not in world.done:
        while sum(other not in world.done for other in others) < 4:
            others.append(world.submit(Priority.INTERACTIVE, limit=10))
        assert world.now < 10 * AGE_SECONDS
        world.turn()
    assert world.made[number] == 3 * QUANTUM


def test_a_long_prompt_of_batch_work_is_read_in_small_pieces_beside_a_stream() -> None:
    world = World(capacity=4096, batch=256)
    world.submit(Priority.INTERACTIVE, limit=2000)
    world.run(lambda: world.steps == 10)
    world.submit(Priority.BATCH, prompt=2000)
    assert world.turn().read <= 64
    alone = World(capacity=4096, batch=256)
    alone.submit(Priority.BATCH, prompt=2000)
    assert alone.turn().read == 256


def test_a_full_cache_parks_the_last_ones_and_loses_nothing() -> None:
    world = World(slots=4, capacity=300)
    for _ in range(4):
        world.submit(Priority.SERVICE, prompt=40, limit=200)
    world.run(lambda: world.over, steps=5000)
    assert set(world.made.values()) == {200}


def test_the_queue_is_in_the_order_of_getting_slots() -> None:
    world = World(slots=1)
    world.submit(Priority.INTERACTIVE, limit=100)
    world.turn()
    batch = world.submit(Priority.BATCH)
    service = world.submit(Priority.SERVICE)
    assert world.scheduler.queue(world.now) == [service, batch]


def test_who_waits_rises_and_who_has_a_slot_does_not() -> None:
    request = Request(1, Priority.BATCH, 10, 10, arrived=0.0)
    assert effective_class(request, 0.0) == Priority.BATCH
    assert effective_class(request, AGE_SECONDS) == Priority.SERVICE
    assert effective_class(request, 9 * AGE_SECONDS) == Priority.INTERACTIVE
    request.phase, request.placed_as = Phase.RUNNING, Priority.BATCH
    assert effective_class(request, 9 * AGE_SECONDS) == Priority.BATCH


class TestPace:
    def test_it_keeps_a_step_within_its_stretch(self) -> None:
        pace = Pace()
        pace.learn(4, 0, 0.1)
        pace.learn(0, 100, 0.2)
        assert pace.room(4, stretch=STRETCH, most=512) == 50
        assert pace.room(4, stretch=FAIR_STRETCH, most=512) == 150
        assert pace.room(4, stretch=FAIR_STRETCH, most=99) == 99
        assert pace.room(0, stretch=STRETCH, most=512) == 512
        assert pace.room(4, stretch=None, most=512) == 512

    def test_a_prompt_gets_on_however_slow_reading_is(self) -> None:
        pace = Pace()
        pace.learn(1, 0, 0.001)
        pace.learn(0, 100, 100.0)
        assert pace.room(1, stretch=STRETCH, most=512) > 0


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(list(Priority)),
        st.integers(1, 150),
        st.integers(1, 80),
        st.none() | st.integers(0, 40),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=80)
@given(ARRIVALS, st.integers(1, 5), st.integers(151, 600), st.integers(1, 200), st.randoms())
def test_whatever_comes_nothing_is_lost_doubled_or_left_behind(
    arrivals: list[tuple[Priority, int, int, int | None, int]],
    slots: int,
    capacity: int,
    batch: int,
    chance: random.Random,
) -> None:
    world = World(slots=slots, capacity=capacity, batch=batch)
    for priority, prompt, limit, ends, pause in arrivals:
        world.submit(priority, prompt, limit, ends)
        for _ in range(pause):
            if not world.scheduler.idle:
                world.turn()
        if chance.random() < 0.15:
            world.cancel(chance.choice(list(world.requests)))
    world.run(lambda: world.over, steps=50_000)
    assert world.scheduler.idle
    assert not world.owner
    assert world.scheduler.used == 0


def _priorities_hold(world: World) -> None:
    """Who waits could not have taken the slots of a worse class: the cache has no room for it."""
    queue = world.scheduler.queue(world.now)
    if not queue:
        return
    first = world.requests[queue[0]]
    running = [world.requests[number] for number in world.owner.values()]
    worse = [
        r for r in running if effective_class(r, world.now) > effective_class(first, world.now)
    ]
    if worse:
        kept = sum(r.length for r in running) - sum(r.length for r in worse)
        assert kept > 0
        assert kept + first.length + 32 > world.capacity
