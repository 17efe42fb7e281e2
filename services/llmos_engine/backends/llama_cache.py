"""What the KV cache of a llama.cpp context holds, and how it is shared.

A sequence of the cache belongs to a slot, or is put aside, or has ended: then it stays until its
room is wanted. There are more sequences than slots. So putting one aside costs nothing, and it is
copied out only when others want its room; and the next one that begins like one that has ended, or
like one that still runs, does not read that part again. Cells are shared, not copied, where the
model allows that a sequence begins with a part of another one; recurrent models do not.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from llmos_engine.errors import DecodeFailed


@dataclass(eq=False)
class Parked:
    """A sequence that was put aside: where it is, or its state as llama.cpp writes it."""

    tokens: list[int]
    sequence: int | None
    state: "ctypes.Array[ctypes.c_uint8] | None" = None


@dataclass
class _Sequence:
    """What a sequence of the cache holds, and who has it."""

    tokens: list[int] = field(default_factory=list)
    slot: int | None = None
    parked: Parked | None = None
    used_at: int = 0

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return self.slot is None and self.parked is None


class LlamaCache:
    """The sequences of one context, which hold ``capacity`` tokens together."""

    def __init__(
        self, lib: Any, context: Any, *, sequences: int, capacity: int, divisible: bool
    ) -> None:
        self._lib = lib
        self._ctx = context
        self._memory = lib.llama_get_memory(context)
        self._capacity = capacity
        self._divisible = divisible
        self._sequences = [_Sequence() for _ in range(sequences)]
        self._of_slot: dict[int, int] = {}
        self._clock = count(1)

    def sequence(self, slot: int) -> int:
        """Return the number that the sequence of a slot has in the context."""
        return self._of_slot[slot]

    def open(self, slot: int, tokens: Sequence[int], *, anew: bool = False) -> int:
        """Begin a sequence with what the cache shares with ``tokens``; return how much that is.

        The last token is always read anew: its logits are what the answer starts from. With
        ``anew`` all of them are.
        """
        # First of all: what is copied out for it is no more to be shared with.
        self._keep_one_free()
        source, shared = (None, 0) if anew else self._alike(tokens)
        if source is not None and self._continues(source, shared):
            number = source
        else:
            number = self._free(besides=source)
            self._clear(number)
            if source not in {None, number} and self._divisible:
                self._lib.llama_memory_seq_cp(self._memory, source, number, 0, shared)
            else:
                shared = 0
        self._take(slot, number)
        self._sequences[number].tokens = list(tokens[:shared])
        return shared

    def extend(self, slot: int, tokens: Sequence[int]) -> None:
        """Take in that the context has computed ``tokens``."""
        self._sequences[self._of_slot[slot]].tokens.extend(tokens)

    def make_room(self, tokens: int) -> None:
        """Make room for ``tokens`` more: forget what has ended, then copy out what is put aside.

        Shared cells count for each who has them here, and once in the cache: there can be room
        where none was made.
        """
        while sum(len(one.tokens) for one in self._sequences) + tokens > self._capacity:
            if not self._give_way():
                return

    def make_all_room(self) -> None:
        """Leave nothing in the cache but what belongs to slots."""
        while self._give_way():
            pass

    def end(self, slot: int) -> None:
        """End a sequence: it stays while there is room."""
        if (number := self._of_slot.pop(slot, None)) is not None:
            one = self._sequences[number]
            one.slot, one.used_at = None, next(self._clock)

    def park(self, slot: int) -> Parked:
        """Put a sequence aside."""
        number = self._of_slot.pop(slot)
        one = self._sequences[number]
        parked = Parked(one.tokens, number)
        one.slot, one.parked, one.used_at = None, parked, next(self._clock)
        return parked

    def resume(self, slot: int, parked: Parked) -> None:
        """Bring a sequence back, into ``slot``.

        Raises:
            DecodeFailed: llama.cpp does not take it.
        """
        if parked.sequence is None:
            self._bring_back(parked)
        number = parked.sequence
        if number is None:
            raise AssertionError("it was brought back")
        self._take(slot, number)

    def drop(self, parked: Parked) -> None:
        """Give up a sequence that was put aside; what it holds may still be of use."""
        if parked.sequence is not None:
            self._sequences[parked.sequence].parked = None
        parked.state = None

    # How it works

    def _alike(self, tokens: Sequence[int]) -> tuple[int | None, int]:
        """Return the sequence that shares most with ``tokens``, and how much that is."""
        found = (
            (number, _shared(one.tokens, tokens)) for number, one in enumerate(self._sequences)
        )
        # One that nobody has, where that is as good: nothing has to be shared then.
        best = max(found, key=lambda pair: (pair[1], self._sequences[pair[0]].idle))
        return best if best[1] else (None, 0)

    def _continues(self, number: int, shared: int) -> bool:
        """Whether the sequence itself can be gone on with, and is now cut to ``shared``."""
        one = self._sequences[number]
        if not one.idle:
            return False
        if not self._divisible and shared < len(one.tokens):
            return False
        # One that holds much more is worth keeping, when there is another place for this one.
        if self._divisible and shared * 2 < len(one.tokens) and self._unused(besides=number):
            return False
        return bool(self._lib.llama_memory_seq_rm(self._memory, number, shared, -1))

    def _unused(self, besides: int | None) -> bool:
        return any(
            one.idle and not one.tokens
            for number, one in enumerate(self._sequences)
            if number != besides
        )

    def _keep_one_free(self) -> None:
        if not any(one.idle for one in self._sequences):
            self._copy_out()

    def _free(self, besides: int | None = None) -> int:
        """Return a sequence that nobody has: the one unused for longest, ``besides`` at last."""
        idle = (number for number, one in enumerate(self._sequences) if one.idle)
        return min(idle, key=lambda number: (number == besides, self._age(number)))

    def _age(self, number: int) -> int:
        one = self._sequences[number]
        return one.used_at if one.tokens else 0

    def _take(self, slot: int, number: int) -> None:
        self._of_slot[slot] = number
        self._sequences[number].slot, self._sequences[number].parked = slot, None

    def _give_way(self) -> bool:
        """Make some room; false when there is none to be had."""
        ended = [n for n, one in enumerate(self._sequences) if one.idle and one.tokens]
        if ended:
            self._clear(min(ended, key=lambda n: self._sequences[n].used_at))
            return True
        if any(one.parked for one in self._sequences):
            self._copy_out()
            return True
        return False

    def _copy_out(self) -> None:
        """Copy the sequence out that was put aside first.

        Raises:
            DecodeFailed: llama.cpp does not give it out.
        """
        aside = [n for n, one in enumerate(self._sequences) if one.parked is not None]
        number = min(aside, key=lambda n: self._sequences[n].used_at)
        parked = self._sequences[number].parked
        if parked is None:
            raise AssertionError("it was chosen because it is put aside")
        size = int(self._lib.llama_state_seq_get_size(self._ctx, number))
        state = (ctypes.c_uint8 * size)()
        if int(self._lib.llama_state_seq_get_data(self._ctx, state, size, number)) != size:
            raise DecodeFailed("a sequence cannot be taken out of the KV cache")
        parked.state, parked.sequence = state, None
        self._sequences[number].parked = None
        self._clear(number)

    def _bring_back(self, parked: Parked) -> None:
        self.make_room(len(parked.tokens))
        self._keep_one_free()
        number = self._free()
        self._clear(number)
        state = parked.state
        if state is None:
            raise AssertionError("what is not in the cache was copied out")
        if not self._lib.llama_state_seq_set_data(self._ctx, state, len(state), number):
            self.make_all_room()
            if not self._lib.llama_state_seq_set_data(self._ctx, state, len(state), number):
                raise DecodeFailed("a sequence cannot be brought back into the KV cache")
        self._sequences[number].tokens = parked.tokens
        parked.sequence, parked.state = number, None

    def _clear(self, number: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, number, -1, -1)
        self._sequences[number].tokens = []


def _shared(held: Sequence[int], tokens: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike, but for the last one of ``tokens``."""
    pairs = zip(held, tokens[:-1], strict=False)
    differ = next((n for n, (old, new) in enumerate(pairs) if old != new), None)
    return min(len(held), len(tokens) - 1) if differ is None else differ
