"""How each installed version stands: the slots, the boot menu and the checks put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from llmos_ctl.update import versions
from llmos_ctl.update.loader import Entry, LeftBehind
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
    reason: str = ""
    """Why it did not work, in words that end a sentence."""

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
    def entries(self) -> Sequence[Entry]:
        """The kernel images that are known."""
        return [one.entry for one in self.installed if one.entry is not None]

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
    def has_room(self) -> bool:
        """Whether the disk has a second slot: a small one has the first only."""
        return len(self.installed) + self.free_slots > 1

    @property
    def failed(self) -> Installed | None:
        """The version that did not work, because of which the other one runs."""
        failed = (one for one in self.installed if one.standing is Standing.FAILED)
        return next((one for one in failed if not one.runs), None)


@dataclass(frozen=True)
class Menu:
    """What only root may see: the kernel images, and what did not work of them."""

    entries: Sequence[Entry]
    left_behind: LeftBehind | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why the check of a version failed, by version."""


def state_of(
    running: Running, slots: Sequence[Slot], menu: Menu | None, *, on_trial: bool
) -> State:
    """Put together what is known; without ``menu`` much stays unknown."""
    installed = tuple(
        _installed(slot, slot.version, menu, on_trial=on_trial)
        for slot in slots
        if slot.version is not None
    )
    return State(running, installed, free_slots=sum(slot.version is None for slot in slots))


def _installed(slot: Slot, version: str, menu: Menu | None, *, on_trial: bool) -> Installed:
    entries = menu.entries if menu else ()
    entry = next((one for one in entries if one.image.version == version), None)
    found = Installed(slot.letter, version, Standing.UNKNOWN, runs=slot.runs, entry=entry)
    if slot.runs:  # the boot loader and systemd tell everybody
        return replace(found, standing=Standing.ON_TRIAL if on_trial else Standing.PROVEN)
    if menu is None:
        return found
    if entry is None:
        return replace(found, standing=Standing.NO_KERNEL)
    if menu.left_behind and menu.left_behind.is_of(entry):
        return replace(found, standing=Standing.FAILED, reason=menu.left_behind.reason)
    if entry.image.is_exhausted:
        reason = menu.reasons.get(version, "it did not come as far as its check")
        return replace(found, standing=Standing.FAILED, reason=reason)
    counted = entry.image.tries is not None
    return replace(found, standing=Standing.ON_TRIAL if counted else Standing.PROVEN)
