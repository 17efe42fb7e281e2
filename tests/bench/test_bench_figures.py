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

SECTOR = 512


def write_disk(path: Path) -> None:
    """A disk with two partitions."""
    disk = bytearray(300 * SECTOR)
    header = struct.pack("<8s64xQII", b"EFI PART", 2, 128, 128)
    disk[SECTOR : SECTOR + len(header)] = header
    for number, (first, last, name) in enumerate([(40, 47, "esp"), (48, 99, "root-x86-64")]):
        entry = struct.pack("<32xQQ8x72s", first, last, name.encode("utf-16-le"))
        disk[2 * SECTOR + number * 128 : 2 * SECTOR + number * 128 + len(entry)] = entry
    path.write_bytes(disk)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    write_disk(path)
    return path


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
