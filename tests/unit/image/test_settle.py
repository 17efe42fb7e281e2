"""Identifiers that follow from the disk."""

from pathlib import Path

import pytest

from llmos_image import settle
from llmos_image.errors import BuildFailed


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert settle.crc32c(b"123456789") == 0xE3069283
    assert settle.crc32c(bytes(32)) == 0x8A9136AA


def test_another_partition_table_gives_another_identity(tmp_path: Path) -> None:
    found = set()
    for content in (b"a", b"b"):
        (tmp_path / "disk").write_bytes(content * 34 * 512)
        found.add(settle.identity_of(tmp_path / "disk"))
    assert len(found) == 2


def test_what_is_no_virtual_disk_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(300 * 1024))
    with pytest.raises(BuildFailed, match="VHDX"):
        settle.vhdx(path, settle.identity_of(path))
    with pytest.raises(BuildFailed, match="VMDK"):
        settle.vmdk(path, settle.identity_of(path))
    assert path.read_bytes() == bytes(300 * 1024)
