"""A disk image that also boots as a CD: an ISO 9660 volume with an El Torito boot record.

The two fit into one file without moving a byte of either. A GUID partition table ends before
byte 17,408, ISO 9660 begins at byte 32,768, and the first partition at 1 MiB. The boot catalog
points at the ESP where it lies, so that root, verity and their UUIDs are the disk's own.

ISO 9660: ECMA-119. El Torito: Phoenix and IBM, version 1.0, with what UEFI (chapter 13.3.2)
says about it. UEFI needs no file in the volume; there is one for a person who looks.
"""

import re
import struct
from pathlib import Path

from llmos_image.errors import BuildFailed
from llmos_image.gpt import ESP, partitions

BLOCK = 2048
_DESCRIPTORS, _CATALOG, _PATHS, _PATHS_BIG, _ROOT, _README = 16, 19, 20, 21, 22, 23
_END = 24
_EFI_PLATFORM = 0xEF
_BOOTABLE = 0x88
# The ESP is larger than 16 bits of sectors can say: 0 and 1 mean all that follows.
_TO_THE_END = 1
_NO_DATE = b"0" * 16 + b"\0"
_TEXT = b"""\
This is a whole disk with a CD's boot record in front.

Start a computer or a virtual machine from it (UEFI, 64 bit), as a CD or, written byte by byte,
as a USB stick. The files of the system are in the disk's partitions, which this view of it does
not show.
"""


def make_bootable(disk: Path, name: str) -> None:
    """Write the volume, called after ``name``, into the unused part of ``disk``.

    Raises:
        BuildFailed: the disk has no ESP where a CD's firmware can read it, or something lies
            where the volume belongs.
    """
    parts = list(partitions(disk))
    esp = next((part for part in parts if part.type == ESP), None)
    if esp is None or esp.start % BLOCK:
        raise BuildFailed(f"{disk}: no EFI system partition at a multiple of {BLOCK} bytes")
    if any(part.start < _END * BLOCK for part in parts):
        raise BuildFailed(f"{disk}: a partition lies where a CD has its volume descriptors")
    with disk.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(_DESCRIPTORS * BLOCK)
        if any(file.read((_END - _DESCRIPTORS) * BLOCK)):
            raise BuildFailed(f"{disk}: something lies where a CD has its volume descriptors")
        file.seek(_DESCRIPTORS * BLOCK)
        for block in (
            _primary(name, size // BLOCK),
            _boot_record(),
            b"\xffCD001\x01",
            _catalog(esp.start // BLOCK),
            _path_table("<"),
            _path_table(">"),
            _root(),
            _TEXT,
        ):
            file.write(block.ljust(BLOCK, b"\0"))


def _primary(name: str, blocks: int) -> bytes:
    label = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:32]
    return b"".join(
        (
            b"\x01CD001\x01\0",
            _text("", 32),
            _text(label, 32),
            bytes(8),
            _both32(blocks),
            bytes(32),
            *(_both16(number) for number in (1, 1, BLOCK)),
            _both32(len(_path_table("<"))),
            struct.pack("<II", _PATHS, 0),
            struct.pack(">II", _PATHS_BIG, 0),
            _record(b"\0", _ROOT, BLOCK, folder=True),
            # Volume set, publisher, preparer, application; copyright, abstract, bibliography.
            *(_text(text, 128) for text in ("", "", "", "LLMOS")),
            *(_text("", 37) for _ in range(3)),
            # Made, changed, expired, effective: two builds shall be the same bytes.
            _NO_DATE * 4,
            b"\x01\0",
        )
    )


def _boot_record() -> bytes:
    system = b"EL TORITO SPECIFICATION".ljust(64, b"\0")
    return b"\0CD001\x01" + system + struct.pack("<I", _CATALOG)


def _catalog(esp: int) -> bytes:
    validation = struct.pack("<BBH24sH2s", 1, _EFI_PLATFORM, 0, b"LLMOS", 0, b"\x55\xaa")
    words = sum(struct.unpack("<16H", validation))
    validation = validation[:28] + struct.pack("<H", -words & 0xFFFF) + validation[30:]
    return validation + struct.pack("<BBHBBHI", _BOOTABLE, 0, 0, 0, 0, _TO_THE_END, esp)


def _path_table(order: str) -> bytes:
    """The one folder there is."""
    return struct.pack(f"{order}BBIH2s", 1, 0, _ROOT, 1, b"")


def _root() -> bytes:
    return (
        _record(b"\0", _ROOT, BLOCK, folder=True)
        + _record(b"\1", _ROOT, BLOCK, folder=True)
        + _record(b"README.TXT;1", _README, len(_TEXT), folder=False)
    )


def _record(name: bytes, block: int, size: int, *, folder: bool) -> bytes:
    """A directory record; its date is none."""
    body = b"".join(
        (
            b"\0",
            _both32(block),
            _both32(size),
            bytes(7),
            struct.pack("<BBB", 2 if folder else 0, 0, 0),
            _both16(1),
            struct.pack("<B", len(name)),
            name,
        )
    )
    body += bytes(1 - len(body) % 2)
    return struct.pack("<B", len(body) + 1) + body


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _both32(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _text(text: str, length: int) -> bytes:
    return text.encode().ljust(length)
