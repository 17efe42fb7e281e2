"""What the machine's processors are and what the engine uses of them: ``/run/llmos/hardware.json``.

``llmos-hardware.service`` writes the file at boot, and again when a driver has failed; the
shell, the engine and ``llmosctl hardware`` read it.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

HARDWARE: Final = Path("/run/llmos/hardware.json")

SCHEMA: Final = 1
"""Counts up when a reader of the old file could be misled by the new one."""


class Stack(StrEnum):
    """A way to compute, best first: what stands further down works on more machines."""

    CUDA = "cuda"
    ROCM = "rocm"
    VULKAN = "vulkan"
    CPU = "cpu"

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "cpu": "the CPU"}[self]


class Outcome(StrEnum):
    """What became of a stack when the choice was made."""

    CHOSEN = "chosen"
    FAILED = "failed"
    """It was chosen at this boot, and the engine died in it."""
    MISSING = "missing"
    """A card could use it, but the machine lacks a part."""
    UNFIT = "unfit"
    """No card can use it."""
    NOT_NEEDED = "not needed"
    """A better one was chosen, or the person wanted another."""


class Step(Struct, frozen=True):
    """One stack and why it was chosen or not."""

    stack: Stack
    outcome: Outcome
    reason: str


class Card(Struct, frozen=True, omit_defaults=True):
    """One graphics or AI processor."""

    slot: str
    id: str
    """PCI vendor and device, ``10de:2684``."""
    name: str
    family: str
    driver: str | None = None
    subsystem: str | None = None
    revision: int = 0
    boot_display: bool = False
    memory: int | None = None
    """Bytes of its own memory, where the driver tells."""
    nodes: tuple[str, ...] = ()
    used: bool = False
    """Whether the engine computes on it."""


class Processor(Struct, frozen=True, omit_defaults=True):
    """The CPU."""

    name: str
    threads: int
    features: tuple[str, ...] = ()
    """What ggml's variants differ in, of ``/proc/cpuinfo``'s flags."""


class Hardware(Struct, frozen=True, omit_defaults=True):
    """Everything, as ``hardware.json`` has it."""

    schema: int
    stack: Stack
    steps: tuple[Step, ...]
    cards: tuple[Card, ...]
    processor: Processor
    memory: int
    """Bytes of main memory."""
    wanted: Stack | None = None
    """What the person asked for by ``llmos.stack``."""
    notice: str = ""
    """One sentence for the person, when something is not as it should be."""

    @property
    def reason(self) -> str:
        """Why the stack is what it is."""
        return next((s.reason for s in self.steps if s.outcome is Outcome.CHOSEN), "")

    @property
    def trouble(self) -> str:
        """``CUDA failed``, for where there is little room; nothing when nothing failed."""
        failed = [step.stack.label for step in self.steps if step.outcome is Outcome.FAILED]
        return f"{' and '.join(failed)} failed" if failed else ""


def read_hardware(path: Path = HARDWARE) -> Hardware | None:
    """What the machine found out about itself; None when there is nothing that can be read."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Hardware)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.schema == SCHEMA else None
