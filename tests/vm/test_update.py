"""Three versions of the image on one machine: an update, going back, and one that is no good.

The machine is installed with 0.1.0 and takes the others from a web server on this host. The
tests of the class run in order; each boot takes a minute or more when the processor is emulated.
"""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmos_image.places import SOURCE, SPECS
from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine

pytestmark = [pytest.mark.vm, pytest.mark.long]

# Images of an earlier run are taken when a person names their folder.
BUILT = os.environ.get("LLMOS_UPDATE_IMAGES")
FOLDER = Path(BUILT or SOURCE / "build" / "test-update").absolute()
MODEL = SOURCE / "image/model/llmos-plan-v0.gguf"
GOOD, NEWER, BROKEN = "0.1.0", "0.2.0", "0.3.0"
# The real deadline is for slow machines with large models; nobody waits for it three times here.
QUICK_CHECK = """\
[Service]
ExecStart=
ExecStart=/usr/lib/llmos/bin/llmos-boot-check --keep --seconds 30
"""


def llmos_image(*arguments: str | Path) -> str:
    """What the builder prints."""
    code = "from llmos_image.cli import main; main()"
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(argv, cwd=SOURCE, check=False, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{arguments[0]}: the reason is on standard error"
    return done.stdout


def spec_of(version: str) -> Path:
    """The spec ``vm`` in another version, with keys; the broken one has a torn model."""
    text = (SPECS / "vm.toml").read_text()
    text = re.sub(r'(?m)^version = ".*"', f'version = "{version}"', text)
    text = text.replace("../model/", f"{MODEL.parent}/")
    if version == BROKEN:
        torn = FOLDER / "torn.gguf"
        torn.write_bytes(MODEL.read_bytes()[: MODEL.stat().st_size // 2])
        text = text.replace(str(MODEL), str(torn))
        digest = hashlib.sha256(torn.read_bytes()).hexdigest()
        text = re.sub(r'sha256 = "[0-9a-f]+"', f'sha256 = "{digest}"', text)
        drop_in = FOLDER / "quick/usr/lib/systemd/system/llmos-boot-check.service.d/90-test.conf"
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(QUICK_CHECK)
        text += '[[trees]]\nsource = "quick"\n'
    path = FOLDER / f"{version}.toml"
    path.write_text(f'{text}\n[signing]\nkeys = "keys"\n')
    return path


@pytest.fixture(scope="module")
def disks() -> dict[str, Path]:
    """The disk of each version; their folders are what is published."""
    if BUILT:
        return {v: _disk_in(FOLDER / "images" / f"llmos-vm_{v}") for v in (GOOD, NEWER, BROKEN)}
    shutil.rmtree(FOLDER / "keys", ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    llmos_image("keys", FOLDER / "keys", "--name", "Acme appliances")
    return {
        version: Path(
            json.loads(
                llmos_image("build", spec_of(version), "--json", "--out", FOLDER / "images")
            )["artifact"]
        )
        for version in (GOOD, NEWER, BROKEN)
    }


def _disk_in(folder: Path) -> Path:
    disk = folder / f"{folder.name}.raw"
    assert disk.is_file(), f"LLMOS_UPDATE_IMAGES: no {disk}"
    return disk


@pytest.fixture(scope="module")
def site(disks: dict[str, Path]) -> Iterator[str]:
    """A web server with what is published; its URL as the guest sees it."""
    shutil.rmtree(FOLDER / "published", ignore_errors=True)
    publish(disks, NEWER)
    handler = functools.partial(_Quiet, directory=str(FOLDER / "published"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://10.0.2.2:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()


def publish(disks: dict[str, Path], version: str) -> None:
    """Add a version to what is published."""
    folder = disks[version].parent
    llmos_image("publish", FOLDER / "published", folder, "--keys", FOLDER / "keys")


@pytest.fixture(scope="class")
def vm(disks: dict[str, Path], site: str, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """A machine with the first version, on a network that leads to this host."""
    del site
    hardware = Hardware(network=Network.USER)
    machine = Machine(
        disks[GOOD], toolbox=toolbox, results=results, hardware=hardware, seconds=3 * 3600
    )
    with machine as running:
        yield running


def status(vm: Machine) -> dict[str, Any]:
    """How it stands, by slot's version."""
    found: dict[str, Any] = json.loads(vm.guest.succeed("llmosctl update status --json"))
    return found


def standings(vm: Machine) -> dict[str, str]:
    return {one["version"]: one["standing"] for one in status(vm)["installed"]}


def running_version(vm: Machine) -> str:
    return vm.guest.succeed(". /etc/os-release; echo $IMAGE_VERSION").strip()


class TestUpdates:
    """One machine over seven starts."""

    def test_a_new_machine_has_one_version_and_a_free_slot(self, vm: Machine) -> None:
        assert running_version(vm) == GOOD
        assert standings(vm) == {GOOD: "proven"}
        assert status(vm)["free_slots"] == 1
        vm.guest.succeed("echo kept > /home/llmos/kept; echo kept > /etc/kept")

    def test_anybody_may_look_for_updates(self, vm: Machine, site: str) -> None:
        command = f"runuser -u llmos -- llmosctl update check --source {site} --json"
        found = json.loads(vm.guest.succeed(command))
        (system,) = (one for one in found["components"] if one["name"] == "system")
        assert system["candidate"] == NEWER
        assert system["signed_by"] == "Acme appliances"

    def test_an_update_goes_into_the_free_slot(self, vm: Machine, site: str) -> None:
        said = vm.guest.succeed(f"llmosctl update apply --source {site}", seconds=900)
        assert f"At the next start {NEWER} runs." in said
        assert standings(vm) == {GOOD: "proven", NEWER: "on trial"}
        assert status(vm)["next"] == NEWER

    def test_it_starts_and_is_proven_when_the_engine_has_answered(self, vm: Machine) -> None:
        vm.guest.reboot()
        assert running_version(vm) == NEWER
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

    def test_an_update_that_is_no_good_comes_back_by_itself(
        self, vm: Machine, disks: dict[str, Path], site: str
    ) -> None:
        publish(disks, BROKEN)
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
