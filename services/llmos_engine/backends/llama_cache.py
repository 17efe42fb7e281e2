"""What the KV cache of a llama.cpp context holds, slot by slot, and how it is shared.

A sequence that has ended stays until its room is wanted: the next one that begins like it, or
like one that still runs, does not read that part again. Cells are shared, not copied, where the
model allows that a sequence begins with a part of another one; recurrent models do not.
"""

import ctypes
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from llmos_engine.errors import DecodeFailed


class Parked(NamedTuple):
    """A sequence outside the cache: its tokens, and their state as llama.cpp writes it."""

    tokens: list[int]
    state: "ctypes.Array[ctypes.c_uint8]"


class LlamaCache:
    """The sequences of one context: ``slots`` of them, ``capacity`` tokens together."""

    def __init__(
        self, lib: Any, context: Any, *, slots: int, capacity: int, divisible: bool
    ) -> None:
        self._lib = lib
        self._ctx = context
        self._memory = lib.llama_get_memory(context)
        self._capacity = capacity
        self._divisible = divisible
        self._tokens: list[list[int]] = [[] for _ in range(slots)]
        self._busy: set[int] = set()
        self._clock = count()
        self._used_at = [0] * slots

    def open(self, slot: int, tokens: Sequence[int], *, anew: bool = False) -> int:
        """Begin a sequence with what the cache shares with ``tokens``; return how much that is.

        The last token is always read anew: its logits are what the answer starts from. With
        ``anew`` all of them are.
        """
        self._busy.add(slot)
        if anew:
            self._clear(slot)
            return 0
        source, shared = max(
            ((index, self._shared(held, tokens)) for index, held in enumerate(self._tokens)),
            # Its own slot, where that is as good: nothing has to be done then.
            key=lambda found: (found[1], found[0] == slot),
        )
        if not self._divisible:
            whole = source == slot and shared == len(self._tokens[slot])
            shared = shared if whole else 0
        if source == slot:
            if not self._lib.llama_memory_seq_rm(self._memory, slot, shared, -1):
                shared = 0
                self._clear(slot)
        else:
            self._clear(slot)
            if shared:
                self._lib.llama_memory_seq_cp(self._memory, source, slot, 0, shared)
        self._tokens[slot] = list(tokens[:shared])
        return shared

    def extend(self, slot: int, tokens: Sequence[int]) -> None:
        """Take in that the context has computed ``tokens``."""
        self._tokens[slot].extend(tokens)

    def make_room(self, tokens: int) -> None:
        """Forget ended sequences, the longest unused ones first, until ``tokens`` more fit."""
        while sum(map(len, self._tokens)) + tokens > self._capacity:
            ended = [
                slot for slot, held in enumerate(self._tokens) if held and slot not in self._busy
            ]
            if not ended:
                # Shared cells count for each who has them here, and once in the cache.
                return
            self._clear(min(ended, key=self._used_at.__getitem__))

    def forget_ended(self) -> None:
        """Forget all ended sequences."""
        for slot in range(len(self._tokens)):
            if slot not in self._busy:
                self._clear(slot)

    def end(self, slot: int) -> None:
        """End a sequence: it stays while there is room."""
        self._busy.discard(slot)
        self._used_at[slot] = next(self._clock)

    def park(self, slot: int) -> Parked:
        """Take a sequence out of the cache.

        Raises:
            DecodeFailed: llama.cpp does not give it out.
        """
        size = int(self._lib.llama_state_seq_get_size(self._ctx, slot))
        state = (ctypes.c_uint8 * size)()
        if int(self._lib.llama_state_seq_get_data(self._ctx, state, size, slot)) != size:
            raise DecodeFailed("a sequence cannot be taken out of the KV cache")
        parked = Parked(self._tokens[slot], state)
        self._clear(slot)
        self._busy.discard(slot)
        return parked

    def resume(self, slot: int, parked: Parked) -> None:
        """Bring a sequence back, into ``slot``.

        Raises:
            DecodeFailed: llama.cpp does not take it.
        """
        self._clear(slot)
        self._busy.add(slot)
        self.make_room(len(parked.tokens))
        state, size = parked.state, len(parked.state)
        if not self._lib.llama_state_seq_set_data(self._ctx, state, size, slot):
            self.forget_ended()
            if not self._lib.llama_state_seq_set_data(self._ctx, state, size, slot):
                raise DecodeFailed("a sequence cannot be brought back into the KV cache")
        self._tokens[slot] = parked.tokens

    def _clear(self, slot: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, slot, -1, -1)
        self._tokens[slot] = []

    @staticmethod
    def _shared(held: Sequence[int], tokens: Sequence[int]) -> int:
        pairs = zip(held, tokens[:-1], strict=False)
        differ = next((n for n, (old, new) in enumerate(pairs) if old != new), None)
        return min(len(held), len(tokens) - 1) if differ is None else differ
