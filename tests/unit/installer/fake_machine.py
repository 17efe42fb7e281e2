"""A machine as the kernel shows it, in a folder: disks, partitions, what is mounted on them."""

import struct
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from llmos_installer.gpt import ESP, ROOT, ROOT_VERITY
from llmos_installer.layout import Layout
from llmos_installer.world import World

GB = 10**9
SMALL = Layout(esp=2**30, root=2 * 2**30, verity=32 * 2**20, data=2**30)
HASH = "1be33681d7c1ee55552533870b13513edd45fc5ef4476a85d5ca7ef3e4f23fe3"


@dataclass
class FakeMachine:
    """Grows by calls; :attr:`world` is what the installer gets."""

    folder: Path
    _mounts: list[str] = field(default_factory=list)
    _minor: int = 0

    @property
    def world(self) -> World:
        return World(*(self.folder / name for name in ("sys", "proc", "dev", "run", "root")))

    def __post_init__(self) -> None:
        for name in ("sys/block", "proc/self", "dev/disk/by-id", "run/udev/data", "root"):
            (self.folder / name).mkdir(parents=True)
        self.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
        self.write("proc/cmdline", f"quiet roothash={HASH} llmos.mode=install\n")
        self.write("root/usr/lib/os-release", 'ID=llmos\nIMAGE_ID=llmos\nIMAGE_VERSION="0.2.0"\n')
        self.write("root/etc/passwd", "root:x:0:0::/root:/bin/bash\nllmos:x:1000:1000::/home:/x\n")

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def disk(
        self, name: str, size: int = 64 * GB, *, way: str = "pci0/ata1", **facts: str
    ) -> "FakeMachine":
        """A disk; ``facts`` are files below its folder, ``__`` for a slash."""
        place = f"sys/devices/{way}/block/{name}"
        self._node(place, size)
        self.write(f"{place}/removable", "0\n")
        (self.folder / place / "device").mkdir()
        for key, text in facts.items():
            self.write(f"{place}/{key.replace('__', '/')}", f"{text}\n")
        (self.folder / "sys/block" / name).symlink_to(self.folder / place)
        return self

    def partition(
        self, disk: str, number: int, size: int = GB, *, label: str = "", holds: str = ""
    ) -> str:
        """A partition of ``disk``; returns its name."""
        name = f"{disk}{'p' * disk[-1].isdigit()}{number}"
        place = f"sys/block/{disk}/{name}"
        device = self._node(place, size)
        self.write(f"{place}/partition", f"{number}\n")
        self.write(f"{place}/uevent", f"DEVNAME={name}\nPARTNAME={label}\n")
        self.write(f"run/udev/data/b{device}", f"I:1\nE:ID_FS_TYPE={holds}\n")
        return name

    def mapped(self, name: str, slaves: list[str], mapping: str = "root") -> "FakeMachine":
        """A device of device mapper over partitions."""
        self._node(f"sys/block/{name}", GB)
        self.write(f"sys/block/{name}/dm/name", f"{mapping}\n")
        for slave in slaves:
            self.write(f"sys/block/{name}/slaves/{slave}", "")
            disk = next(p for p in (self.folder / "sys/block").iterdir() if (p / slave).is_dir())
            self.write(f"sys/block/{disk.name}/{slave}/holders/{name}", "")
        return self

    def mount(self, name: str, point: str) -> "FakeMachine":
        """Mount a device."""
        place = next((self.folder / "sys/block").glob(f"{name}/dev"), None)
        place = place or next((self.folder / "sys/block").glob(f"*/{name}/dev"))
        self._mounts.append(f"30 1 {place.read_text().strip()} / {point} ro - erofs x ro")
        self.write("proc/self/mountinfo", "\n".join(self._mounts) + "\n")
        return self

    def stick(self, name: str = "sdb") -> "FakeMachine":
        """The stick from which the system runs, with its partition table."""
        self.disk(name, 16 * GB, way="pci0/usb1/1-1", removable="1", device__model="Stick")
        esp, verity, root = (self.partition(name, number) for number in (1, 2, 3))
        assert esp
        self.mapped("dm-0", [root, verity]).mount("dm-0", "/")
        (self.folder / "dev" / name).write_bytes(
            partition_table(
                [
                    (ESP, uuid.uuid4(), "esp"),
                    (ROOT_VERITY, uuid.UUID(HASH[32:]), "llmos_0.2.0_verity"),
                    (ROOT, uuid.UUID(HASH[:32]), "llmos_0.2.0"),
                ]
            )
        )
        return self

    def _node(self, place: str, size: int) -> str:
        self._minor += 1
        device = f"8:{self._minor}"
        self.write(f"{place}/size", f"{size // 512}\n")
        self.write(f"{place}/ro", "0\n")
        for folder in (place, f"sys/class/block/{Path(place).name}"):
            self.write(f"{folder}/dev", f"{device}\n")
        return device


def partition_table(entries: list[tuple[uuid.UUID, uuid.UUID, str]], sector: int = 512) -> bytes:
    """The beginning of a disk with a valid GPT; every partition has one sector."""
    table = b"".join(
        struct.pack("<16s16sQQQ72s", kind.bytes_le, unique.bytes_le, 100 + n, 100 + n, 0,
                    label.encode("utf-16-le"))
        for n, (kind, unique, label) in enumerate(entries)
    ).ljust(128 * 128, b"\0")  # fmt: skip

    def head(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, checksum, 0, 1, 1000, 34, 990,
            uuid.uuid4().bytes_le, 2, 128, 128, zlib.crc32(table),
        )  # fmt: skip

    zero = head(0)
    fixed = zero[:16] + struct.pack("<I", zlib.crc32(zero)) + zero[20:]
    return bytes(sector) + fixed.ljust(sector, b"\0") + table
