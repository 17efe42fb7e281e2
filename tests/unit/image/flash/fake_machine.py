"""A machine's sysfs, procfs and device nodes as files, in the shapes that Linux gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llmos_image.flash.disks import Roots

GB = 10**9
PCI = "pci0000:00/0000:00:14.0"


@dataclass
class FakeMachine:
    """Grows by one call a device; ``roots`` is what the code under test looks at."""

    base: Path
    _mounts: list[str] = field(default_factory=list)
    _swaps: list[str] = field(default_factory=list)
    _minor: int = 0

    def __post_init__(self) -> None:
        for name in ("sys/block", "proc/self", "dev/mapper"):
            (self.base / name).mkdir(parents=True)
        self._write_proc()

    @property
    def roots(self) -> Roots:
        """Of this machine; its nodes are files that hold their number."""
        return Roots(self.base / "sys", self.base / "proc", self.base / "dev", _number_of)

    # Devices

    def disk(
        self,
        name: str,
        where: str,
        *,
        size: int = 32 * GB,
        removable: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> Path:
        """A disk whose device is ``where`` below ``sys/devices``; its folder in sysfs."""
        folder = self._device(name, where, size)
        attributes = {
            "removable": "1" if removable else "0",
            "ro": "0",
            "diskseq": str(self._minor),
            "queue/logical_block_size": "512",
            **(attributes or {}),
        }
        self._write(folder, attributes)
        (self.base / "sys/block" / name).symlink_to(folder)
        return folder

    def usb_disk(self, name: str, *, port: str = "removable", **options: object) -> Path:
        """A stick, or with ``removable=False`` a disk, on a USB port."""
        usb = f"{PCI}/usb2/2-{self._minor}"
        folder = self.disk(
            name,
            f"{usb}/2-1:1.0/host6/target6:0:0/6:0:0:0/block",
            removable=bool(options.pop("removable", True)),
            **options,  # type: ignore[arg-type]  # passed through as they came
        )
        for place in (f"{PCI}/usb2", usb):
            hub = self.base / "sys/devices" / place
            said = {"removable": port if place == usb else "unknown", "idVendor": "0781"}
            self._write(hub, {**said, "serial": "4C530001" if place == usb else "0000:00:14.0"})
        self._write(
            folder / "device", {"type": "0", "vendor": "SanDisk ", "model": "Ultra          "}
        )
        return folder

    def sata_disk(self, name: str, *, removable: bool = False) -> Path:
        """A disk inside the machine."""
        where = f"{PCI}/ata1/host0/target0:0:0/0:0:0:0/block"
        folder = self.disk(name, where, size=512 * GB, removable=removable)
        self._write(folder / "device", {"type": "0", "vendor": "ATA", "model": "Samsung SSD 860"})
        return folder

    def nvme_disk(self, name: str, *, outside: bool = False) -> Path:
        """A disk inside the machine, or in an enclosure on Thunderbolt."""
        bus = f"pci0000:00/0000:00:{self._minor:02x}.0"
        folder = self.disk(name, f"{bus}/nvme/nvme0", size=1000 * GB)
        self._write(folder / "device", {"model": "WD BLACK SN850X", "serial": "23093A"})
        if outside:
            self._write(self.base / "sys/devices" / bus, {"removable": "removable"})
        return folder

    def card(self, name: str, kind: str) -> Path:
        """An SD card (``SD``) or an eMMC chip (``MMC``) in a reader of its own."""
        where = f"pci0000:00/0000:00:1a.0/mmc_host/mmc0/mmc0:{self._minor:04x}/block"
        folder = self.disk(name, where)
        self._write(folder / "device", {"type": kind, "name": "SD32G", "serial": "0x12345678"})
        return folder

    def virtual(self, name: str, attributes: Mapping[str, str] | None = None) -> Path:
        """A loop, a device-mapper or RAID device."""
        return self.disk(name, "virtual/block", attributes=attributes)

    def partition(self, disk: Path, number: int) -> Path:
        """Partition ``number`` of the disk in ``disk``."""
        digits = "p" if disk.name[-1].isdigit() else ""
        name = f"{disk.name}{digits}{number}"
        folder = self._device(name, str(disk.relative_to(self.base / "sys/devices")), GB)
        self._write(folder, {"partition": str(number)})
        return folder

    def hold(self, held: Path, holder: Path) -> None:
        """Build ``holder`` upon ``held``."""
        (held / "holders").mkdir(exist_ok=True)
        (held / "holders" / holder.name).symlink_to(holder)

    # What uses them

    def mount(self, place: str, *, of: Path | None = None, source: str = "none") -> None:
        """Mount a device (or, as btrfs does, a ``source`` with a number of no device)."""
        number = (of / "dev").read_text().strip() if of else "0:42"
        name = f"/dev/{of.name}" if of else source
        shown = place.replace(" ", "\\040")
        self._mounts.append(f"36 35 {number} / {shown} rw,relatime shared:1 - ext4 {name} rw")
        self._write_proc()

    def swap(self, source: str) -> None:
        """Swap on what is at ``source``."""
        self._swaps.append(f"{source}\tpartition\t1000\t0\t-2")
        self._write_proc()

    def node(self, name: str) -> Path:
        """The node of a device, for links to it."""
        return self.base / "dev" / name

    def _device(self, name: str, where: str, size: int) -> Path:
        self._minor += 1
        folder = self.base / "sys/devices" / where / name
        self._write(folder, {"dev": f"8:{self._minor}", "size": str(size // 512)})
        self.node(name).write_text(f"8:{self._minor}")
        return folder

    def _write_proc(self) -> None:
        (self.base / "proc/self/mountinfo").write_text("\n".join([*self._mounts, ""]))
        head = "Filename\tType\tSize\tUsed\tPriority"
        (self.base / "proc/swaps").write_text("\n".join([head, *self._swaps, ""]))

    @staticmethod
    def _write(folder: Path, attributes: Mapping[str, str]) -> None:
        for name, text in attributes.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{text}\n")


def _number_of(node: Path) -> str | None:
    text = node.read_text()
    return text if text.startswith("8:") else None
