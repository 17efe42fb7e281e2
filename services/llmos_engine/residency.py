"""Which loaded model makes room for another one: a choice without a clock or a process.

A model is worth keeping for as long as it takes to load again, the more so the more urgent the
requests are that it gets, and the less the longer nobody has asked; and what counts is how much
room it would make. One that works is never ended, and neither is one that was loaded a moment ago:
two that are asked in turn, and do not fit together, would do nothing but load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llmos_engine.scheduling.request import Priority

STAYS: Final = 5.0
"""Seconds that a model stays in any case once it is loaded."""
_WORTH: Final = {Priority.INTERACTIVE: 4.0, Priority.SERVICE: 2.0, Priority.BATCH: 1.0}
_LEAST: Final = 0.1
"""Seconds that anything takes at least, so that nothing is worth nothing."""


@dataclass(frozen=True)
class Resident:
    """A loaded model, as far as the choice must know."""

    name: str
    size: int
    """Bytes that it gives back."""
    idle_since: float | None
    """None while it works."""
    ready_since: float
    load_seconds: float
    urgency: Priority = Priority.INTERACTIVE
    """Of the last request."""

    def may_go(self, now: float) -> bool:
        """Whether it may be ended at all."""
        return self.idle_since is not None and now - self.ready_since >= STAYS

    def worth(self, now: float) -> float:
        """What a byte of it is worth; the least goes first."""
        idle = max(_LEAST, now - (now if self.idle_since is None else self.idle_since))
        return max(_LEAST, self.load_seconds) * _WORTH[self.urgency] / idle / max(1, self.size)


def to_end(
    residents: Sequence[Resident], *, need: int, room: int, now: float
) -> list[Resident] | None:
    """Whom to end so that ``need`` bytes fit where ``room`` are free.

    None of them is superfluous. None, if it cannot be done now.
    """
    missing = need - room
    chosen: list[Resident] = []
    for resident in sorted(
        (one for one in residents if one.may_go(now)),
        key=lambda one: (one.worth(now), one.idle_since),
    ):
        if missing <= 0:
            break
        chosen.append(resident)
        missing -= resident.size
    if missing > 0:
        return None
    # A large one at the end may make small ones before it superfluous: the worthiest stay.
    for resident in reversed(chosen[:]):
        if missing + resident.size <= 0:
            chosen.remove(resident)
            missing += resident.size
    return chosen


def could_ever_fit(residents: Sequence[Resident], *, need: int, room: int) -> bool:
    """Whether it would fit if all others went, those that work included."""
    return need <= room + sum(one.size for one in residents)
