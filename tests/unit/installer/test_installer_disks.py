"""Which disks there are, and what each of them is used for."""

import uuid
from pathlib import Path

import pytest

from llmos_installer import gpt
from llmos_installer.disks import LOADER_PARTITION, Disk, disks, size_words
from llmos_installer.errors import NotHere
from llmos_installer.running import boot_files, has_tpm, running
from tests.unit.installer.fake_machine import GB, HASH, FakeMachine, partition_table


def only(machine: FakeMachine) -> Disk:
    (disk,) = disks(machine.world)
    return disk


def test_a_disk_is_described_as_a_person_knows_it(machine: FakeMachine) -> None:
    machine.disk("nvme0n1", 512 * GB, way="pci0/nvme/nvme0", device__model="Samsung SSD 980",
                 device__serial="S64DNX0R", diskseq="7")  # fmt: skip
    disk = only(machine)
    assert disk.words() == "nvme0n1: 512 GB, Samsung SSD 980 (nvme)"
    assert (disk.serial, disk.sequence, disk.uses, disk.booted_from) == ("S64DNX0R", 7, (), False)


@pytest.mark.parametrize(
    ("name", "way", "facts", "words"),
    [
        ("sda", "pci0/ata1", {"device__vendor": "ATA", "device__model": "WDC"}, "WDC (sata)"),
        ("sda", "pci0/usb1",
         {"removable": "1", "device__vendor": "SanDisk", "device__model": "Ultra"},
         "SanDisk Ultra (usb removable)"),
        ("vda", "pci0/virtio2", {"device__vendor": "0x1af4"}, "virtual disk (virtio)"),
        ("mmcblk0", "pci0/mmc0", {"device__name": "DG4064"}, "DG4064 (mmc)"),
        ("xvda", "vbd-51712", {}, "no model name"),
    ],
)  # fmt: skip
def test_every_kind_of_disk_has_words(
    machine: FakeMachine, name: str, way: str, facts: dict[str, str], words: str
) -> None:
    machine.disk(name, 64 * GB, way=way, **facts)
    assert only(machine).words() == f"{name}: 64 GB, {words}"


def test_what_is_no_disk_is_not_listed(machine: FakeMachine) -> None:
    machine.disk("sda").disk("sr0").disk("mmcblk0boot0").disk("sdc", 0)
    for name in ("loop0", "zram0", "dm-3", "md0"):
        machine.write(f"sys/block/{name}/size", "1000\n")
    assert only(machine).name == "sda"


def test_a_serial_number_is_found_where_each_kind_keeps_it(machine: FakeMachine) -> None:
    machine.disk("vda", serial="virtual-1").disk("sda")
    page = machine.folder / "sys/block/sda/device/vpd_pg80"
    page.write_bytes(b"\x00\x80\x00\x08WD-12345  ")
    assert [disk.serial for disk in disks(machine.world)] == ["WD-12345", "virtual-1"]


def test_the_disk_under_the_verified_root_is_known(machine: FakeMachine) -> None:
    machine.disk("sda").stick("sdb")
    assert {disk.name: disk.booted_from for disk in disks(machine.world)} == {
        "sda": False,
        "sdb": True,
    }


def test_the_disk_of_the_boot_loader_counts_as_booted_from(machine: FakeMachine) -> None:
    """As when the root was found on another disk that holds the same system."""
    machine.disk("sda").stick("sdb")
    part = machine.partition("sda", 1)
    identity = str(uuid.uuid4())
    variable = machine.folder / "sys/firmware/efi/efivars" / LOADER_PARTITION
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\6\0\0\0" + (identity.upper() + "\0").encode("utf-16-le"))
    link = machine.folder / "dev/disk/by-partuuid" / identity
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../{part}")
    assert all(disk.booted_from for disk in disks(machine.world))


def test_every_use_of_a_disk_is_named(machine: FakeMachine) -> None:
    machine.disk("sda")
    first, second, third = (machine.partition("sda", number) for number in (1, 2, 3))
    machine.mount(first, "/mnt/my\\040files")
    machine.write("proc/swaps", f"Filename Type\n/dev/{second} partition 1 0 -2\n")
    machine.mapped("dm-4", [third], "vault")
    assert only(machine).uses == (
        "sda1 is mounted at /mnt/my files",
        "sda2 is swap",
        "sda3 is used by vault",
    )


def test_partitions_are_told_by_what_they_hold(machine: FakeMachine) -> None:
    machine.disk("sda")
    machine.partition("sda", 1, 200 * GB, label="Windows", holds="ntfs")
    assert [part.words() for part in only(machine).partitions] == ['sda1, 200 GB, ntfs "Windows"']


