"""Three versions of the image on one machine: an update, going back, and one that is no good.

The machine is installed with 0.1.0 and takes the others from a web server on this host. The
tests of the class run in order; each boot takes a minute or more when the processor is emulated.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from tests.versions import BROKEN, GOOD, NEWER, OWNER, disk_of, publish, running_version, web_server

pytestmark = [pytest.mark.vm, pytest.mark.long]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web server with what is published; its URL as the guest sees it."""
    with web_server() as url:
        publish(NEWER)
        yield url


@pytest.fixture(scope="class")
def vm(site: str, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """A machine with the first version, on a network that leads to this host."""
    del site
    hardware = Hardware(network=Network.USER)
    machine = Machine(
        disk_of(GOOD), toolbox=toolbox, results=results, hardware=hardware, seconds=3 * 3600
    )
    with machine as running:
        yield running


def status(vm: Machine) -> dict[str, Any]:
    """How it stands, by slot's version."""
    found: dict[str, Any] = json.loads(vm.guest.succeed("llmosctl update status --json"))
    return found


def standings(vm: Machine) -> dict[str, str]:
    return {one["version"]: one["standing"] for one in status(vm)["installed"]}


class TestUpdates:
    """One machine over seven starts."""

    def test_a_new_machine_has_one_version_and_a_free_slot(self, vm: Machine) -> None:
        assert running_version(vm) == GOOD
        assert standings(vm) == {GOOD: "proven"}
        assert status(vm)["free_slots"] == 1
        vm.guest.wait_for_unit("multi-user.target", seconds=300)
        vm.guest.succeed("echo kept > /home/llmos/kept && echo kept > /etc/kept")

    def test_anybody_may_look_for_updates(self, vm: Machine, site: str) -> None:
        command = f"runuser -u llmos -- llmosctl update check --source {site} --json"
        found = json.loads(vm.guest.succeed(command))
        (system,) = (one for one in found["components"] if one["name"] == "system")
        assert system["candidate"] == NEWER
        assert system["signed_by"] == OWNER

    def test_an_update_goes_into_the_free_slot(self, vm: Machine, site: str) -> None:
        said = vm.guest.succeed(f"llmosctl update apply --source {site}", seconds=900)
        assert f"At the next start {NEWER} runs." in said
        assert standings(vm) == {GOOD: "proven", NEWER: "on trial"}
        assert status(vm)["next"] == NEWER

    def test_it_starts_and_is_proven_when_the_engine_has_answered(self, vm: Machine) -> None:
        vm.guest.reboot()
        assert running_version(vm) == NEWER
        vm.guest.fail("grep llmos.mode /proc/cmdline")
        vm.guest.wait_for_unit("llmos-boot-check.service", seconds=600)
        vm.guest.wait_for_unit("systemd-bless-boot.service", seconds=60)
        said = vm.guest.succeed("journalctl -b -u llmos-boot-check.service -o cat --no-pager")
        assert "has answered" in said
        assert standings(vm) == {GOOD: "proven", NEWER: "proven"}
        # For those who see it by themselves.
        assert "+" not in vm.guest.succeed("ls $(bootctl -x)/EFI/Linux")

    def test_files_and_settings_survive_an_update(self, vm: Machine) -> None:
        assert vm.guest.succeed("cat /home/llmos/kept /etc/kept") == "kept\nkept\n"

    def test_it_comes_up_with_no_failed_unit(self, vm: Machine) -> None:
        vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        assert vm.guest.succeed("systemctl list-units --failed --no-legend --plain") == ""

    def test_going_back_starts_the_version_before(self, vm: Machine) -> None:
        assert f"At the next start {GOOD} runs" in vm.guest.succeed("llmosctl update rollback")
        assert status(vm)["next"] == GOOD
        vm.guest.reboot()
        assert running_version(vm) == GOOD
        assert standings(vm) == {GOOD: "proven", NEWER: "proven"}

    def test_an_update_that_is_no_good_comes_back_by_itself(self, vm: Machine, site: str) -> None:
        publish(BROKEN)
        vm.guest.succeed(f"llmosctl update apply --source {site}", seconds=900)
        vm.guest.begin_reboot()
        for tries in range(3):
            assert running_version(vm) == BROKEN, f"try {tries + 1}"
            (one,) = (one for one in status(vm)["installed"] if one["runs"])
            assert (one["tries_left"], one["tries_done"]) == (2 - tries, tries + 1)
            # It starts again by itself.
            vm.guest.forget()
            vm.guest.wait_until_ready()
        assert running_version(vm) == GOOD

    def test_the_session_says_what_happened(self, vm: Machine) -> None:
        vm.serial.wait_for_text(f"Version {BROKEN} did not work", seconds=300)

    def test_status_says_why(self, vm: Machine) -> None:
        assert standings(vm) == {GOOD: "proven", BROKEN: "failed"}
        failed = status(vm)["failed"]
        assert failed["version"] == BROKEN
        assert "within 30 seconds" in failed["reason"]
        assert status(vm)["next"] == GOOD

    def test_it_is_not_offered_again(self, vm: Machine, site: str) -> None:
        assert "did not work" in vm.guest.succeed(f"llmosctl update check --source {site}")
        said = vm.guest.succeed(f"llmosctl update apply --source {site}")
        assert "--retry tries it again" in said

    def test_there_is_no_going_back_to_it(self, vm: Machine) -> None:
        assert "no other version" in vm.guest.fail("llmosctl update rollback")
