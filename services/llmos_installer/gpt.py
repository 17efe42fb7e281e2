"""The partition table of a disk (UEFI specification, chapter 5): read it, or take it away."""

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

MIB: Final = 1024**2
SECTORS: Final = (512, 4096)
ESP: Final = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT: Final = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
ROOT_VERITY: Final = UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
DATA: Final = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

_HEADER: Final = struct.Struct("<8s4sII4xQQQQ16sQIII")
_ENTRY: Final = struct.Struct("<16s16sQQQ72s")
_MOST_ENTRIES: Final = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A partition: ``offset`` and ``size`` in bytes."""

    number: int
    type: UUID
    uuid: UUID
    label: str
    offset: int
    size: int


def read_table(disk: int) -> tuple[Entry, ...]:
    """The partitions on the open ``disk``; none when it has no valid table at its beginning."""
    for sector in SECTORS:
        head = os.pread(disk, sector, sector)
        if len(head) == sector and head.startswith(b"EFI PART"):
            return _entries(disk, head, sector)
    return ()


def invalidate(disk: int, size: int) -> None:
    """Overwrite the table at the beginning, and its copy at the end, of a disk of ``size`` bytes.

    What firmware or systemd would start from is gone with it.
    """
    zeros = bytes(min(MIB, size))
    for offset in (0, size - len(zeros)):
        if os.pwrite(disk, zeros, offset) != len(zeros):
            raise OSError(f"only a part of {len(zeros)} bytes was written at {offset}")
    os.fsync(disk)


def has_table(disk: int, size: int) -> bool:
    """Whether anything on the disk of ``size`` bytes still says that it is partitioned."""
    if read_table(disk) or os.pread(disk, 2, 510) == b"\x55\xaa":
        return True
    return any(os.pread(disk, 8, size - sector) == b"EFI PART" for sector in SECTORS)


def _entries(disk: int, head: bytes, sector: int) -> tuple[Entry, ...]:
    fields = _HEADER.unpack_from(head)
    length, checksum, place, count, width, entries_sum = (
        fields[2], fields[3], fields[9], fields[10], fields[11], fields[12],
    )  # fmt: skip
    if not _HEADER.size <= length <= sector or count > _MOST_ENTRIES or width < _ENTRY.size:
        return ()
    blank = head[:16] + bytes(4) + head[20:length]
    table = os.pread(disk, count * width, place * sector)
    if zlib.crc32(blank) != checksum or zlib.crc32(table) != entries_sum:
        return ()
    found = []
    for index in range(count):
        kind, unique, first, last, _, label = _ENTRY.unpack_from(table, index * width)
        if any(kind):
            found.append(
                Entry(
                    number=index + 1,
                    type=uuid.UUID(bytes_le=kind),
                    uuid=uuid.UUID(bytes_le=unique),
                    label=label.decode("utf-16-le", "replace").split("\0", 1)[0],
                    offset=first * sector,
                    size=(last - first + 1) * sector,
                )
            )
    return tuple(found)
