"""The disks of this machine, as the kernel tells of them in sysfs."""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llmos_image.errors import UserError
from llmos_image.flash.uses import Occupancy, Use, occupancy, uses_of

# sysfs counts in these whatever the disk's own sectors are.
_SECTOR = 512
_SCSI_DISK = "0"
# Whole devices to the kernel, but parts of an eMMC chip that hold its firmware and keys.
_EMMC_PARTS = re.compile(r"mmcblk\d+(boot\d+|rpmb|gp\d+)")


class Transport(StrEnum):
    """How a disk is attached."""

    USB = "usb"
    FIREWIRE = "firewire"
    SD = "sd"
    MMC = "mmc"
    NVME = "nvme"
    SATA = "sata"
    VIRTIO = "virtio"
    LOOP = "loop"
    OTHER = "other"


@dataclass(frozen=True)
class Disk:
    """A whole disk; two are equal while it is the same medium in the same use.

    ``size`` and ``sector`` are bytes, ``sector`` the smallest unit that it writes; ``number`` is
    ``MAJOR:MINOR``. ``sequence`` counts media since the boot: another medium in the same reader
    has another one (absent before Linux 5.15).
    """

    name: str
    node: Path
    number: str
    size: int
    sector: int
    model: str
    serial: str
    transport: Transport
    is_removable: bool
    is_read_only: bool
    sequence: int | None
    uses: Sequence[Use]

    def __str__(self) -> str:
        """For a person: ``sdb (SanDisk Ultra, 32.0 GB, usb)``."""
        parts = [self.model or "no model name", size_text(self.size), self.transport]
        return f"{self.name} ({', '.join(parts)})"


def size_text(size: int) -> str:
    """Bytes as the makers of disks count them: ``32.0 GB``."""
    for unit, word in ((10**12, "TB"), (10**9, "GB")):
        if size >= unit:
            return f"{size / unit:,.1f} {word}"
    return f"{size / 10**6:,.1f} MB"


def number_of(node: Path) -> str | None:
    """``MAJOR:MINOR`` of a block device's node; none for anything else.

    Raises:
        OSError: there is no such file.
    """
    status = node.stat()
    if not stat.S_ISBLK(status.st_mode):
        return None
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


