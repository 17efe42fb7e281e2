"""The disks of this machine, and what each is used for: read from sysfs, nothing is opened."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_installer.world import World, names, number, read

SECTOR: Final = 512
"""Bytes; the unit of sizes in sysfs, whatever the disk's own."""
LOADER_PARTITION: Final = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The variable in which systemd-boot leaves the partition that it was started from."""
NEVER: Final = re.compile(r"(sr|fd)\d+|mmcblk\d+(boot\d+|rpmb)")
"""Devices that are no disk to install to, whatever they hold."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as a person knows it."""

    name: str
    size: int
    label: str = ""
    holds: str = ""

    def words(self) -> str:
        """Name, size and what is known of its contents."""
        known = " ".join(
            part for part in (self.holds, f'"{self.label}"' * bool(self.label)) if part
        )
        return f"{self.name}, {size_words(self.size)}" + (f", {known}" if known else "")


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk. ``size`` is in bytes; ``sequence`` changes when another disk takes its name."""

    name: str
    path: Path
    size: int
    model: str = ""
    serial: str = ""
    transport: str = ""
    removable: bool = False
    read_only: bool = False
    sequence: int = 0
    ids: tuple[str, ...] = ()
    partitions: tuple[Partition, ...] = ()
    booted_from: bool = False
    uses: tuple[str, ...] = ()

    def words(self) -> str:
        """Name, size, model and connection, in one line."""
        kind = " ".join(part for part in (self.transport, "removable" * self.removable) if part)
        return f"{self.name}: {size_words(self.size)}, {self.model or 'no model name'}" + (
            f" ({kind})" if kind else ""
        )

    def is_same(self, other: "Disk") -> bool:
        """Whether ``other`` is still this very disk, and not another under its name."""
        return (self.name, self.size, self.serial, self.sequence) == (
            other.name,
            other.size,
            other.serial,
            other.sequence,
        )


def size_words(size: int) -> str:
    """A size as disks are sold: in powers of 1000."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{size} bytes"


def disks(world: World) -> tuple[Disk, ...]:
    """Every disk that has a size, by name.

    What the kernel makes of other things (dm, md, loop, zram) has no device of its own.
    """
    return tuple(
        _disk(world, name)
        for name in names(world.sys / "block")
        if not NEVER.fullmatch(name)
        and (world.sys / "block" / name / "device").exists()
        and number(world.sys / "block" / name / "size")
    )


def root_device(world: World) -> str:
    """The name of the block device that is mounted at ``/``; empty when it is none."""
    device = ""
    for number_pair, point in world.mounts():
        if point == "/":
            device = number_pair
    return next((name for name, folder in _all(world) if read(folder / "dev") == device), "")


def below(world: World, name: str) -> frozenset[str]:
    """The devices at the bottom of ``name``: itself, or what dm-verity or dm-crypt stands on."""
    slaves = names(world.sys / "block" / name / "slaves")
    if not slaves:
        return frozenset({name})
    return frozenset().union(*(below(world, slave) for slave in slaves))


def disk_of(world: World, name: str) -> str:
    """The name of the disk that has the partition ``name``; ``name`` itself if it is a disk."""
    for disk in names(world.sys / "block"):
        if name == disk or (world.sys / "block" / disk / name / "partition").exists():
            return disk
    return ""


def _all(world: World) -> Iterator[tuple[str, Path]]:
    for disk in names(world.sys / "block"):
        folder = world.sys / "block" / disk
        yield disk, folder
        for name in names(folder):
            if (folder / name / "partition").exists():
                yield name, folder / name


def _disk(world: World, name: str) -> Disk:
    folder = world.sys / "block" / name
    parts = [part for part in names(folder) if (folder / part / "partition").exists()]
    return Disk(
        name=name,
        path=world.dev / name,
        size=number(folder / "size") * SECTOR,
        model=_model(folder),
        serial=_serial(folder),
        transport=_transport(folder),
        removable=number(folder / "removable") == 1,
        read_only=number(folder / "ro") == 1,
        sequence=number(folder / "diskseq"),
        ids=_ids(world, name),
        partitions=tuple(_partition(world, folder / part) for part in parts),
        booted_from=name in _booted_from(world),
        uses=tuple(
            use
            for each, place in ((name, folder), *((part, folder / part) for part in parts))
            for use in _uses(world, each, place)
        ),
    )


def _partition(world: World, folder: Path) -> Partition:
    facts = _udev(world, read(folder / "dev"))
    label = _lines(read(folder / "uevent")).get("PARTNAME", "")
    return Partition(
        folder.name,
        number(folder / "size") * SECTOR,
        facts.get("ID_FS_LABEL", label),
        facts.get("ID_FS_TYPE", ""),
    )


def _uses(world: World, name: str, folder: Path) -> Iterator[str]:
    device = read(folder / "dev")
    points = sorted({point for mounted, point in world.mounts() if mounted == device})
    if points:
        yield f"{name} is mounted at {' and '.join(points[:2])}"
    swaps = [line.split()[0] for line in read(world.proc / "swaps").splitlines() if line]
    if f"/dev/{name}" in swaps:
        yield f"{name} is swap"
    for holder in names(folder / "holders"):
        known = read(world.sys / "block" / holder / "dm/name") or holder
        yield f"{name} is used by {known}"


def _booted_from(world: World) -> frozenset[str]:
    """The disks under the root, and the one whose boot loader was started."""
    found = {disk_of(world, part) for part in below(world, root_device(world))}
    try:
        variable = (world.sys / "firmware/efi/efivars" / LOADER_PARTITION).read_bytes()
        # Four bytes of attributes, then the UUID as text of the firmware's.
        uuid = variable[4:].decode("utf-16-le").strip("\0").lower()
        link = (world.dev / "disk/by-partuuid" / uuid).readlink()
    except (OSError, UnicodeDecodeError, ValueError):
        return frozenset(found - {""})
    return frozenset((found | {disk_of(world, link.name)}) - {""})


def _model(folder: Path) -> str:
    vendor = read(folder / "device/vendor")
    model = read(folder / "device/model") or read(folder / "device/name")
    if vendor.startswith("0x"):  # virtio's is a number
        return model or "virtual disk"
    return " ".join(part for part in (vendor if vendor != "ATA" else "", model) if part.strip())


def _serial(folder: Path) -> str:
    for place in ("serial", "device/serial"):
        if found := read(folder / place).strip():
            return found
    try:  # SCSI: a page with four bytes of header
        page = (folder / "device/vpd_pg80").read_bytes()
    except OSError:
        return ""
    return page[4:].decode("ascii", "replace").strip("\0 ")


def _transport(folder: Path) -> str:
    way = str(folder.resolve())
    for sign, word in (("/usb", "usb"), ("/nvme", "nvme"), ("/mmc", "mmc"), ("/virtio", "virtio"),
                       ("/ata", "sata")):  # fmt: skip
        if sign in way:
            return word
    return ""


def _ids(world: World, name: str) -> tuple[str, ...]:
    folder = world.dev / "disk/by-id"
    links = [folder / link for link in names(folder)]
    return tuple(link.name for link in links if link.is_symlink() and link.readlink().name == name)


def _udev(world: World, device: str) -> Mapping[str, str]:
    """What udev found out about a device; nothing where it does not run."""
    lines = read(world.run / "udev/data" / f"b{device}").splitlines()
    return _lines("\n".join(line[2:] for line in lines if line.startswith("E:")))


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs if key}
