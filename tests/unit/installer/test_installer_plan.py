"""What may be erased, and what must not: for any machine and any choice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_installer.disks import Disk, Partition
from llmos_installer.errors import BadInput
from llmos_installer.layout import Filling, Layout, Slot, definitions
from llmos_installer.plan import Choices, Encryption, plan, reasons_against
from llmos_installer.settings import Settings, User
from tests.unit.installer.fake_machine import GB, SMALL

NAMES = st.sampled_from(["sda", "sdb", "vda", "nvme0n1", "mmcblk0"])
DISKS = st.lists(
    st.builds(
        Disk,
        name=NAMES,
        path=st.just(Path("/dev/null")),
        size=st.one_of(st.integers(0, 2 * SMALL.least), st.just(SMALL.least)),
        booted_from=st.booleans(),
        read_only=st.booleans(),
        removable=st.booleans(),
        uses=st.sampled_from([(), ("sda1 is swap",), ("sdb2 is mounted at /", "sdb is swap")]),
    ),
    unique_by=lambda disk: disk.name,
)  # fmt: skip


@given(DISKS, NAMES)
def test_no_plan_ever_erases_what_must_not_be(disks: list[Disk], name: str) -> None:
    try:
        agreed = plan(disks, SMALL, Choices(name))
    except BadInput:
        chosen = [disk for disk in disks if disk.name == name]
        assert not chosen or reasons_against(chosen[0], SMALL)
    else:
        disk = agreed.disk
        assert disk.name == name
        assert disk in disks
        assert not disk.booted_from
        assert not disk.uses
        assert not disk.read_only
        assert disk.size >= SMALL.least


def a_disk(**facts: object) -> Disk:
    return Disk("sda", Path("/dev/sda"), 64 * GB, **facts)  # type: ignore[arg-type]


def test_every_reason_is_said_at_once() -> None:
    disk = Disk(
        "sda", Path("/dev/sda"), GB, booted_from=True, read_only=True, uses=("sda1 is swap",)
    )
    with pytest.raises(BadInput) as caught:
        plan([disk], SMALL, Choices("sda"))
    assert caught.value.what == (
        "sda: this system was started from it; sda1 is swap; it is read-only; "
        "too small: at least 6.5 GB are needed"
    )


def test_a_disk_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="sdz: no such disk") as caught:
        plan([a_disk()], SMALL, Choices("sdz"))
    assert caught.value.hint == "Disks of this machine: sda."


def test_a_plan_says_what_is_lost_and_what_is_made() -> None:
    disk = a_disk(model="WDC", partitions=(Partition("sda1", 60 * GB, "Windows", "ntfs"),))
    settings = Settings(user=User("ada", "$y$secret"))
    agreed = plan([disk], SMALL, Choices("sda", Encryption.TPM2, "key", settings))
    assert agreed.erased() == (
        "Everything on sda: 64 GB, WDC will be ERASED:",
        '  sda1, 60 GB, ntfs "Windows"',
    )
    assert "TPM" in agreed.made()[1]
    assert "ada" in agreed.made()[2]
    assert "secret" not in repr(agreed)
    assert "'key'" not in repr(agreed)


@pytest.mark.parametrize(
    ("encryption", "key"), [(Encryption.NONE, "a key"), (Encryption.PASSPHRASE, "")]
)
def test_a_key_goes_with_encryption_and_only_with_it(encryption: Encryption, key: str) -> None:
    with pytest.raises(BadInput, match="encryption"):
        plan([a_disk()], SMALL, Choices("sda", encryption, key))


def test_the_least_size_has_room_for_two_of_each_slot() -> None:
    layout = Layout(esp=1, root=10, verity=100, data=1000)
    assert layout.least - 4 * 1024**2 == 1 + 2 * 110 + 1000


def test_the_definitions_keep_the_identity_of_what_is_copied() -> None:
    filling = Filling(
        Slot(Path("/dev/dm-0"), "uuid-a", "llmos_1"),
        Slot(Path("/dev/sdb2"), "uuid-b", "llmos_1_verity"),
        Path("/run/boot"),
        Path("/run/data"),
        Encryption.TPM2.repart,
    )
    texts = definitions(SMALL, filling)
    assert list(texts) == sorted(texts)
    assert "CopyBlocks=/dev/dm-0" in texts["20-root-a.conf"]
    assert "UUID=uuid-a" in texts["20-root-a.conf"]
    assert "Label=_empty" in texts["40-root-b.conf"]
    assert "UUID=" not in texts["40-root-b.conf"]
    assert "Encrypt=key-file+tpm2" in texts["50-data.conf"]
