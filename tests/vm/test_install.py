"""From the stick to a second disk, with nobody there; then from that disk alone.

Three boots: the installation, the machine with its TPM, and the disk in a machine without one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.credentials import Credential
from llmos_image.vm.disk import make_empty
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from llmos_installer.keys import hash_password, new_recovery_key

pytestmark = [pytest.mark.vm, pytest.mark.long]

PROMPT = re.compile(r"llmos ~ >")
KEY = new_recovery_key()
PASSWORD = "battery staple"  # noqa: S105
WITH_TPM = Hardware(network=Network.NONE, tpm=True)
WITHOUT_TPM = Hardware(network=Network.NONE)


def answers(serial: str) -> Credential:
    """What the installer is told."""
    text = f"""
    erase = "{serial}"
    after = "poweroff"
    target = {{match = "serial", value = "{serial}"}}
    encryption = {{kind = "tpm2", key = "{KEY}"}}
    system = {{hostname = "engine", timezone = "Europe/Berlin"}}
    user = {{name = "ada", full_name = "Ada", password_hash = "{hash_password(PASSWORD)}"}}
    """
    return Credential("llmos.install", text.encode())


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the machine's TPM remembers."""
    return tmp_path_factory.mktemp("tpm")


@pytest.fixture(scope="module")
def disk(
    vm_image: Path,
    toolbox: Sandbox,
    results: Path,
    tpm: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A disk to which the image has been installed."""
    empty = make_empty(tmp_path_factory.mktemp("disk") / "disk.qcow2", "16G", toolbox)
    machine = Machine(
        vm_image,
        toolbox=toolbox,
        results=results / "install",
        hardware=WITH_TPM,
        credentials=[answers("disk-1")],
        further_disks=[empty],
        kernel_words=["llmos.mode=install"],
        tpm_state=tpm,
    )
    with machine as vm:
        vm.serial.wait_for_log("Everything on vdb", seconds=600)
        vm.serial.wait_for_log("Comparing what was written 100 %", seconds=900)
        vm.wait_for_shutdown(seconds=300)
    return empty


@pytest.fixture(scope="class")
def vm(disk: Path, toolbox: Sandbox, results: Path, tpm: Path) -> Iterator[Machine]:
    """The machine with that disk and nothing else."""
    machine = Machine(
        disk, toolbox=toolbox, results=results / "installed", hardware=WITH_TPM, tpm_state=tpm
    )
    with machine as running:
        # Nobody was asked for a key.
        running.serial.wait_for_text("engine login:", seconds=900)
        yield running


class TestTheInstalledMachine:
    """Booted once, from its own disk."""

    def test_a_person_logs_in_by_name_and_password(self, vm: Machine) -> None:
        vm.serial.type_line("ada")
        vm.serial.wait_for_text("Password:", seconds=120)
        vm.serial.type_line(PASSWORD)
        vm.serial.wait_for_text(PROMPT, seconds=300)

    def test_it_comes_up_with_no_failed_unit(self, vm: Machine) -> None:
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        failed = vm.guest.succeed("systemctl list-units --failed --no-legend --plain")
        assert (state.output.strip(), failed) == ("running", "")

    def test_the_root_is_verified_and_from_this_disk(self, vm: Machine) -> None:
        assert vm.guest.succeed("findmnt -no SOURCE /").strip() == "/dev/mapper/root"
        assert " verity " in vm.guest.succeed("dmsetup table root")
        listed = vm.guest.succeed("lsblk -nro PARTLABEL /dev/vda | grep .").split()
        version = listed[2]
        assert listed == ["esp", f"{version}_verity", version, "_empty", "_empty", "llmos-data"]

    def test_the_data_is_encrypted_and_in_use(self, vm: Machine) -> None:
        assert "crypt" in vm.guest.succeed("lsblk -nro TYPE /dev/vda")
        assert "llmos-data" in vm.guest.succeed("findmnt -no SOURCE /var")
        slots = vm.guest.succeed("systemd-cryptenroll /dev/vda6")
        assert re.findall(r"(?m)^ *\d+ (\w+)", slots) == ["password", "tpm2"]

    def test_it_is_what_was_asked_for(self, vm: Machine) -> None:
        assert vm.guest.succeed("hostname").strip() == "engine"
        assert "Europe/Berlin" in vm.guest.succeed("readlink /etc/localtime")
        assert "sudo" in vm.guest.succeed("id -nG ada").split()

    def test_it_powers_off(self, vm: Machine) -> None:
        vm.qmp.execute("system_powerdown")
        vm.wait_for_shutdown(seconds=180)


def test_without_its_tpm_the_data_opens_by_the_recovery_key(
    disk: Path, toolbox: Sandbox, results: Path
) -> None:
    machine = Machine(disk, toolbox=toolbox, results=results / "moved", hardware=WITHOUT_TPM)
    with machine as vm:
        vm.serial.wait_for_text("The TPM of this machine did not open its data", seconds=900)
        vm.serial.type_line("not the key")
        vm.serial.wait_for_text("That does not open it, 2 more", seconds=120)
        # As a person types it: the dashes do not count.
        vm.serial.type_line(KEY.replace("-", ""))
        vm.serial.wait_for_text("engine login:", seconds=600)
