"""The same image as a CD: verified as on a disk, and nothing is kept.

Asked by a person at the serial terminal: an emulated CD is slow, and this is what matters.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image import iso
from llmos_image.run import output
from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from llmos_image.vm.serial import Key

from .conftest import booted

pytestmark = [pytest.mark.vm, pytest.mark.long]

PROMPT = re.compile(r"llmos ~ >")


@pytest.fixture(scope="class")
def vm(
    vm_image: Path, toolbox: Sandbox, results: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The image's disk, written as an ISO and put into a CD drive."""
    cd = tmp_path_factory.mktemp("cd") / f"{vm_image.stem}.iso"
    output(["cp", "--sparse=always", "--reflink=auto", vm_image, cd])
    iso.make_bootable(cd, vm_image.stem)
    machine = Machine(
        cd,
        toolbox=toolbox,
        results=results,
        hardware=Hardware(network=Network.NONE),
        with_guest_shell=False,
    )
    with booted(machine, PROMPT) as running:
        yield running
    cd.unlink()


def ask(vm: Machine, command: str) -> str:
    """What the terminal shows after a person has run ``command``."""
    vm.serial.press(Key.CTRL_L)
    vm.serial.wait_for_no_text("exit 0", seconds=120)
    vm.serial.type_line(f"!{command}")
    vm.serial.wait_for_text(re.compile(r"exit 0\b"), seconds=300)
    return "\n".join(vm.serial.rows)


class TestCd:
    """One machine, from power on."""

    def test_the_person_is_told_that_nothing_is_kept(self, vm: Machine) -> None:
        vm.serial.wait_for_text("cannot be written to: nothing you do", seconds=60)
        vm.serial.wait_for_text("model: ready", seconds=900)
        assert "/var tmpfs" in ask(vm, "findmnt -nro TARGET,FSTYPE /var")

    def test_the_root_on_the_cd_is_verified(self, vm: Machine) -> None:
        shown = ask(vm, "findmnt -nro SOURCE,FSTYPE /; cat /sys/block/dm-0/dm/uuid")
        assert "/dev/mapper/root erofs" in shown
        assert "CRYPT-VERITY-" in shown
        # As the kernel knows it: below the root of the devices.
        assert "/sr0" in ask(vm, "cat /sys/block/loop0/loop/backing_file")

    def test_no_unit_has_failed(self, vm: Machine) -> None:
        assert "0 loaded units listed" in ask(vm, "systemctl --failed --no-pager")
