"""Which of two requests comes first: class, ageing, arrival.

A request that has no slot rises by one class each ``AGE_SECONDS``, up to the first one: there
arrival decides, so that it gets a slot in the end, however many others come. It never takes a
slot away from its own kind, and what it won by age it keeps for ``QUANTUM`` tokens: it gets on.
"""

from typing import Final

from llmos_engine.scheduling.request import Phase, Priority, Request

AGE_SECONDS: Final = 20.0
QUANTUM: Final = 64

Rank = tuple[int, float, int]
"""Class, arrival, number: sorts what comes first to the front."""


def effective_class(request: Request, now: float) -> int:
    """The class that a request counts as now; see :class:`Priority`."""
    if request.phase is Phase.RUNNING:
        fresh = request.made - request.made_before < QUANTUM
        return min(request.placed_as, request.priority) if fresh else request.priority
    risen = int((now - request.idle_since) / AGE_SECONDS)
    return max(Priority.INTERACTIVE, request.priority - risen)


def rank(request: Request, now: float) -> Rank:
    """Sorts requests: the first without a slot gets the next one, the last with one is parked."""
    return effective_class(request, now), request.arrived, request.id


def may_park(waiting: Request, running: Request, now: float) -> bool:
    """Whether ``running`` has to make room for ``waiting``."""
    return effective_class(waiting, now) < effective_class(running, now)
