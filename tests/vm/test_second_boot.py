"""A machine unlike the first: one CPU, a larger disk, no network; and what a reboot keeps."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine

from .conftest import booted

pytestmark = pytest.mark.vm

PROMPT = re.compile(r"llmos ~ >")


@pytest.fixture(scope="class")
def vm(vm_image: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """The image on a disk of 8 GiB."""
    hardware = Hardware(memory="1G", cpus=1, network=Network.NONE)
    machine = Machine(vm_image, toolbox=toolbox, results=results, hardware=hardware, disk_size="8G")
    with booted(machine, PROMPT) as running:
        yield running


class TestSecondBoot:
    """One machine, booted twice."""

    def test_without_a_network_it_comes_up_just_the_same(self, vm: Machine) -> None:
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        failed = vm.guest.succeed("systemctl list-units --failed --no-legend --plain")
        assert (state.output.strip(), failed) == ("running", "")

    def test_nothing_waited_for_a_network(self, vm: Machine) -> None:
        # It stays active once it has run.
        vm.guest.fail("systemctl is-active systemd-networkd-wait-online.service")

    def test_first_boot_has_made_a_free_slot_and_given_data_the_rest(self, vm: Machine) -> None:
        listed = vm.guest.succeed("lsblk -nro PARTLABEL /dev/vda | grep .").split()
        version = listed[1].removesuffix("_verity")
        assert listed == ["esp", f"{version}_verity", version, "_empty", "_empty", "llmos-data"]
        size = int(vm.guest.succeed("df --output=size -B1M /var | tail -n 1"))
        assert size > 2500

    def test_a_reboot_comes_up_again(self, vm: Machine) -> None:
        vm.guest.succeed("runuser -u llmos -- touch /home/llmos/kept")
        vm.guest.succeed("echo a setting > /etc/kept; sync")
        machine = vm.guest.succeed("cat /etc/machine-id")
        vm.guest.reboot()
        vm.serial.wait_for_text(PROMPT, seconds=600)
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        assert state.output.strip() == "running"
        assert vm.guest.succeed("cat /etc/machine-id") == machine

    def test_files_settings_and_the_journal_outlive_the_reboot(self, vm: Machine) -> None:
        vm.guest.succeed("test -e /home/llmos/kept")
        assert vm.guest.succeed("cat /etc/kept") == "a setting\n"
        boots = vm.guest.succeed("journalctl --list-boots --no-pager -o json")
        assert boots.count("boot_id") == 2

    def test_the_first_shutdown_was_clean(self, vm: Machine) -> None:
        vm.guest.fail("journalctl -b -1 --no-pager -q | grep -E 'Failed (to )?unmount'")
        vm.guest.fail("journalctl -b 0 -k --no-pager -q | grep -E 'EXT4-fs .*(recover|error)'")
        failed = "journalctl -b -1 --no-pager -q -p err -u 'llmos-*' -u '*getty@*'"
        assert vm.guest.succeed(failed) == ""

    def test_it_powers_off_by_the_power_button(self, vm: Machine) -> None:
        vm.qmp.execute("system_powerdown")
        vm.wait_for_shutdown(seconds=180)
