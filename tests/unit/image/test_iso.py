"""A disk that is a CD besides, read back by a program that knows nothing of us."""

import io
import struct
import uuid
from pathlib import Path

import pycdlib
import pytest

from llmos_image import iso
from llmos_image.errors import BuildFailed
from llmos_image.gpt import ESP, ROOT, SECTOR, partitions

MIB = 1024**2


def write_disk(path: Path, *, esp_at: int = MIB) -> None:
    with path.open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(SECTOR)
        file.write(struct.pack("<8s64xQII", b"EFI PART", 2, 128, 128))
        entries = [(ESP, esp_at, "esp"), (ROOT, 3 * MIB, "x_1")]
        for number, (kind, start, name) in enumerate(entries):
            file.seek(2 * SECTOR + number * 128)
            first = start // SECTOR
            own = uuid.UUID(int=number).bytes_le
            file.write(struct.pack("<16s16sQQ8x", kind.bytes_le, own, first, first + 99))
            file.write(name.encode("utf-16-le"))
        file.seek(3 * MIB)
        file.write(b"the root")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "x.iso"
    write_disk(path)
    return path


def test_a_cds_firmware_finds_the_esp_where_it_lies(disk: Path) -> None:
    iso.make_bootable(disk, "llmos_0.1.0")
    volume = pycdlib.PyCdlib()
    volume.open(str(disk))
    catalog = volume.eltorito_boot_catalog
    assert catalog is not None
    assert catalog.validation_entry.platform_id == 0xEF
    assert catalog.initial_entry.boot_indicator == 0x88
    assert catalog.initial_entry.load_rba * iso.BLOCK == MIB
    # The specification of UEFI: to the end of the medium.
    assert catalog.initial_entry.sector_count in {0, 1}
    volume.close()


def test_a_person_who_looks_into_it_is_told_what_it_is(disk: Path) -> None:
    iso.make_bootable(disk, "llmos-vm_0.1.0")
    volume = pycdlib.PyCdlib()
    volume.open(str(disk))
    assert volume.pvd.volume_identifier.strip() == b"LLMOS_VM_0_1_0"
    assert volume.pvd.space_size * iso.BLOCK == disk.stat().st_size
    said = io.BytesIO()
    volume.get_file_from_iso_fp(said, iso_path="/README.TXT;1")
    assert b"Start a computer" in said.getvalue()
    volume.close()


def test_nothing_of_the_disk_is_moved_or_changed(disk: Path) -> None:
    before, parts = disk.read_bytes(), list(partitions(disk))
    iso.make_bootable(disk, "x")
    after = disk.read_bytes()
    assert list(partitions(disk)) == parts
    assert after[: 16 * iso.BLOCK] == before[: 16 * iso.BLOCK]
    assert after[MIB:] == before[MIB:]


def test_two_of_the_same_disk_are_the_same_bytes(tmp_path: Path, disk: Path) -> None:
    write_disk(tmp_path / "y.iso")
    for path in (disk, tmp_path / "y.iso"):
        iso.make_bootable(path, "x")
    assert disk.read_bytes() == (tmp_path / "y.iso").read_bytes()


def test_a_disk_without_room_for_it_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    write_disk(path, esp_at=40 * SECTOR)
    before = path.read_bytes()
    with pytest.raises(BuildFailed, match="a partition lies where"):
        iso.make_bootable(path, "x")
    write_disk(path, esp_at=MIB + SECTOR)
    with pytest.raises(BuildFailed, match="no EFI system partition at a multiple"):
        iso.make_bootable(path, "x")
    write_disk(path)
    iso.make_bootable(path, "x")
    with pytest.raises(BuildFailed, match="something lies where"):
        iso.make_bootable(path, "x")
    assert before != path.read_bytes()