def test_another_disk_under_the_same_name_is_another_disk(machine: FakeMachine) -> None:
    machine.disk("sda", diskseq="3")
    before = only(machine)
    machine.write("sys/block/sda/diskseq", "4\n")
    assert not before.is_same(only(machine))


@pytest.mark.parametrize(
    ("size", "words"),
    [(512, "512 bytes"), (1_500_000, "1.5 MB"), (64 * GB, "64 GB"), (4_000 * GB, "4 TB")],
)
def test_sizes_are_said_as_disks_are_sold(size: int, words: str) -> None:
    assert size_words(size) == words


def test_the_running_system_is_found_by_its_root_hash(machine: FakeMachine) -> None:
    machine.disk("sda").stick("sdb")
    found = running(machine.world)
    dev = machine.folder / "dev"
    assert (found.name, found.disk, found.esp) == ("llmos_0.2.0", "sdb", dev / "sdb1")
    assert (found.root.source, found.root.label) == (dev / "dm-0", "llmos_0.2.0")
    assert found.root.uuid.replace("-", "") == HASH[:32]
    assert (found.verity.source, found.verity.label) == (dev / "sdb2", "llmos_0.2.0_verity")


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("proc/cmdline", "quiet\n", "no roothash="),
        ("proc/cmdline", f"roothash={'0' * 64}\n", "does not name the system that runs"),
        ("root/usr/lib/os-release", "ID=debian\n", "no IMAGE_ID"),
        ("proc/self/mountinfo", "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "not on a verified root"),
        ("dev/sdb", "x" * 4096, "does not name the system that runs"),
    ],
)
def test_a_system_that_cannot_be_installed_from_says_why(
    machine: FakeMachine, path: str, text: str, said: str
) -> None:
    machine.stick("sdb").write(path, text)
    with pytest.raises(NotHere, match=said) as caught:
        running(machine.world)
    assert "stick" in str(caught.value.hint)


def test_only_this_systems_own_boot_files_are_taken(machine: FakeMachine, tmp_path: Path) -> None:
    machine.stick()
    for name in (
        "EFI/BOOT/BOOTX64.EFI", "EFI/Linux/llmos_0.2.0+2-1.efi", "EFI/Linux/llmos_0.1.0.efi",
        "EFI/Linux/llmos_0.2.0.1.efi", "loader/loader.conf", "loader/random-seed",
        "loader/credentials/a.cred", "loader/keys/auto/db.auth", "llmos-install.toml",
    ):  # fmt: skip
        (tmp_path / "esp" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "esp" / name).touch()
    taken = boot_files(tmp_path / "esp", running(machine.world))
    assert {name: str(path.relative_to(tmp_path / "esp")) for name, path in taken.items()} == {
        "EFI/BOOT": "EFI/BOOT",
        "EFI/Linux/llmos_0.2.0.efi": "EFI/Linux/llmos_0.2.0+2-1.efi",
        "loader/loader.conf": "loader/loader.conf",
        "loader/keys": "loader/keys",
    }
    (tmp_path / "esp/EFI/Linux/llmos_0.2.0+2-1.efi").unlink()
    with pytest.raises(NotHere, match=r"no kernel named llmos_0\.2\.0\.efi"):
        boot_files(tmp_path / "esp", running(machine.world))


def test_a_tpm_counts_when_it_is_of_version_2(machine: FakeMachine) -> None:
    assert not has_tpm(machine.world)
    machine.write("sys/class/tpm/tpm0/tpm_version_major", "2\n")
    assert has_tpm(machine.world)


@pytest.mark.parametrize("sector", gpt.SECTORS)
def test_a_partition_table_is_read_until_a_bit_of_it_flips(tmp_path: Path, sector: int) -> None:
    identity = uuid.uuid4()
    table = partition_table([(gpt.ESP, identity, "esp")], sector)
    path = tmp_path / "disk"
    path.write_bytes(table.ljust(4 * gpt.MIB, b"\0"))
    with path.open("r+b") as disk:
        (entry,) = gpt.read_table(disk.fileno())
        assert (entry.uuid, entry.label, entry.offset) == (identity, "esp", 100 * sector)
        disk.seek(2 * sector + 20)
        disk.write(b"\xff")
        disk.flush()
        assert gpt.read_table(disk.fileno()) == ()


def test_an_invalidated_disk_has_no_table_at_either_end(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    table = partition_table([(gpt.ESP, uuid.uuid4(), "esp")])
    size = 8 * gpt.MIB
    path.write_bytes(table.ljust(size - 512, b"\1") + table[512:1024])
    with path.open("r+b") as disk:
        assert gpt.has_table(disk.fileno(), size)
        gpt.invalidate(disk.fileno(), size)
        assert not gpt.has_table(disk.fileno(), size)
        # What lies between is not our business.
        disk.seek(4 * gpt.MIB)
        assert disk.read(2) == b"\1\1"
