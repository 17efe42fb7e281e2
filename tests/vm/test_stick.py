"""The image for real machines on a USB stick, and a person who installs it from there to a disk.

Three boots: the stick, the stick's installer, the disk alone.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.disk import make_empty
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from llmos_image.vm.serial import Key

from .conftest import booted

pytestmark = [pytest.mark.vm, pytest.mark.long]

PROMPT = re.compile(r"llmos ~ >")
STICK = Hardware(network=Network.NONE, usb_stick=True)


@pytest.fixture(scope="module")
def disk(toolbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine's own disk, empty."""
    return make_empty(tmp_path_factory.mktemp("disk") / "disk.qcow2", "16G", toolbox)


@pytest.fixture(scope="class")
def vm(default_image: Path, disk: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """A machine with the stick in it."""
    machine = Machine(
        default_image,
        toolbox=toolbox,
        results=results / "stick",
        hardware=STICK,
        disk_size="8G",
        further_disks=[disk],
    )
    with booted(machine, PROMPT) as running:
        yield running


class TestTheStick:
    """Two boots from it."""

    def test_the_system_runs_from_the_stick_and_keeps_its_data_there(self, vm: Machine) -> None:
        assert vm.guest.succeed("lsblk -dnro NAME,TRAN /dev/sda").split() == ["sda", "usb"]
        # Too small for a second slot: what a person keeps comes first.
        assert vm.guest.succeed("lsblk -nro NAME /dev/sda | grep -c sda.").strip() == "4"
        data = vm.guest.succeed("df --output=source /var /home | grep -v File").split()
        assert data == ["/dev/sda4", "/dev/sda4"]
        probed = "blkid --probe --match-tag PART_ENTRY_NAME --output value /dev/sda4"
        assert vm.guest.succeed(probed).strip() == "llmos-data"
        assert "too small for a second version" in vm.guest.succeed("llmosctl update status")
        assert vm.guest.succeed("lsblk -nro NAME /dev/vda").split() == ["vda"]

    def test_it_comes_up_with_no_failed_unit(self, vm: Machine) -> None:
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=600)
        failed = vm.guest.succeed("systemctl list-units --failed --no-legend --plain")
        assert (state.output.strip(), failed) == ("running", "")

    def test_a_person_installs_it_to_the_disk(self, vm: Machine) -> None:
        version = vm.guest.succeed("ls /boot/EFI/Linux").strip()
        vm.guest.succeed(f"bootctl set-oneshot {version}@install")
        mark = vm.serial.position
        vm.guest.begin_reboot()
        serial = vm.serial
        serial.wait_for_log("Install to which disk", since=mark, seconds=600)
        serial.wait_for_text("this system was started", seconds=60)
        vm.screenshot("installer")
        serial.press(Key.ENTER)
        serial.wait_for_text("Encrypt your data?", seconds=120)
        serial.press(Key.DOWN)
        serial.press(Key.UP)
        serial.press(Key.ENTER)
        serial.wait_for_text("Name of the first user", seconds=120)
        serial.press(Key.ENTER)
        serial.wait_for_text("Type vda to erase it", seconds=120)
        serial.type_line("sda")
        serial.wait_for_text("That is not vda: nothing is erased", seconds=120)
        for _ in "sda":
            serial.press(Key.BACKSPACE)
        serial.type_line("vda")
        serial.wait_for_text("Remove the stick", seconds=1500)


class TestTheDisk:
    """One boot from the disk, the stick removed."""

    def test_it_starts_to_the_prompt_of_the_same_system(
        self, disk: Path, toolbox: Sandbox, results: Path
    ) -> None:
        hardware = Hardware(network=Network.NONE)
        machine = Machine(disk, toolbox=toolbox, results=results / "disk", hardware=hardware)
        with booted(machine, PROMPT) as vm:
            listed = vm.guest.succeed("lsblk -nro PARTLABEL /dev/vda | grep .").split()
            assert (listed[0], listed[-1]) == ("esp", "llmos-data")
            state = vm.guest.execute("systemctl is-system-running --wait", seconds=600)
            assert state.output.strip() == "running"
