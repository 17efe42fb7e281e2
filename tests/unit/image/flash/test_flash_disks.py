"""Which disks there are, and which of them may be written, on machines of many shapes."""

import dataclasses

import pytest

from llmos_image.errors import UserError
from llmos_image.flash import choice
from llmos_image.flash.disks import Disk, Transport, all_in, find
from llmos_image.flash.refusal import Terms, reasons_against
from tests.unit.image.flash.fake_machine import GB, FakeMachine


def only(machine: FakeMachine) -> Disk:
    (disk,) = all_in(machine.roots)
    return disk


def why_not(machine: FakeMachine, name: str, terms: Terms | None = None) -> str:
    """What a person is told; nothing when the disk may be written."""
    terms = terms or Terms(size=GB, allow_fixed=True)
    return "\n".join(reasons_against(find(name, machine.roots), terms))


# What they are


def test_a_usb_stick_is_removable_and_says_who_made_it(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    disk = only(machine)
    assert disk.is_removable
    assert disk.transport is Transport.USB
    assert disk.serial == "4C530001"
    assert str(disk) == "sdb (SanDisk Ultra, 32.0 GB, usb)"


def test_a_usb_disk_is_removable_though_its_medium_is_not(machine: FakeMachine) -> None:
    machine.usb_disk("sdb", removable=False)
    assert only(machine).is_removable


def test_what_is_soldered_to_a_usb_port_is_not_removable(machine: FakeMachine) -> None:
    machine.usb_disk("sdb", removable=False, port="fixed")
    assert not only(machine).is_removable


def test_a_card_in_a_built_in_usb_reader_is_removable(machine: FakeMachine) -> None:
    machine.usb_disk("sdb", port="fixed")
    assert only(machine).is_removable


def test_an_sd_card_is_removable_and_an_emmc_chip_is_not(machine: FakeMachine) -> None:
    machine.card("mmcblk0", "SD")
    machine.card("mmcblk1", "MMC")
    card, chip = all_in(machine.roots)
    assert (card.is_removable, card.transport, card.model) == (True, Transport.SD, "SD32G")
    assert (chip.is_removable, chip.transport) == (False, Transport.MMC)


def test_a_built_in_disk_on_a_hot_plug_port_is_not_removable(machine: FakeMachine) -> None:
    """Libata says so of every port that the firmware calls hot-plug."""
    machine.sata_disk("sda", removable=True)
    assert not only(machine).is_removable
    assert "not removable (sata" in why_not(machine, "sda", Terms())


def test_nvme_is_removable_only_in_an_enclosure_outside(machine: FakeMachine) -> None:
    machine.nvme_disk("nvme0n1")
    machine.nvme_disk("nvme1n1", outside=True)
    assert [disk.is_removable for disk in all_in(machine.roots)] == [False, True]


def test_a_makers_name_cannot_write_to_the_terminal(machine: FakeMachine) -> None:
    folder = machine.usb_disk("sdb")
    (folder / "device/model").write_text("Evil\x1b[2J\nsda (yours, safe)")
    assert only(machine).model == "SanDisk Evil [2J sda (yours, safe)"


def test_only_whole_disks_with_a_medium_are_listed(machine: FakeMachine) -> None:
    stick = machine.usb_disk("sdb")
    machine.partition(stick, 1)
    # A reader for many cards has a unit for each slot, most of them empty.
    for name in ("sdc", "sdd", "sde"):
        machine.usb_disk(name, size=0)
    machine.card("mmcblk0", "MMC")
    for part in ("mmcblk0boot0", "mmcblk0boot1", "mmcblk0rpmb"):
        machine.card(part, "MMC")
    optical = machine.usb_disk("sr0")
    (optical / "device/type").write_text("5")
    for name in ("dm-0", "md127", "zram0", "ram0"):
        machine.virtual(name)
    machine.virtual("loop0", {"loop/backing_file": "/tmp/x.img"})
    hidden = machine.nvme_disk("nvme0c0n1")
    (hidden / "hidden").write_text("1")
    assert [disk.name for disk in all_in(machine.roots)] == ["loop0", "mmcblk0", "sdb"]


def test_disks_are_listed_in_the_order_of_a_person(machine: FakeMachine) -> None:
    for name in ("nvme10n1", "nvme2n1"):
        machine.nvme_disk(name)
    assert [disk.name for disk in all_in(machine.roots)] == ["nvme2n1", "nvme10n1"]


# What a person may name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sdb1", "is a partition of sdb"),
        ("sdc", "no medium in it"),
        ("mmcblk0boot0", "eMMC chip"),
        ("sr0", "is not a disk"),
        ("dm-0", "not a disk of its own"),
        ("sdz", "No such file"),
        ("plain", "is not a block device"),
    ],
)
def test_what_is_no_disk_is_refused_by_name(machine: FakeMachine, name: str, why: str) -> None:
    machine.partition(machine.usb_disk("sdb"), 1)
    machine.usb_disk("sdc", size=0)
    machine.card("mmcblk0boot0", "MMC")
    machine.usb_disk("sr0")
    machine.virtual("dm-0")
    machine.node("plain").write_text("text")
    with pytest.raises(UserError, match=why) as caught:
        find(name, machine.roots)
    assert caught.value.exit_code == 2


