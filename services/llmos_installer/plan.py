"""From disks and choices to what will be done, or the reasons why not. Touches nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from llmos_installer.disks import Disk, size_words
from llmos_installer.errors import BadInput
from llmos_installer.layout import Layout
from llmos_installer.settings import Settings


class Encryption(StrEnum):
    """What opens the data partition."""

    NONE = "none"
    TPM2 = "tpm2"
    PASSPHRASE = "passphrase"  # noqa: S105  # a kind of key, not one

    @property
    def repart(self) -> str:
        """As repart.d(5) calls it; the key of a person is the file in both cases."""
        return {"none": "off", "tpm2": "key-file+tpm2", "passphrase": "key-file"}[self]

    def words(self) -> str:
        """What it means for a person."""
        return {
            "none": "not encrypted: who has the disk can read it",
            "tpm2": "encrypted: opened by this machine's TPM, or by the recovery key",
            "passphrase": "encrypted: the passphrase is asked for at each start",
        }[self]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the person, or the answer file, has chosen. ``disk`` is a name such as ``sda``."""

    disk: str
    encryption: Encryption = Encryption.NONE
    key: str = field(default="", repr=False)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What will be done; only :func:`plan` makes one."""

    disk: Disk
    layout: Layout
    choices: Choices

    def erased(self) -> tuple[str, ...]:
        """What will be lost, in words."""
        held = [f"  {part.words()}" for part in self.disk.partitions]
        return (
            f"Everything on {self.disk.words()} will be ERASED:",
            *(held or ["  it has no partitions that are known"]),
        )

    def made(self) -> tuple[str, ...]:
        """What will be there afterwards, in words."""
        user = self.choices.settings.user
        fixed = self.layout.least - self.layout.data
        return (
            f"boot and system: {size_words(fixed)}, two slots for updates",
            f"data: {size_words(self.disk.size - fixed)}, {self.choices.encryption.words()}",
            f"user: {user.name}, who logs in by password" if user else "user: as on the stick",
        )


def reasons_against(disk: Disk, layout: Layout) -> tuple[str, ...]:
    """Why nothing can be installed on ``disk``; empty when it can."""
    reasons = []
    if disk.booted_from:
        reasons.append("this system was started from it")
    reasons += disk.uses
    if disk.read_only:
        reasons.append("it is read-only")
    if disk.size < layout.least:
        reasons.append(f"too small: at least {size_words(layout.least)} are needed")
    return tuple(reasons)


def plan(disks: Sequence[Disk], layout: Layout, choices: Choices) -> InstallPlan:
    """What ``choices`` mean on this machine.

    Raises:
        BadInput: the disk is not there, or must not be erased.
    """
    disk = next((disk for disk in disks if disk.name == choices.disk), None)
    if disk is None:
        known = ", ".join(disk.name for disk in disks) or "none"
        raise BadInput(f"{choices.disk}: no such disk", hint=f"Disks of this machine: {known}.")
    if reasons := reasons_against(disk, layout):
        raise BadInput(f"{disk.name}: {'; '.join(reasons)}", hint="Choose another disk.")
    if bool(choices.key) != (choices.encryption is not Encryption.NONE):
        raise BadInput("encryption: a key goes with it, and only with it")
    return InstallPlan(disk, layout, choices)