@dataclass(frozen=True)
class Roots:
    """Where the kernel's file systems are, and how to ask a node for its number."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    number_of: Callable[[Path], str | None] = number_of


def all_in(roots: Roots) -> Sequence[Disk]:
    """Every disk with a medium in it, in the order of their names."""
    table = occupancy(roots.sys, roots.proc, roots.dev)
    folders = sorted((roots.sys / "block").iterdir(), key=_natural)
    return [_disk(f, roots, table) for f in folders if _why_no_disk(f) is None and _size(f)]


def find(given: str, roots: Roots) -> Disk:
    """The disk that a person named, by its name (``sdb``) or a path that leads to its node.

    Raises:
        UserError: that is no disk, or there is none in it.
    """
    node = Path(given) if "/" in given else roots.dev / given
    try:
        number = roots.number_of(node)
    except OSError as error:
        raise UserError(
            f"{given}: {error.strerror}", hint="Without a device, the disks are listed."
        ) from None
    if number is None:
        raise UserError(
            f"{given}: is not a block device", hint="A disk's name is like sdb, or /dev/sdb."
        )
    for folder in (roots.sys / "block").iterdir():
        if _read(folder / "dev") == number:
            break
        for part in folder.glob(f"{folder.name}*/partition"):
            if _read(part.parent / "dev") == number:
                raise UserError(
                    f"{given}: is a partition of {folder.name}",
                    hint=f"An image is for a whole disk, such as {folder.name}.",
                )
    else:
        raise UserError(f"{given}: the kernel does not list it as a disk")
    if why := _why_no_disk(folder):
        raise UserError(f"{given}: {why}")
    if not _size(folder):
        raise UserError(f"{given}: there is no medium in it")
    return _disk(folder, roots, occupancy(roots.sys, roots.proc, roots.dev))


def _why_no_disk(folder: Path) -> str | None:
    """Why ``/sys/block/NAME`` is not the kind of disk on which an image belongs."""
    name = folder.name
    if _EMMC_PARTS.fullmatch(name):
        return "is a part of an eMMC chip for its firmware, not a disk"
    if name.startswith(("dm-", "md", "bcache", "zram", "ram", "nbd", "drbd")):
        return "is made of other disks or of memory, not a disk of its own"
    if name.startswith(("sr", "scd", "fd", "mtdblock")) or _read(folder / "hidden") == "1":
        return "is not a disk"
    if name.startswith("sd") and _read(folder / "device/type") not in {"", _SCSI_DISK}:
        return "is not a disk"
    return None


def _disk(folder: Path, roots: Roots, table: Occupancy) -> Disk:
    sequence = _read(folder / "diskseq")
    transport = _transport(folder)
    return Disk(
        name=folder.name,
        # The kernel cannot have a slash in sysfs: cciss/c0d0 is cciss!c0d0 there.
        node=roots.dev / folder.name.replace("!", "/"),
        number=_read(folder / "dev"),
        size=_size(folder),
        sector=int(_read(folder / "queue/logical_block_size") or _SECTOR),
        model=_model(folder),
        serial=_serial(folder),
        transport=transport,
        is_removable=_is_removable(folder, transport),
        is_read_only=_read(folder / "ro") == "1",
        sequence=int(sequence) if sequence else None,
        uses=tuple(uses_of(folder, roots.sys, table)),
    )


def _transport(folder: Path) -> Transport:
    path = folder.resolve().as_posix()
    if any((parent / "idVendor").exists() for parent in _ancestors(folder)):
        return Transport.USB
    if "/virtual/block/loop" in path:
        return Transport.LOOP
    if folder.name.startswith("mmcblk"):
        return Transport.SD if _read(folder / "device/type") == "SD" else Transport.MMC
    for pattern, transport in (
        (r"/nvme", Transport.NVME),
        (r"/ata\d+/", Transport.SATA),
        (r"/fw\d+", Transport.FIREWIRE),
        (r"/virtio\d+/", Transport.VIRTIO),
    ):
        if re.search(pattern, path):
            return transport
    return Transport.OTHER


def _is_removable(folder: Path, transport: Transport) -> bool:
    medium = _read(folder / "removable") == "1"
    match transport:
        case Transport.SATA:
            # libata says "removable" of every disk on a port that the firmware calls hot-plug:
            # on many boards those are all ports, the system disk's included.
            return _is_outside(folder)
        case Transport.USB:
            # What is soldered to the board says "fixed" of its port; a reader's card goes anyhow.
            return medium or _nearest_port(folder) != "fixed"
        case Transport.SD | Transport.FIREWIRE:
            return True
        case Transport.LOOP:
            return False
        case _:
            return medium or _is_outside(folder)


def _is_outside(folder: Path) -> bool:
    """Whether it hangs on a port that leads outside, such as Thunderbolt (PCI's ``removable``)."""
    return any(_read(parent / "removable") == "removable" for parent in _ancestors(folder))


def _nearest_port(folder: Path) -> str:
    ports = (_read(p / "removable") for p in _ancestors(folder) if (p / "idVendor").exists())
    return next(ports, "")


def _ancestors(folder: Path) -> Iterator[Path]:
    """The devices through which it is attached, the nearest first."""
    here = folder.resolve().parent
    while here.name and here.name != "devices":
        yield here
        here = here.parent


def _model(folder: Path) -> str:
    vendor = _read(folder / "device/vendor")
    # A PCI device's vendor is a number: it says nothing of the disk.
    words = [*([] if vendor.startswith("0x") else [vendor]), _read(folder / "device/model")]
    if folder.name.startswith("mmcblk"):
        words = [_read(folder / "device/name")]
    if _transport(folder) is Transport.LOOP:
        words = [_read(folder / "loop/backing_file")]
    return _printable(" ".join(words))


def _serial(folder: Path) -> str:
    places = [folder / "serial", folder / "device/serial"]
    places += [parent / "serial" for parent in _ancestors(folder) if (parent / "idVendor").exists()]
    return _printable(next(filter(None, map(_read, places)), ""))


def _printable(text: str) -> str:
    """On one line and without escapes: a stick's maker, or a forger, chose these bytes."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _size(folder: Path) -> int:
    return int(_read(folder / "size") or 0) * _SECTOR


def _read(path: Path) -> str:
    """What an attribute says; nothing where the device has no such attribute, or has just gone."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _natural(path: Path) -> list[tuple[str, int]]:
    return [(text, int(part or 0)) for text, part in re.findall(r"(\D+)(\d*)", path.name)]
