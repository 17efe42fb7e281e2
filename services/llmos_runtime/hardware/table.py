"""The table of processor families: ``families.toml``."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from llmos_api.hardware import Stack
from llmos_runtime.hardware.pci import PciCard

FAMILIES: Final = Path(__file__).with_name("families.toml")

_DEVICES: Final = re.compile(r"(?:([0-9a-f]{4}):)?(?:([0-9a-f]{4})(?:-([0-9a-f]{4}))?)?")
UNKNOWN_WHY: Final = "this table does not know it"


class Family(Struct, frozen=True, forbid_unknown_fields=True):
    """Processors that the same software drives; the fields are told in the file."""

    name: str
    label: str
    match: tuple[str, ...]
    not_match: tuple[str, ...]
    vendor: str = ""
    devices: tuple[str, ...] = ("",)
    target: str = ""
    module: str = ""
    driver: str = ""
    stacks: Mapping[Stack, tuple[str, ...]] = {}
    why: str = ""

    def drivers(self, stack: Stack) -> tuple[str, ...]:
        """The kernel drivers under which ``stack`` works; none when it never does."""
        return self.stacks.get(stack, ())


class BuiltFor(Struct, frozen=True, forbid_unknown_fields=True):
    """What the back ends hold code for."""

    cuda: str
    rocm: tuple[str, ...]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    built_for: BuiltFor
    family: tuple[Family, ...]


@dataclass(frozen=True)
class _Range:
    vendor: int
    first: int
    last: int
    family: Family

    def has(self, vendor: int, device: int) -> bool:
        return vendor == self.vendor and self.first <= device <= self.last


UNKNOWN: Final = Family("unknown", "unknown", (), (), why=UNKNOWN_WHY)


class Table:
    """Finds a card's family."""

    def __init__(self, families: tuple[Family, ...], built_for: BuiltFor) -> None:
        self.families = families
        self.built_for = built_for
        self._ranges = tuple(part for family in families for part in _ranges(family))

    def family_of(self, card: PciCard) -> Family:
        """The first family that has the card, or :data:`UNKNOWN`."""
        return self.family_of_id(card.vendor, card.device)

    def family_of_id(self, vendor: int, device: int) -> Family:
        """As :meth:`family_of`, by PCI IDs."""
        found = (part.family for part in self._ranges if part.has(vendor, device))
        return next(found, UNKNOWN)

    def has_code(self, stack: Stack, family: Family) -> bool:
        """Whether the back end of ``stack`` was compiled for the family."""
        match stack:
            case Stack.CUDA:
                return _version(family.target) >= _version(self.built_for.cuda)
            case Stack.ROCM:
                return family.target in self.built_for.rocm
            case _:
                return True


@cache
def default_table() -> Table:
    """The table that comes along.

    Raises:
        ValueError: the file is not right; a test keeps that from happening.
    """
    data = tomllib.loads(FAMILIES.read_text(encoding="utf-8"))
    file = msgspec.convert(data, _File)
    return Table(file.family, file.built_for)


def version_at_least(version: str, least: str) -> bool:
    """Whether a driver's version is ``least`` or newer, compared number by number."""
    return _version(version) >= _version(least)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _ranges(family: Family) -> Iterator[_Range]:
    for text in family.devices:
        match = _DEVICES.fullmatch(text)
        vendor = (match[1] if match else None) or family.vendor
        if match is None or not vendor:
            raise ValueError(f"families.toml: {family.name}: {text!r} names no devices")
        first = int(match[2] or "0000", 16)
        last = int(match[3] or match[2] or "ffff", 16)
        yield _Range(int(vendor, 16), first, last, family)
