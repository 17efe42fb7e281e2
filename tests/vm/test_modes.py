"""The other entries of the boot menu: live, recovery and factory reset, on one machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine

from .conftest import booted

pytestmark = [pytest.mark.vm, pytest.mark.long]

PROMPT = re.compile(r"llmos ~ >")


@pytest.fixture(scope="class")
def vm(vm_image: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """The image after its first boot."""
    hardware = Hardware(network=Network.NONE)
    machine = Machine(vm_image, toolbox=toolbox, results=results, hardware=hardware)
    with booted(machine, PROMPT) as running:
        yield running


def start(vm: Machine, profile: str) -> None:
    """Start the machine again, by another entry of its menu."""
    version = vm.guest.succeed("ls /boot/EFI/Linux").strip()
    vm.guest.succeed(f"bootctl set-oneshot {version}@{profile}")
    vm.guest.begin_reboot()


def sectors_written(vm: Machine) -> int:
    """Sectors that the kernel has written since it started (its Documentation/block/stat)."""
    return int(vm.guest.succeed("cat /sys/block/vda/stat").split()[6])


class TestModes:
    """One machine, four boots."""

    def test_a_person_leaves_something_behind(self, vm: Machine) -> None:
        vm.guest.succeed("runuser -u llmos -- touch /home/llmos/kept; echo kept > /etc/kept; sync")
        vm.console_font()

    def test_live_comes_up_without_what_is_on_the_disk(self, vm: Machine) -> None:
        start(vm, "live")
        vm.serial.wait_for_text(PROMPT, seconds=600)
        vm.guest.succeed("grep -q llmos.mode=live /proc/cmdline")
        for place in ("/var", "/home"):
            assert vm.guest.succeed(f"findmnt -no FSTYPE {place}").strip() == "tmpfs"
        vm.guest.fail("test -e /home/llmos/kept -o -e /etc/kept")
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        assert state.output.strip() == "running"

    def test_live_writes_nothing_to_the_disk(self, vm: Machine) -> None:
        vm.guest.succeed("runuser -u llmos -- touch /home/llmos/gone; sync")
        assert sectors_written(vm) == 0

    def test_recovery_is_a_root_shell_without_the_data(self, vm: Machine) -> None:
        start(vm, "recovery")
        vm.guest.wait_until_succeeds("systemctl is-active rescue.service", seconds=300)
        assert vm.guest.succeed("findmnt -no FSTYPE /var").strip() == "tmpfs"
        assert sectors_written(vm) == 0
        vm.press_on_screen("ret")
        vm.wait_for_screen_text(re.compile(r"root@llmos:.*#"), seconds=120)

    def test_what_was_left_behind_is_still_there(self, vm: Machine) -> None:
        vm.guest.reboot()
        vm.serial.wait_for_text(PROMPT, seconds=600)
        vm.guest.succeed("test -e /home/llmos/kept -a -e /etc/kept")

    def test_a_factory_reset_asks_first_and_then_leaves_nothing(self, vm: Machine) -> None:
        machine = vm.guest.succeed("cat /etc/machine-id")
        start(vm, "factory-reset")
        vm.wait_for_screen_text("Type erase", seconds=300)
        vm.type_on_screen("erase\n")
        vm.serial.wait_for_text(PROMPT, seconds=600)
        vm.guest.fail("test -e /home/llmos/kept -o -e /etc/kept")
        assert vm.guest.succeed("cat /etc/machine-id") != machine
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        assert state.output.strip() == "running"
