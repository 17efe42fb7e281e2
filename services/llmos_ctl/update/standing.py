"""How each installed version stands: the slots, the boot menu and the checks put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from llmos_ctl.update import versions
from llmos_ctl.update.loader import Entry
from llmos_ctl.update.running import Running
from llmos_ctl.update.slots import Slot


class Standing(StrEnum):
    """Whether a version can be relied on."""

    PROVEN = "proven"
    ON_TRIAL = "on trial"
    FAILED = "failed"
    NO_KERNEL = "no kernel"
    UNKNOWN = "unknown"

    @property
    def may_start(self) -> bool:
        """Whether the boot loader would start it by itself."""
        return self in {Standing.PROVEN, Standing.ON_TRIAL}


@dataclass(frozen=True)
class Installed:
    """A version in a slot; ``entry`` is its place in the boot menu, where that is known."""

    slot: str
    version: str
    standing: Standing
    runs: bool = False
    entry: Entry | None = None

    @property
    def is_next(self) -> bool:
        """Whether it starts next."""
        return self.entry is not None and self.entry.is_next


@dataclass(frozen=True)
class State:
    """All that is installed, in the order of the slots."""

    running: Running
    installed: tuple[Installed, ...]
    free_slots: int

    @property
    def current(self) -> Installed | None:
        """The version that runs."""
        return next((one for one in self.installed if one.runs), None)

    @property
    def other(self) -> Installed | None:
        """The version that could run in its place: proven, and with a kernel to start."""
        others = (one for one in self.installed if not one.runs)
        return next((one for one in others if one.standing is Standing.PROVEN), None)

    @property
    def newest(self) -> str:
        """The newest version that is installed, whether it works or not."""
        found = [self.running.version, *(one.version for one in self.installed)]
        return max(found, key=versions.key)

    @property
    def failed(self) -> Installed | None:
        """The newer version that was tried and did not work: why an older one runs."""
        return next(
            (
                one
                for one in self.installed
                if one.standing is Standing.FAILED
                and versions.is_newer(one.version, than=self.running.version)
            ),
            None,
        )


def state_of(
    running: Running, slots: Sequence[Slot], entries: Sequence[Entry] | None, *, counting: bool
) -> State:
    """Put together what is known; without ``entries`` (they need root) much stays unknown."""
    by_version = {entry.image.version: entry for entry in entries or ()}
    installed = tuple(
        Installed(
            slot=slot.letter,
            version=slot.version,
            standing=_standing(slot, by_version, known=entries is not None, counting=counting),
            runs=slot.runs,
            entry=by_version.get(slot.version),
        )
        for slot in slots
        if slot.version is not None
    )
    return State(running, installed, free_slots=sum(slot.version is None for slot in slots))


def _standing(slot: Slot, by_version: dict[str, Entry], *, known: bool, counting: bool) -> Standing:
    if slot.runs:  # the boot loader tells everybody whether it counted this start
        return Standing.ON_TRIAL if counting else Standing.PROVEN
    if not known:
        return Standing.UNKNOWN
    entry = by_version.get(slot.version or "")
    if entry is None:
        return Standing.NO_KERNEL
    if entry.image.tries is None:
        return Standing.PROVEN
    return Standing.FAILED if entry.image.is_exhausted else Standing.ON_TRIAL
