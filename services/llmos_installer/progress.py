"""What an installation tells while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The steps, in their order; the value is what a person reads."""

    PREPARE = "Preparing"
    ERASE = "Erasing the disk"
    COPY = "Copying the system"
    COMPARE = "Comparing what was written"
    BOOT_ENTRY = "Making it the one that starts"
    DONE = "Installed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is: ``done`` of ``total`` bytes, or nothing to count when that is 0."""

    stage: Stage
    done: int = 0
    total: int = 0
    note: str = ""

    @property
    def percent(self) -> int | None:
        """How much of the step is done; None when that is not known."""
        return min(100, self.done * 100 // self.total) if self.total else None


Report = Callable[[Progress], None]
"""Hears of progress. What it raises ends the installation."""
