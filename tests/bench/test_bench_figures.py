"""The benchmarks' own arithmetic, on disks and figures made for the purpose."""

import io
import json
import struct
from pathlib import Path

import pytest
from rich.console import Console

from llmos_image.errors import BuildFailed
from llmos_image.gpt import partitions
from tests.bench.result import Figure, Result
from tests.bench.size import ext4_used

SECTOR = 512


def write_disk(path: Path) -> None:
    """A disk with two partitions; the second one has an ext4 superblock."""
    disk = bytearray(300 * SECTOR)
    header = struct.pack("<8s64xQII", b"EFI PART", 2, 128, 128)
    disk[SECTOR : SECTOR + len(header)] = header
    for number, (first, last, name) in enumerate([(40, 47, "esp"), (48, 99, "root-x86-64")]):
        entry = struct.pack("<32xQQ8x72s", first, last, name.encode("utf-16-le"))
        disk[2 * SECTOR + number * 128 : 2 * SECTOR + number * 128 + len(entry)] = entry
    superblock = bytearray(1024)
    struct.pack_into("<I", superblock, 0x4, 1000)
    struct.pack_into("<I", superblock, 0xC, 400)
    struct.pack_into("<I", superblock, 0x18, 2)
    struct.pack_into("<H", superblock, 0x38, 0xEF53)
    disk[48 * SECTOR + 1024 : 48 * SECTOR + 2048] = superblock
    path.write_bytes(disk)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    write_disk(path)
    return path


def test_what_is_used_on_ext4_is_what_is_not_free(disk: Path) -> None:
    _, root = partitions(disk)
    assert ext4_used(disk, root) == 600 * 4096


def test_a_partition_that_is_not_ext4_is_refused(disk: Path) -> None:
    esp, _ = partitions(disk)
    with pytest.raises(BuildFailed, match="esp is not ext4"):
        ext4_used(disk, esp)


def test_a_file_that_is_no_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(4096))
    with pytest.raises(BuildFailed, match="no GUID partition table"):
        list(partitions(tmp_path / "file"))


def test_figures_are_kept_for_programs_and_shown_to_people(tmp_path: Path) -> None:
    figures = [Figure("LLMOS to its prompt", 46.54, "s"), Figure("LLMOS / stock", 1.137, "x")]
    result = Result("boot", figures, {"accelerator": "tcg"})
    kept = json.loads(result.write(tmp_path).read_text())
    assert kept["figures"][0] == {"name": "LLMOS to its prompt", "value": 46.54, "unit": "s"}
    assert kept["conditions"] == {"accelerator": "tcg"}
    console = Console(width=100, record=True, file=io.StringIO())
    result.show(console)
    shown = console.export_text()
    assert "46.5" in shown
    assert "1.14" in shown
