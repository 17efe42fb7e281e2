"""Partition tables, made for the purpose."""

import struct
import uuid
from pathlib import Path

import pytest

from llmos_image.errors import BuildFailed
from llmos_image.gpt import ROOT, SECTOR, Partition, partitions

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


def write_table(path: Path) -> None:
    disk = bytearray(300 * SECTOR)
    struct.pack_into("<8s64xQII", disk, SECTOR, b"EFI PART", 2, 128, 128)
    entries = [(ESP, ONE, 40, 47, "esp"), (ROOT, TWO, 48, 99, "root-x86-64")]
    for number, (kind, own, first, last, name) in enumerate(entries):
        at = 2 * SECTOR + number * 128
        struct.pack_into("<16s16sQQ8x", disk, at, kind.bytes_le, own.bytes_le, first, last)
        disk[at + 56 : at + 56 + 2 * len(name)] = name.encode("utf-16-le")
    path.write_bytes(disk)


def test_the_partitions_of_a_disk_are_listed(tmp_path: Path) -> None:
    write_table(tmp_path / "disk")
    assert list(partitions(tmp_path / "disk")) == [
        Partition("esp", 40 * SECTOR, 8 * SECTOR, ESP, ONE),
        Partition("root-x86-64", 48 * SECTOR, 52 * SECTOR, ROOT, TWO),
    ]


def test_a_file_without_a_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"short")
    with pytest.raises(BuildFailed, match="no GUID partition table"):
        list(partitions(tmp_path / "disk"))
