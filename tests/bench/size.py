"""What an image's size is made of."""

import struct
from pathlib import Path
from typing import BinaryIO

from llmos_image.errors import BuildFailed
from llmos_image.gpt import Partition, partitions
from tests.bench.image import build
from tests.bench.result import Figure, Result

# ext4's superblock, https://docs.kernel.org/filesystems/ext4/super.html
_EXT4_AT = 1024
_EXT4_MAGIC = 0xEF53


def measure() -> Result:
    """Build the image for virtual machines and take it apart."""
    built = build("vm")
    stat = built.disk.stat()
    parts = list(partitions(built.disk))
    # Named after its type, which is how systemd finds it: root-x86-64.
    root = next(part for part in parts if part.name.startswith("root"))
    used = ext4_used(built.disk, root)
    ours = built.sizes["python_packages"] + built.sizes["llmos_code"] + built.sizes["models"]
    figures = [
        Figure("disk image, on this disk", stat.st_blocks * 512 / 1e6, "MB"),
        Figure("disk image, when flashed", stat.st_size / 1e6, "MB"),
        *(Figure(f"partition {part.name}", part.size / 1e6, "MB") for part in parts),
        Figure("unified kernel image", built.sizes["uki"] / 1e6, "MB"),
        Figure("  kernel", built.sizes["kernel"] / 1e6, "MB"),
        Figure("  initrd", built.sizes["initrd"] / 1e6, "MB"),
        Figure("root file system, used", used / 1e6, "MB"),
        Figure("  Python packages", built.sizes["python_packages"] / 1e6, "MB"),
        Figure("  LLMOS", built.sizes["llmos_code"] / 1e6, "MB"),
        Figure("  models", built.sizes["models"] / 1e6, "MB"),
        Figure("  Debian and the file system itself", (used - ours) / 1e6, "MB"),
    ]
    return Result("size", figures, {"spec": "vm"})


def ext4_used(disk: Path, partition: Partition) -> int:
    """Bytes in use on an ext4 file system, its own structures included.

    Raises:
        BuildFailed: the partition holds no ext4.
    """
    with disk.open("rb") as file:
        block = _read(file, partition.start + _EXT4_AT, 1024)
    (magic,) = struct.unpack_from("<H", block, 0x38)
    if magic != _EXT4_MAGIC:
        raise BuildFailed(f"{disk}: partition {partition.name} is not ext4")
    blocks_low, free_low, log_size = (
        struct.unpack_from("<I", block, at)[0] for at in (0x4, 0xC, 0x18)
    )
    blocks_high, free_high = (struct.unpack_from("<I", block, at)[0] for at in (0x150, 0x158))
    blocks = blocks_high << 32 | blocks_low
    free = free_high << 32 | free_low
    used: int = (blocks - free) * (1024 << log_size)
    return used


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
