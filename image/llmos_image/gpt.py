"""Reading a GUID partition table (UEFI specification, chapter 5)."""

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llmos_image.errors import BuildFailed

SECTOR = 512
ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
"""The type of a root partition for x86-64 (uapi-group.org, discoverable partitions)."""
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
"""The type of an EFI system partition."""
_HEADER = struct.Struct("<8s64xQII")
_ENTRY = struct.Struct("<16s16sQQ8x72s")


@dataclass(frozen=True)
class Partition:
    """A part of a disk; places and sizes in bytes."""

    name: str
    start: int
    size: int
    type: uuid.UUID
    uuid: uuid.UUID


def partitions(disk: Path) -> Iterator[Partition]:
    """The partitions of ``disk``, as they stand in its table.

    Raises:
        BuildFailed: there is no such table.
    """
    with disk.open("rb") as file:
        header = _read(file, SECTOR, _HEADER.size)
        magic, entries_at, count, size = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
        if magic != b"EFI PART":
            raise BuildFailed(f"{disk}: no GUID partition table")
        table = _read(file, entries_at * SECTOR, count * size)
    for at in range(0, len(table), size):
        kind, own, first, last, name = _ENTRY.unpack_from(table, at)
        if first:
            yield Partition(
                name.decode("utf-16-le").rstrip("\0"),
                first * SECTOR,
                (last - first + 1) * SECTOR,
                uuid.UUID(bytes_le=kind),
                uuid.UUID(bytes_le=own),
            )


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
