"""Points in time after which nothing is waited for any more."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock.

    ``within`` narrows it for one step: a step's own limit never outlives the whole run's.
    """

    at: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """The point ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def within(self, seconds: float | None) -> "Deadline":
        """The earlier one of this point and ``seconds`` from now."""
        if seconds is None:
            return self
        return Deadline(min(self.at, self.clock() + seconds), self.clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock())

    @property
    def passed(self) -> bool:
        """Whether it is too late."""
        return self.clock() >= self.at