def test_a_disk_is_found_by_any_path_to_its_node(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    link = machine.node("by-id")
    link.symlink_to("sdb")
    assert find(str(link), machine.roots) == find("sdb", machine.roots)


def test_another_medium_in_the_same_reader_is_another_disk(machine: FakeMachine) -> None:
    folder = machine.usb_disk("sdb")
    before = only(machine)
    assert only(machine) == before
    (folder / "diskseq").write_text("77")
    assert only(machine) != before


# What may not be written


def test_a_disk_that_nothing_uses_may_be_written(machine: FakeMachine) -> None:
    machine.partition(machine.usb_disk("sdb"), 1)
    assert not why_not(machine, "sdb", Terms(size=GB))


def test_a_mounted_partition_protects_its_disk(machine: FakeMachine) -> None:
    machine.mount("/media/My Stick", of=machine.partition(machine.usb_disk("sdb"), 2))
    assert why_not(machine, "sdb") == "is in use: sdb2 → mounted on /media/My Stick"


def test_a_disk_mounted_as_a_whole_is_protected(machine: FakeMachine) -> None:
    machine.mount("/media/stick", of=machine.usb_disk("sdb"))
    assert "sdb → mounted on /media/stick" in why_not(machine, "sdb")


def test_the_system_disk_behind_luks_and_lvm_is_named_with_the_way_to_it(
    machine: FakeMachine,
) -> None:
    partition = machine.partition(machine.sata_disk("sda"), 3)
    luks = machine.virtual("dm-0", {"dm/name": "sda3_crypt"})
    root = machine.virtual("dm-1", {"dm/name": "vg-root"})
    swap = machine.virtual("dm-2", {"dm/name": "vg-swap"})
    machine.hold(partition, luks)
    machine.hold(luks, root)
    machine.hold(luks, swap)
    machine.mount("/", of=root)
    machine.node("mapper/vg-swap").symlink_to("../dm-2")
    machine.swap("/dev/mapper/vg-swap")
    assert why_not(machine, "sda") == (
        "holds the running system: "
        "sda3 → dm-0 (sda3_crypt) → dm-1 (vg-root) → mounted on /; "
        "sda3 → dm-0 (sda3_crypt) → dm-2 (vg-swap) → swap"
    )


def test_every_member_of_a_raid_is_protected(machine: FakeMachine) -> None:
    raid = machine.virtual("md0", {"md/level": "raid1"})
    part = machine.partition(raid, 1)
    for name in ("sda", "sdb"):
        machine.hold(machine.partition(machine.sata_disk(name), 1), raid)
    machine.mount("/usr", of=part)
    for name in ("sda", "sdb"):
        assert f"{name}1 → md0p1 → mounted on /usr" in why_not(machine, name)


def test_an_opened_luks_stick_is_in_use_though_nothing_is_mounted(machine: FakeMachine) -> None:
    machine.hold(machine.usb_disk("sdb"), machine.virtual("dm-0", {"dm/name": "secrets"}))
    assert why_not(machine, "sdb") == "is in use: sdb → dm-0 (secrets) → in use"


def test_both_disks_of_a_btrfs_are_protected(machine: FakeMachine) -> None:
    """Mountinfo names one of them, under a number that no device has."""
    for name in ("sdb", "sdc"):
        machine.usb_disk(name)
    machine.mount("/srv", source="/dev/sdb")
    devices = machine.base / "sys/fs/btrfs/f00/devices"
    devices.mkdir(parents=True)
    for name in ("sdb", "sdc"):
        (devices / name).symlink_to(machine.base / "sys/block" / name)
    assert "mounted on /srv" in why_not(machine, "sdb")
    assert "part of a mounted btrfs" in why_not(machine, "sdc")


def test_a_swap_partition_makes_a_system_disk(machine: FakeMachine) -> None:
    machine.partition(machine.nvme_disk("nvme0n1"), 2)
    machine.swap("/dev/nvme0n1p2")
    assert "holds the running system: nvme0n1p2 → swap" in why_not(machine, "nvme0n1")


def test_a_disk_under_a_loop_is_protected(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    machine.virtual("loop0", {"loop/backing_file": "/dev/sdb"})
    assert why_not(machine, "sdb") == "is in use: sdb → in use by loop0"


def test_what_only_the_first_process_sees_mounted_is_protected(machine: FakeMachine) -> None:
    disk = machine.usb_disk("sdb")
    machine.mount("/media/x", of=disk)
    proc = machine.base / "proc"
    (proc / "1").mkdir()
    (proc / "self/mountinfo").rename(proc / "1/mountinfo")
    assert "mounted on /media/x" in why_not(machine, "sdb")


def test_all_reasons_are_given_at_once(machine: FakeMachine) -> None:
    folder = machine.sata_disk("sda")
    machine.mount("/", of=folder)
    (folder / "ro").write_text("1")
    why = why_not(machine, "sda", Terms(size=513 * GB))
    for part in ("running system", "read-only", "not removable", "too small", "512,000,000,000"):
        assert part in why


def test_a_built_in_disk_may_be_written_only_when_that_is_allowed(machine: FakeMachine) -> None:
    machine.nvme_disk("nvme0n1")
    assert "--allow-fixed" in why_not(machine, "nvme0n1", Terms())
    assert not why_not(machine, "nvme0n1", Terms(allow_fixed=True))


# Choosing and confirming


@dataclasses.dataclass
class Answers:
    """A person who says what was prepared, or nobody."""

    answers: list[str] | None = None
    questions: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_there(self) -> bool:
        return self.answers is not None

    def ask(self, question: str) -> str:
        self.questions.append(question)
        assert self.answers is not None
        return self.answers.pop(0)


def test_a_person_picks_from_the_disks_that_may_be_written(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    machine.mount("/media/x", of=machine.usb_disk("sdc"))
    machine.sata_disk("sda")
    disks = choice.candidates(machine.roots, Terms(GB))
    table = choice.table_of(disks, Terms(GB))
    assert "sda" not in table
    assert "no: it is in use: sdc → mounted on /media/x" in table
    person = Answers(["sdb"])
    assert choice.picked(disks, machine.roots, Terms(GB), person).name == "sdb"
    assert person.questions == ["Which disk? (sdb)"]


@pytest.mark.parametrize("answer", ["sdc", "sda", "", "no"])
def test_a_disk_that_may_not_be_written_cannot_be_picked(machine: FakeMachine, answer: str) -> None:
    machine.usb_disk("sdb")
    machine.mount("/media/x", of=machine.usb_disk("sdc"))
    machine.sata_disk("sda")
    disks = choice.candidates(machine.roots, Terms(GB))
    with pytest.raises(UserError):
        choice.picked(disks, machine.roots, Terms(GB), Answers([answer]))


def test_only_the_disks_own_name_confirms(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    person = Answers(["sdb"])
    choice.confirm(only(machine), yes=False, person=person)
    assert "Everything on sdb (SanDisk Ultra, 32.0 GB, usb) will be lost" in person.questions[0]
    for answer in ("y", "yes", "", "sda", "SDB"):
        with pytest.raises(UserError, match="nothing was written"):
            choice.confirm(only(machine), yes=False, person=Answers([answer]))


def test_yes_confirms_a_removable_disk_and_no_other(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    choice.confirm(only(machine), yes=True, person=Answers())
    machine.sata_disk("sda")
    with pytest.raises(UserError, match="no terminal to ask at") as caught:
        choice.confirm(find("sda", machine.roots), yes=True, person=Answers())
    assert "typing its name" in str(caught.value.hint)
    person = Answers(["sda"])
    choice.confirm(find("sda", machine.roots), yes=True, person=person)
    assert person.questions


def test_nobody_confirms_where_nobody_is(machine: FakeMachine) -> None:
    machine.usb_disk("sdb")
    with pytest.raises(UserError, match="no terminal") as caught:
        choice.confirm(only(machine), yes=False, person=Answers())
    assert "--yes" in str(caught.value.hint)
