"""The installer on real block devices, with systemd-repart of the target's Debian.

Loop devices are the stick's partitions and the disk. What needs device mapper or a kernel with
FAT is done as systemd-repart does it offline.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.vm_command import toolbox
from llmos_installer import gpt
from llmos_installer.disks import disks
from llmos_installer.errors import BadInput, InstallerError, Interrupted
from llmos_installer.install import Installer
from llmos_installer.keys import hash_password, new_recovery_key
from llmos_installer.plan import Choices, Encryption, InstallPlan, plan
from llmos_installer.progress import Progress, Stage
from llmos_installer.settings import Settings, User
from tests.integration.installer_stick import LAYOUT, MIB, Stick, attached, loop, stick

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="no loop devices here"),
]
ROOM = 260 * MIB
OLD = b"an old and valid disk"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stick]:
    """A stick, attached."""
    with stick(toolbox().sandbox, tmp_path_factory.mktemp("stick")) as made:
        yield made


@pytest.fixture
def target(source: Stick, tmp_path: Path) -> Iterator[Path]:
    """A disk that is partitioned already."""
    path = tmp_path / "disk.raw"
    path.touch()
    os.truncate(path, ROOM)
    with attached(source.world, path) as device:
        old = source.programs.work / "old"
        old.mkdir(exist_ok=True)
        (old / "1.conf").write_text("[Partition]\nType=linux-generic\nLabel=old\n")
        source.programs(
            ["systemd-repart", "--empty=force", "--offline=yes", "--dry-run=no",
             f"--definitions={old}", device]
        )  # fmt: skip
        assert has_table(device)
        yield device


def has_table(device: Path) -> bool:
    handle = os.open(device, os.O_RDONLY)
    try:
        return gpt.has_table(handle, os.lseek(handle, 0, os.SEEK_END))
    finally:
        os.close(handle)


def table(device: Path) -> dict[str, gpt.Entry]:
    handle = os.open(device, os.O_RDONLY)
    try:
        return {f"{entry.number} {entry.label}": entry for entry in gpt.read_table(handle)}
    finally:
        os.close(handle)


def planned(source: Stick, device: Path, **choices: object) -> InstallPlan:
    return plan(disks(source.world), LAYOUT, Choices(device.name, **choices))  # type: ignore[arg-type]


def installer(source: Stick) -> Installer:
    return Installer(source.world, source.programs, source.running, offline="yes")


def content(source: Stick, device: Path, entry: gpt.Entry, *command: str) -> str:
    """What a tool of the tools tree says of one partition, which is ``{}`` in its arguments."""
    with loop(device, offset=entry.offset, size=entry.size) as part:
        return source.programs([str(part) if word == "{}" else word for word in command])


@pytest.fixture(scope="module")
def disk(source: Stick, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk on which the stick has been installed, with everything set."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.touch()
    os.truncate(path, ROOM)
    with attached(source.world, path) as device:
        user = User("ada", hash_password("correct horse"), "Ada Lovelace")
        settings = Settings("engine", "C.UTF-8", "de", "Europe/Berlin", user)
        seen: list[Progress] = []
        agreed = planned(source, device, settings=settings)
        installer(source).install(agreed, seen.append)
        stages = list(dict.fromkeys(progress.stage for progress in seen))
        assert stages == list(Stage)
        compared = [p for p in seen if p.stage is Stage.COMPARE]
        assert compared[-1].percent == 100
        yield device


class TestAnInstallation:
    """What is on the disk afterwards."""

    def test_the_disk_has_the_partitions_of_an_installed_machine(self, disk: Path) -> None:
        assert list(table(disk)) == [
            "1 esp", "2 demo_1.0_verity", "3 demo_1.0", "4 _empty", "5 _empty", "6 llmos-data",
        ]  # fmt: skip
        types = [entry.type for entry in table(disk).values()]
        assert types == [
            gpt.ESP, gpt.ROOT_VERITY, gpt.ROOT, gpt.ROOT_VERITY, gpt.ROOT, gpt.DATA,
        ]  # fmt: skip

    def test_root_and_hashes_keep_their_identity(self, source: Stick, disk: Path) -> None:
        parts = table(disk)
        assert str(parts["3 demo_1.0"].uuid) == source.running.root.uuid
        assert str(parts["2 demo_1.0_verity"].uuid) == source.running.verity.uuid
        empty = {parts["4 _empty"].uuid, parts["5 _empty"].uuid}
        assert not empty & {parts["3 demo_1.0"].uuid, parts["2 demo_1.0_verity"].uuid}

    def test_the_slots_have_their_sizes_and_data_the_rest(self, disk: Path) -> None:
        sizes = [entry.size for entry in table(disk).values()]
        assert sizes[:5] == [
            LAYOUT.esp, LAYOUT.verity, LAYOUT.root, LAYOUT.verity, LAYOUT.root,
        ]  # fmt: skip
        assert ROOM - sum(sizes) < 4 * MIB

    def test_the_root_verifies_by_its_hash(self, source: Stick, disk: Path) -> None:
        parts = table(disk)
        root, hashes = parts["3 demo_1.0"], parts["2 demo_1.0_verity"]
        with (
            loop(disk, offset=root.offset, size=root.size) as data,
            loop(disk, offset=hashes.offset, size=hashes.size) as tree,
        ):
            source.programs(["veritysetup", "verify", data, tree, source.root_hash])

    def test_the_boot_partition_has_this_kernel_and_nothing_of_the_stick_itself(
        self, source: Stick, disk: Path
    ) -> None:
        said = content(source, disk, table(disk)["1 esp"], "mdir", "-b", "-/", "-i", "{}", "::")
        names = {line.removeprefix("::").strip() for line in said.splitlines()}
        assert {"/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"} <= names
        assert "/EFI/Linux/demo_1.0.efi" in names
        assert not [n for n in names if "0.9" in n or "random-seed" in n or "toml" in n]

    def test_the_new_system_knows_what_was_chosen(
        self, source: Stick, disk: Path, tmp_path: Path
    ) -> None:
        data = table(disk)["6 llmos-data"]
        with loop(disk, offset=data.offset, size=data.size) as part:
            subprocess.run(["mount", "-o", "ro", part, tmp_path], check=True)
            try:
                etc = tmp_path / "etc/upper"
                assert (etc / "hostname").read_text() == "engine\n"
                assert (etc / "vconsole.conf").read_text() == "KEYMAP=de\n"
                assert str((etc / "localtime").readlink()).endswith("/Europe/Berlin")
                assert "ada:x:1001:1001:Ada Lovelace:/home/ada:" in (etc / "passwd").read_text()
                assert "\nada:$" in (etc / "shadow").read_text()
                assert (etc / "shadow").stat().st_mode & 0o777 == 0o640
                assert "sudo:x:27:ada,llmos" in (etc / "group").read_text()
                assert not list(etc.glob("*-"))
                assert {path.name for path in tmp_path.iterdir()} >= {"var", "home", "etc"}
            finally:
                subprocess.run(["umount", tmp_path], check=True)

    def test_nothing_secret_is_left_behind(self, source: Stick, disk: Path) -> None:
        assert [path.name for path in (source.world.run / "llmos-install").iterdir()] == ["lock"]

    def test_it_is_known_as_installed(self, source: Stick, disk: Path) -> None:
        found = next(d for d in disks(source.world) if d.name == disk.name)
        assert installer(source).is_installed_on(found)


def test_an_encrypted_data_partition_opens_by_the_recovery_key(source: Stick, target: Path) -> None:
    key = new_recovery_key()
    agreed = planned(source, target, encryption=Encryption.PASSPHRASE, key=key)
    installer(source).install(agreed, lambda _: None)
    data = table(target)["6 llmos-data"]
    good, bad = source.programs.work / "good", source.programs.work / "bad"
    good.write_text(key)
    bad.write_text(new_recovery_key())
    test = ("cryptsetup", "open", "--test-passphrase", "--disable-locks")
    content(source, target, data, *test, f"--key-file={good}", "{}")
    with pytest.raises(InstallerError, match="ended with status"):
        content(source, target, data, *test, f"--key-file={bad}", "{}")


def test_a_disk_that_is_too_small_is_refused_and_untouched(source: Stick, tmp_path: Path) -> None:
    path = tmp_path / "small.raw"
    path.write_bytes(OLD)
    os.truncate(path, 64 * MIB)
    with attached(source.world, path) as device:
        with pytest.raises(BadInput, match="too small"):
            planned(source, device)
        assert path.read_bytes()[: len(OLD)] == OLD


def test_a_disk_in_use_is_refused_by_the_kernel_as_well(source: Stick, target: Path) -> None:
    """Planned while it was free; somebody claims it before the installer does."""
    agreed = planned(source, target)
    claim = os.open(target, os.O_RDONLY | os.O_EXCL)
    try:
        with pytest.raises(InstallerError, match="busy"):
            installer(source).install(agreed, lambda _: None)
        assert has_table(target)
    finally:
        os.close(claim)


def test_a_damaged_copy_is_found_and_does_not_start(source: Stick, target: Path) -> None:
    agreed = planned(source, target)

    def spoil(progress: Progress) -> None:
        if progress.stage is Stage.COMPARE and progress.done < MIB:
            entry = table(target)["3 demo_1.0"]
            with target.open("r+b") as disk:
                disk.seek(entry.offset + 3 * MIB)
                disk.write(b"\0" * 512)

    with pytest.raises(InstallerError, match="gives back something else"):
        installer(source).install(agreed, spoil)
    assert not has_table(target)


def test_stopping_it_leaves_a_disk_that_does_not_start(source: Stick, target: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage is Stage.COPY:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="no partition table"):
        installer(source).install(planned(source, target), stop)
    assert not has_table(target)


KILLED = """
import os, pickle, signal, sys
from llmos_installer.install import Installer
from llmos_installer.progress import Stage
world, programs, running, plan = pickle.load(sys.stdin.buffer)
def report(progress):
    if progress.stage is Stage.COPY:
        os.kill(os.getpid(), signal.SIGKILL)
Installer(world, programs, running, offline="yes").install(plan, report)
"""


def test_killing_it_in_the_middle_leaves_a_disk_that_does_not_start(
    source: Stick, target: Path
) -> None:
    agreed = planned(source, target)
    handed = pickle.dumps((source.world, source.programs, source.running, agreed))
    done = subprocess.run([sys.executable, "-c", KILLED], input=handed, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not has_table(target)
