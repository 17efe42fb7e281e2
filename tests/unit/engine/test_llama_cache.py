"""Who has which sequence of the KV cache, on a context that only remembers tokens."""

import ctypes
import struct
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmos_engine.backends.llama_cache import LlamaCache, Parked

SEQUENCES, SLOTS, CAPACITY = 6, 3, 60


class FakeContext:
    """The functions of llama.cpp that the cache calls, on lists of tokens."""

    def __init__(self) -> None:
        self.held: dict[int, list[int]] = {number: [] for number in range(SEQUENCES)}

    def llama_get_memory(self, context: Any) -> Any:
        return context

    def llama_memory_seq_rm(self, memory: Any, number: int, start: int, end: int) -> bool:
        assert end == -1
        del self.held[number][max(0, start) :]
        return True

    def llama_memory_seq_cp(self, memory: Any, source: int, to: int, start: int, end: int) -> None:
        assert start == 0
        assert not self.held[to]
        assert len(self.held[source]) >= end
        self.held[to] = self.held[source][:end]

    def llama_state_seq_get_size(self, context: Any, number: int) -> int:
        return 4 * len(self.held[number])

    def llama_state_seq_get_data(self, context: Any, state: Any, size: int, number: int) -> int:
        data = struct.pack(f"{len(self.held[number])}i", *self.held[number])
        ctypes.memmove(state, data, size)
        return size

    def llama_state_seq_set_data(self, context: Any, state: Any, size: int, number: int) -> int:
        assert not self.held[number]
        self.held[number] = list(struct.unpack(f"{size // 4}i", bytes(state)))
        return size

    @property
    def used(self) -> int:
        return sum(map(len, self.held.values()))


TOKENS = st.lists(st.integers(0, 1), min_size=2, max_size=15)


class Machine(RuleBasedStateMachine):
    """Any order of what the engine does to the cache."""

    divisible = True

    def __init__(self) -> None:
        super().__init__()
        self.context = FakeContext()
        self.cache = LlamaCache(
            self.context, None, sequences=SEQUENCES, capacity=CAPACITY, divisible=self.divisible
        )
        self.running: dict[int, list[int]] = {}
        self.aside: list[tuple[Parked, list[int]]] = []

    @property
    def free(self) -> list[int]:
        return [slot for slot in range(SLOTS) if slot not in self.running]

    def compute(self, slot: int, tokens: list[int]) -> None:
        self.cache.make_room(len(tokens))
        assert self.context.used + len(tokens) <= CAPACITY
        self.context.held[self.cache.sequence(slot)].extend(tokens)
        self.cache.extend(slot, tokens)

    @precondition(lambda self: self.free)
    @rule(tokens=TOKENS, anew=st.booleans())
    def begin(self, tokens: list[int], anew: bool) -> None:
        slot = self.free[0]
        shared = self.cache.open(slot, tokens, anew=anew)
        assert shared < len(tokens)
        assert not (anew and shared)
        self.compute(slot, tokens[shared:])
        self.running[slot] = list(tokens)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), more=st.lists(st.integers(0, 1), min_size=1, max_size=3))
    def go_on(self, data: st.DataObject, more: list[int]) -> None:
        slot = data.draw(st.sampled_from(sorted(self.running)))
        if len(self.running[slot]) + len(more) <= CAPACITY // SLOTS:
            self.compute(slot, more)
            self.running[slot] += more

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.running)))
        self.cache.end(slot)
        del self.running[slot]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.running)))
        self.aside.append((self.cache.park(slot), self.running.pop(slot)))

    @precondition(lambda self: self.aside and self.free)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        parked, tokens = self.aside.pop(data.draw(st.integers(0, len(self.aside) - 1)))
        slot = self.free[0]
        self.cache.resume(slot, parked)
        self.running[slot] = tokens

    @precondition(lambda self: self.aside)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        parked, _ = self.aside.pop(data.draw(st.integers(0, len(self.aside) - 1)))
        self.cache.drop(parked)

    @rule()
    def want_everything(self) -> None:
        self.cache.make_all_room()
        kept = {self.cache.sequence(slot) for slot in self.running}
        assert not any(held for number, held in self.context.held.items() if number not in kept)

    @invariant()
    def every_sequence_is_what_it_should_be(self) -> None:
        for slot, tokens in self.running.items():
            assert self.context.held[self.cache.sequence(slot)] == tokens
        numbers = [self.cache.sequence(slot) for slot in self.running]
        numbers += [parked.sequence for parked, _ in self.aside if parked.sequence is not None]
        assert len(numbers) == len(set(numbers))
        for parked, tokens in self.aside:
            assert parked.tokens == tokens
            assert (parked.sequence is None) != (parked.state is None)


class RecurrentMachine(Machine):
    """A model whose sequences cannot be cut."""

    divisible = False


Machine.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
RecurrentMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestCache = Machine.TestCase
TestRecurrentCache = RecurrentMachine.TestCase


def test_what_has_ended_is_found_by_the_next_one_that_begins_alike() -> None:
    context = FakeContext()
    cache = LlamaCache(context, None, sequences=SEQUENCES, capacity=CAPACITY, divisible=True)
    first = [1, 2, 3, 4, 5]
    assert cache.open(0, first) == 0
    context.held[cache.sequence(0)].extend(first)
    cache.extend(0, first)
    # One that still runs is shared, and left as it is.
    assert cache.open(1, [1, 2, 3, 9]) == 3
    assert context.held[cache.sequence(0)] == first
    cache.end(0)
    assert cache.open(0, [*first, 6]) == 5


def test_putting_aside_copies_nothing_until_the_room_is_wanted() -> None:
    context = FakeContext()
    cache = LlamaCache(context, None, sequences=SEQUENCES, capacity=CAPACITY, divisible=True)
    tokens = list(range(40))
    cache.open(0, tokens)
    context.held[cache.sequence(0)].extend(tokens)
    cache.extend(0, tokens)
    parked = cache.park(0)
    assert parked.state is None
    cache.open(0, [99, 98])
    cache.make_room(30)
    assert context.used == 0
    cache.end(0)
    cache.resume(1, parked)
    assert context.held[cache.sequence(1)] == tokens
