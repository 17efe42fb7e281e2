"""The machine: places requests in slots, plans steps, takes their results.

    submit ─► waiting ──admit──► running ──done──► gone
                                  │   ▲
                               park   resume
                                  ▼   │
                                 parked

One turn of whoever computes:

    for move in scheduler.place(now):     # park and resume copy the KV cache, admit begins anew
        …; scheduler.reused(id, tokens)   # what an admitted one finds in the cache already
    moves, step = scheduler.step(now)     # what goes into one batch; who has no room any more
    …                                     # compute it, choose tokens
    scheduler.finished(step, ended, seconds)
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from llmos_engine.scheduling.pace import FAIR_STRETCH, STRETCH, Pace
from llmos_engine.scheduling.ranking import effective_class, may_park, rank
from llmos_engine.scheduling.request import Phase, Priority, Request

_TO_GROW = 32
"""Tokens of cache that have to be free beside what is placed, so that it is not parked at once."""


class Kind(Enum):
    """What happens to a slot."""

    ADMIT = "admit"
    PARK = "park"
    RESUME = "resume"


@dataclass(frozen=True)
class Move:
    """A request gets a slot, or loses it until later."""

    kind: Kind
    request: int
    slot: int


@dataclass(frozen=True)
class Piece:
    """Tokens ``start`` to ``start + count`` of a request; ``makes`` a token after the last one."""

    request: int
    slot: int
    start: int
    count: int
    makes: bool


@dataclass(frozen=True)
class Step:
    """One batch: the pieces of all who compute in it."""

    pieces: Sequence[Piece]
    streams: int
    """Pieces that only make a token."""
    read: int
    """Tokens of prompts."""


class Scheduler:
    """Slots, and the requests that have them or want them.

    ``slots`` sequences share ``capacity`` tokens of KV cache; a batch has ``batch`` tokens.
    """

    def __init__(self, *, slots: int, capacity: int, batch: int, pace: Pace | None = None) -> None:
        self.capacity = capacity
        self._batch = batch
        self._free = list(range(slots - 1, -1, -1))
        self._requests: dict[int, Request] = {}
        self._pace = pace or Pace()

    # What comes from outside

    def submit(self, request: Request) -> None:
        """Take a request on; it is placed by the next :meth:`place`.

        Raises:
            ValueError: it could never be held, whatever else went.
        """
        if not 0 < request.prompt < self.capacity:
            raise ValueError(f"a prompt of {request.prompt} tokens in a cache of {self.capacity}")
        self._requests[request.id] = request

    def cancel(self, number: int) -> None:
        """Forget a request; its slot is free at once."""
        if (request := self._requests.pop(number, None)) is not None:
            self._release(request)

    def queue(self, now: float) -> list[int]:
        """The requests without a slot, in the order in which they would get one."""
        return [request.id for request in self._without_slot(now)]

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._requests

    @property
    def used(self) -> int:
        """Tokens that the KV cache holds."""
        return sum(request.held for request in self._running())

    # Who gets a slot

    def place(self, now: float) -> list[Move]:
        """Give slots away, the first ones first; who makes room is parked."""
        moves: list[Move] = []
        for request in self._without_slot(now):
            if not self._make_room(request, now, moves):
                # Nobody behind it overtakes: a large one would never get its room.
                break
            kind = Kind.RESUME if request.phase is Phase.PARKED else Kind.ADMIT
            request.placed_as, request.made_before = effective_class(request, now), request.made
            request.phase, request.slot = Phase.RUNNING, self._free.pop()
            moves.append(Move(kind, request.id, request.slot))
        return moves

    def reused(self, number: int, tokens: int) -> None:
        """Say that an admitted request finds ``tokens`` of its prompt in its slot already."""
        request = self._requests[number]
        # The last token is read in any case: what it makes is what the answer begins with.
        request.held = min(tokens, request.prompt - 1)

    # What is computed

    def step(self, now: float) -> tuple[list[Move], Step]:
        """Plan one batch; also who is parked because the cache is full."""
        moves: list[Move] = []
        self._keep_room_to_grow(now, moves)
        running = sorted(self._running(), key=lambda request: rank(request, now))
        streams = [request for request in running if request.decoding][: self._batch]
        pieces = [_piece(request, 1) for request in streams]
        left = self._batch - len(pieces)
        space = self.capacity - self.used - len(pieces)
        read = 0
        for request in running:
            if request.decoding or left <= 0 or space <= 0:
                continue
            room = self._pace.room(len(streams), stretch=_stretch(request, streams, now), most=left)
            count = min(request.unread, max(0, room - read), left, space)
            if count:
                pieces.append(_piece(request, count))
                left, space, read = left - count, space - count, read + count
        return moves, Step(pieces, len(streams), read)

    def finished(
        self, step: Step, ended: Collection[int], seconds: float | None = None
    ) -> list[int]:
        """Take the result of a step: who made a token has one more, and ``ended`` ones go.

        Returns the requests that are done, those that reached their limit included.
        """
        if seconds is not None:
            self._pace.learn(step.streams, step.read, seconds)
        done: list[int] = []
        for piece in step.pieces:
            request = self._requests.get(piece.request)
            if request is None:
                continue  # cancelled meanwhile
            request.held += piece.count
            if piece.makes and request.id not in ended:
                request.made += 1
            full = request.length >= self.capacity
            if request.id in ended or request.made >= request.limit or full:
                done.append(request.id)
        for number in done:
            self.cancel(number)
        return done

    # How it works

    def _running(self) -> Iterator[Request]:
        return (r for r in self._requests.values() if r.phase is Phase.RUNNING)

    def _without_slot(self, now: float) -> list[Request]:
        without = [r for r in self._requests.values() if r.phase is not Phase.RUNNING]
        return sorted(without, key=lambda request: rank(request, now))

    def _make_room(self, request: Request, now: float, moves: list[Move]) -> bool:
        """Whether there is a slot and cache for ``request``, after parking others if need be."""
        victims = sorted(
            (r for r in self._running() if may_park(request, r, now)),
            key=lambda running: rank(running, now),
        )
        reserved = sum(r.length for r in self._running())
        gain = sum(r.length for r in victims)

        def fits(beside: int) -> bool:
            return not beside or beside + request.length + _TO_GROW <= self.capacity

        if not (self._free or victims) or not fits(reserved - gain):
            return False
        while not (self._free and fits(reserved)):
            victim = victims.pop()
            reserved -= victim.length
            moves.append(self._park(victim, now))
        return True

    def _keep_room_to_grow(self, now: float, moves: list[Move]) -> None:
        """Park the last ones until all that run can take one token more."""
        running = sorted(self._running(), key=lambda request: rank(request, now))
        while len(running) > 1 and sum(r.length for r in running) > self.capacity:
            moves.append(self._park(running.pop(), now))

    def _park(self, request: Request, now: float) -> Move:
        slot = request.slot
        if slot is None:
            raise AssertionError("only who has a slot can lose it")
        self._free.append(slot)
        # What has nothing in the cache begins anew: there is nothing to keep.
        request.phase = Phase.PARKED if request.held else Phase.WAITING
        request.slot, request.idle_since = None, now
        return Move(Kind.PARK, request.id, slot)

    def _release(self, request: Request) -> None:
        if request.slot is not None:
            self._free.append(request.slot)
            request.slot = None


def _piece(request: Request, count: int) -> Piece:
    if request.slot is None:
        raise AssertionError("only who has a slot computes")
    makes = count == request.unread
    return Piece(request.id, request.slot, request.held, count, makes)


def _stretch(request: Request, streams: Sequence[Request], now: float) -> float | None:
    """How much a prompt may lengthen a step with these streams; None: as much as it likes."""
    own = effective_class(request, now)
    best = min((effective_class(stream, now) for stream in streams), default=Priority.BATCH + 1)
    if best < own:
        return STRETCH
    return FAIR_STRETCH if best == own else None
