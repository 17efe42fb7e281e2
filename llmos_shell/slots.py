"""Slots and the literals that they stand for.

SlotError
├── UnknownSlotError   the command names a slot that the request did not have
└── SlotPlaceError     the slot stands where a literal could be run or would be altered
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOTS_OF_A_KIND = 4


class Kind(Enum):
    """What a literal is; the value is the name of its slots without the number."""

    PATH = "path"
    GLOB = "glob"
    STR = "str"
    SIZE = "size"
    NUM = "num"
    HOST = "host"

    @property
    def may_look_like_an_option(self) -> bool:
        """Whether a leading dash must be kept from being read as an option."""
        return self in {Kind.PATH, Kind.GLOB, Kind.STR}


@dataclass(frozen=True)
class Literal:
    """A literal of a request: what goes into the command, and what the person typed for it."""

    kind: Kind
    value: str
    typed: str

    def lowered(self) -> Literal:
        """Return the literal as Debian writes names: ``Nginx`` → ``nginx``, ``MySQL`` stays."""
        if self.value[1:].islower() or self.value.isupper():
            return Literal(self.kind, self.value.lower(), self.typed)
        return self


class SlotError(ValueError):
    """A slot of a command that cannot be filled."""

    def __init__(self, slot: str, why: str) -> None:
        super().__init__(f"{slot}: {why}")
        self.slot = slot


class UnknownSlotError(SlotError):
    """The command names a slot that the request did not have."""

    def __init__(self, slot: str, known: Mapping[str, Literal]) -> None:
        names = ", ".join(f"<{name}>" for name in known) or "none"
        super().__init__(slot, f"the request has no such slot (it has: {names})")


class SlotPlaceError(SlotError):
    """The slot stands where a literal could be run or would be altered."""


SLOT = re.compile(rf"<((?:{'|'.join(kind.value for kind in Kind)})[1-9]\d?)(:lower)?>")
