"""Identifiers that qemu-img draws at random, replaced by ones that follow from the disk.

Two conversions of one disk are then the same file. VHDX: Microsoft's [MS-VHDX], sections 2.2
to 2.6. VMDK: VMware's "Virtual Disk Format 1.1", the descriptor.
"""

import re
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmos_image.errors import BuildFailed

_KIB = 1024
_NAMESPACE = uuid.UUID("6c6c6d6f-7300-4000-8000-000000000002")
# A header's signature, checksum, sequence number, three identifiers, versions and the log.
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
_HEADERS_AT = (64 * _KIB, 128 * _KIB)
_HEADER_SIZE = 4 * _KIB
_REGIONS_AT = 192 * _KIB
_REGION = struct.Struct("<16sQII")
_METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_METADATA_ITEM = struct.Struct("<16sIIII")
_PAGE_83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
# A sparse extent's magic number, and where its descriptor lies, in sectors.
_SPARSE_EXTENT = struct.Struct("<4s24xQQ")


def identity_of(raw: Path) -> uuid.UUID:
    """An identifier of the disk: of its partition table, which has the root's verity hash."""
    with raw.open("rb") as file:
        return uuid.uuid5(_NAMESPACE, file.read(34 * 512).hex())


def vmdk(path: Path, identity: uuid.UUID) -> None:
    """Give the disk ``path`` the content identifier that follows from ``identity``.

    Raises:
        BuildFailed: it has no embedded descriptor.
    """
    with path.open("r+b") as file:
        magic, at, sectors = _SPARSE_EXTENT.unpack(file.read(_SPARSE_EXTENT.size))
        file.seek(at * 512)
        descriptor = file.read(sectors * 512) if magic == b"KDMV" else b""
        # It is text, padded with zeros; qemu-img writes a number without leading zeros.
        text = descriptor.rstrip(b"\0")
        named = f"\nCID={identity.fields[0]:08x}\n".encode()
        settled, found = re.subn(rb"\nCID=[0-9a-f]{1,8}\n", named, text, count=1)
        if not found or len(settled) > len(descriptor):
            raise BuildFailed(f"{path}: no VMDK descriptor where one is expected")
        file.seek(at * 512)
        file.write(settled.ljust(len(descriptor), b"\0"))


def vhdx(path: Path, identity: uuid.UUID) -> None:
    """Give the disk ``path`` the identifiers that follow from ``identity``; empty its log.

    Raises:
        BuildFailed: it is no VHDX, or its log holds writes that are not on the disk yet.
    """
    with path.open("r+b") as file:
        for sequence, at in enumerate(_HEADERS_AT, 1):
            _settle_header(path, file, at, sequence, identity)
        place = _page_83_at(path, file)
        file.seek(place)
        file.write(uuid.uuid5(identity, "page 83").bytes_le)


def _settle_header(path: Path, file: BinaryIO, at: int, sequence: int, identity: uuid.UUID) -> None:
    file.seek(at)
    header = bytearray(file.read(_HEADER_SIZE))
    signature, _sum, _sequence, _file, _data, log, *rest = _HEADER.unpack_from(header)
    if signature != b"head" or any(log):
        raise BuildFailed(f"{path}: no VHDX that was closed well")
    # The log is valid only under an identifier of its own: with none, whatever lies there is
    # left over, and has random parts.
    log_length, log_at = rest[2], rest[3]
    file.seek(log_at)
    file.write(bytes(log_length))
    names = [uuid.uuid5(identity, part).bytes_le for part in ("file write", "data write")]
    _HEADER.pack_into(header, 0, signature, 0, sequence, *names, log, *rest)
    struct.pack_into("<I", header, 4, crc32c(bytes(header)))
    file.seek(at)
    file.write(header)


def _page_83_at(path: Path, file: BinaryIO) -> int:
    """Where the identifier lies by which a guest knows the disk (SCSI page 83)."""
    for region, start, _length, _required in _entries(file, _REGIONS_AT, "<8xI4x", 16, _REGION):
        if region != _METADATA_REGION.bytes_le:
            continue
        for item, offset, *_ in _entries(file, start, "<10xH20x", 32, _METADATA_ITEM):
            if item == _PAGE_83.bytes_le:
                return int(start + offset)
    raise BuildFailed(f"{path}: a VHDX without metadata")


def _entries(
    file: BinaryIO, at: int, count_in: str, head: int, entry: struct.Struct
) -> Iterator[tuple[bytes, int, int, int]]:
    """A table's entries: its head, which has their number, and then each of them."""
    file.seek(at)
    (count,) = struct.unpack(count_in, file.read(head))
    table = file.read(count * entry.size)
    yield from (fields[:4] for fields in entry.iter_unpack(table))


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC of RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
