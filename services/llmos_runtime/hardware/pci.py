"""Graphics and AI processors on the PCI bus, as the kernel's sysfs shows them.

Nothing here raises: a machine whose sysfs holds nonsense has fewer cards, not a failed boot.
Classes are those of the PCI code and ID assignment specification, section 1.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PCI_DEVICES: Final = "sys/bus/pci/devices"

_DISPLAY: Final = 0x03
_COPROCESSOR: Final = 0x0B40
_ACCELERATOR: Final = 0x1200
_SLOT: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# amdgpu, and xe for a card's first tile.
_MEMORY_FILES: Final = ("mem_info_vram_total", "tile0/physical_vram_size_bytes")


@dataclass(frozen=True)
class PciCard:
    """One processor; ``driver`` is the kernel driver that has taken it, if one has."""

    slot: str
    device_class: int
    """Base class and subclass, 16 bits: 0x0300 is a VGA controller."""
    vendor: int
    device: int
    subvendor: int | None = None
    subdevice: int | None = None
    revision: int = 0
    driver: str | None = None
    boot_display: bool = False
    memory: int | None = None
    """Bytes of its own memory, where the driver tells."""
    nodes: tuple[str, ...] = ()
    """Its files in ``/dev/dri`` and ``/dev/accel``."""

    @property
    def id(self) -> str:
        """``10de:2684``, as people and tables write it."""
        return f"{self.vendor:04x}:{self.device:04x}"

    @property
    def render_node(self) -> str | None:
        """The file through which a program computes on it."""
        return next((node for node in self.nodes if node.startswith("/dev/dri/renderD")), None)


def cards_of(root: Path = Path("/")) -> tuple[PciCard, ...]:
    """Every graphics or AI processor below ``root``/sys, by its slot."""
    return tuple(sorted(_cards(root / PCI_DEVICES), key=lambda card: card.slot))


def is_processor(device_class: int) -> bool:
    """Whether a class (16 bits) is that of a graphics or an AI processor."""
    return device_class >> 8 == _DISPLAY or device_class in {_COPROCESSOR, _ACCELERATOR}


def _cards(devices: Path) -> Iterator[PciCard]:
    for folder in _listed(devices):
        card = _card(folder)
        if card is not None:
            yield card


def _card(folder: Path) -> PciCard | None:
    device_class = _number(folder / "class")
    vendor, device = _number(folder / "vendor"), _number(folder / "device")
    if (
        not _SLOT.fullmatch(folder.name)
        or device_class is None
        or not is_processor(device_class >> 8 & 0xFFFF)
    ):
        return None
    if vendor is None or device is None:
        return None
    return PciCard(
        slot=folder.name,
        device_class=device_class >> 8 & 0xFFFF,
        vendor=vendor & 0xFFFF,
        device=device & 0xFFFF,
        subvendor=_number(folder / "subsystem_vendor"),
        subdevice=_number(folder / "subsystem_device"),
        revision=_number(folder / "revision") or 0,
        driver=_driver(folder),
        boot_display=_number(folder / "boot_vga") == 1,
        memory=next(filter(None, (_number(folder / name) for name in _MEMORY_FILES)), None),
        nodes=tuple(_nodes(folder)),
    )


def _driver(folder: Path) -> str | None:
    with suppress(OSError):
        return (folder / "driver").readlink().name or None
    return None


def _nodes(folder: Path) -> Iterator[str]:
    for kind, pattern in (("dri", r"(card|renderD)\d+"), ("accel", r"accel\d+")):
        source = folder / ("drm" if kind == "dri" else kind)
        for entry in _listed(source):
            if re.fullmatch(pattern, entry.name):
                yield f"/dev/{kind}/{entry.name}"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """The number in a file of sysfs; None where there is none that makes sense."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
        number = int(text, 16 if text.startswith("0x") else 10)
    except (OSError, ValueError):
        return None
    return number if 0 <= number < 2**64 else None
