"""One flipped bit in each verified partition: the other slot starts, and the person is told.

The tests of the class run in order. The bits are flipped by the system in the other slot, on the
disk behind the file system's back, as a failing disk or somebody with a screwdriver would do it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from tests.versions import GOOD, NEWER, disk_of, publish, running_version, web_server

pytestmark = [pytest.mark.vm, pytest.mark.long]

# The super block of the root (erofs); the top of the hash tree, behind its own super block.
PLACES = {"root": 1024, "verity": 4096}
FLIP = """
set -eu
part=/dev/disk/by-partlabel/llmos-vm_{version}{suffix}
byte=$(dd if=$part bs=1 skip={place} count=1 status=none | od -An -tu1)
printf "\\\\x$(printf %x $((byte ^ 1)))" |
    dd of=$part bs=1 seek={place} conv=notrunc,fsync status=none
"""


@pytest.fixture(scope="class")
def vm(toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """A machine with two versions, the first of which runs."""
    machine = Machine(
        disk_of(GOOD),
        toolbox=toolbox,
        results=results,
        hardware=Hardware(network=Network.USER),
        seconds=3 * 3600,
    )
    with web_server() as url, machine as running:
        publish(NEWER)
        running.guest.succeed(f"llmosctl update apply --source {url}", seconds=900)
        yield running


def flip(vm: Machine, version: str, part: str) -> None:
    """Flip a bit of a partition, or flip it back."""
    suffix = "" if part == "root" else "_verity"
    vm.guest.succeed(FLIP.format(version=version, suffix=suffix, place=PLACES[part]))


def start(vm: Machine, version: str) -> None:
    """Have the boot loader start ``version`` next."""
    files = vm.guest.succeed("ls $(bootctl -x)/EFI/Linux").split()
    (file,) = (name for name in files if name.startswith(f"llmos-vm_{version}"))
    vm.guest.succeed(f"bootctl set-default {file.partition('+')[0].removesuffix('.efi')}.efi")
    vm.guest.reboot()


class TestDamage:
    """One machine over many starts."""

    @pytest.mark.parametrize("part", PLACES)
    def test_an_update_that_was_damaged_never_runs(self, vm: Machine, part: str) -> None:
        flip(vm, NEWER, part)
        start(vm, NEWER)
        assert running_version(vm) == GOOD
        vm.serial.wait_for_text(f"{NEWER} did not work", seconds=300)
        failed = json.loads(vm.guest.succeed("llmosctl update status --json"))["failed"]
        assert failed["version"] == NEWER
        assert "is not what it should be" in failed["reason"]
        flip(vm, NEWER, part)

    def test_undamaged_it_runs(self, vm: Machine) -> None:
        start(vm, NEWER)
        assert running_version(vm) == NEWER
        vm.guest.wait_for_unit("systemd-bless-boot.service", seconds=600)

    @pytest.mark.parametrize("part", PLACES)
    def test_a_proven_version_that_was_damaged_is_left(self, vm: Machine, part: str) -> None:
        flip(vm, GOOD, part)
        start(vm, GOOD)
        assert running_version(vm) == NEWER
        vm.serial.wait_for_text(f"{GOOD} did not work", seconds=300)
        flip(vm, GOOD, part)
