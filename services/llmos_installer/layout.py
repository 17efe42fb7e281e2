"""How an installed disk is divided: sizes from the image, definitions for systemd-repart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from llmos_installer.errors import NotHere
from llmos_installer.gpt import MIB

DEFINITIONS: Final = Path("usr/lib/repart.d")
"""The image's own, by which first boot divides a stick; sizes in bytes."""
TABLES: Final = 4 * MIB
"""Room for both partition tables and the alignment between the partitions."""
DATA_LABEL: Final = "llmos-data"


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes of each partition; root and verity have two slots each, data takes the rest."""

    esp: int
    root: int
    verity: int
    data: int

    @property
    def least(self) -> int:
        """Bytes of the smallest disk on which all of it has room."""
        return self.esp + 2 * (self.root + self.verity) + self.data + TABLES

    @classmethod
    def of_the_image(cls, root: Path, *, esp: int) -> Self:
        """Read the layout of the image that is mounted at ``root``.

        The partitions of the stick that runs say nothing: they are as small as their contents
        until its first boot. ``esp`` is the size of its EFI system partition, which stays.

        Raises:
            NotHere: the image has no definitions, or others than are understood.
        """
        found: dict[str, int] = {}
        for path in sorted((root / DEFINITIONS).glob("*.conf")):
            facts = _facts(path.read_text(encoding="utf-8"))
            kind, size = facts.get("Type", ""), facts.get("SizeMinBytes", "")
            # The second slot is as large as the first.
            if size.isdecimal():
                found.setdefault(kind, int(size))
        try:
            return cls(esp, found["root"], found["root-verity"], found["linux-generic"])
        except KeyError as missing:
            raise NotHere(
                f"{root / DEFINITIONS}: no size of a partition of type {missing}",
                hint="This image cannot be installed: it was built without slots for updates.",
            ) from None


@dataclass(frozen=True, slots=True)
class Slot:
    """What is copied into one partition: a device or a file, and what the copy is called."""

    source: Path
    uuid: str
    label: str


@dataclass(frozen=True, slots=True)
class Filling:
    """What the new partitions hold: copies of devices, and of the folders ``boot`` and ``data``."""

    root: Slot
    verity: Slot
    boot: Path
    data: Path
    encrypt: str = "off"


def definitions(layout: Layout, filling: Filling) -> dict[str, str]:
    """The definitions by file name (repart.d(5)).

    The same partitions in the same order as first boot makes of a stick: the initrd finds all
    as it should be and changes nothing.
    """
    fixed = {"esp": layout.esp, "root": layout.root, "verity": layout.verity}
    texts = {
        "00-esp": ["Type=esp", "Label=esp", "Format=vfat", *_sized(fixed["esp"]),
                   f"CopyFiles={filling.boot}:/"],
        "10-verity-a": ["Type=root-verity", *_copied(filling.verity), *_sized(fixed["verity"])],
        "20-root-a": ["Type=root", *_copied(filling.root), *_sized(fixed["root"])],
        "30-verity-b": ["Type=root-verity", "Label=_empty", *_sized(fixed["verity"])],
        "40-root-b": ["Type=root", "Label=_empty", *_sized(fixed["root"])],
        "50-data": ["Type=linux-generic", f"Label={DATA_LABEL}", "Format=ext4",
                    f"Encrypt={filling.encrypt}", f"CopyFiles={filling.data}:/",
                    f"SizeMinBytes={layout.data}"],
    }  # fmt: skip
    return {f"{name}.conf": "\n".join(["[Partition]", *lines, ""]) for name, lines in texts.items()}


def write_definitions(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the definitions into the new ``folder``."""
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _facts(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sized(size: int) -> Sequence[str]:
    return (f"SizeMinBytes={size}", f"SizeMaxBytes={size}")


def _copied(slot: Slot) -> Sequence[str]:
    # Set by hand, not CopyBlocks=auto: the root is read through dm-verity, which refuses what is
    # damaged on the stick, and that device has no UUID that repart could take over.
    return (f"Label={slot.label}", f"UUID={slot.uuid}", f"CopyBlocks={slot.source}")
