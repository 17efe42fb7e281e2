"""A signed image in a firmware that knows Secure Boot and has no keys yet."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.errors import DeadlinePassed
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine

from .conftest import booted

pytestmark = [pytest.mark.vm, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
CLI = "from llmos_image.cli import main; main()"
PROMPT = re.compile(r"llmos ~ >")
# Seconds in which a kernel image that is accepted comes up.
LONG_ENOUGH = 150


@pytest.fixture(scope="module")
def signed_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec `vm`, signed by keys made for the purpose."""
    folder = tmp_path_factory.mktemp("signed")
    spec = folder / "signed.toml"
    text = (ROOT / "image/specs/vm.toml").read_text()
    text = text.replace('id = "llmos-vm"', 'id = "llmos-signed"')
    text = text.replace('"../model/', f'"{ROOT}/image/model/')
    spec.write_text(text + '\n[signing]\nkeys = "keys"\n')
    llmos_image(["keys", str(folder / "keys")])
    built = llmos_image(["build", str(spec), "--json", "--out", str(ROOT / "build")])
    return Path(json.loads(built)["artifact"])


def llmos_image(arguments: list[str]) -> str:
    command = [sys.executable, "-c", CLI, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="class")
def vm(signed_image: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """The signed image, in its second boot: in the first one the boot loader enrols its keys."""
    hardware = Hardware(network=Network.NONE, secure_boot=True)
    machine = Machine(signed_image, toolbox=toolbox, results=results, hardware=hardware)
    with booted(machine, PROMPT) as running:
        yield running


class TestSecureBoot:
    """One machine whose firmware ends up with our keys and Microsoft's."""

    def test_the_boot_loader_has_enrolled_the_keys(self, vm: Machine) -> None:
        found = json.loads(vm.guest.succeed("llmosctl security --json"))
        assert found["secure_boot"] == "on"
        assert found["only_signed_modules"] is True
        assert found["lockdown"] == "integrity"

    def test_microsofts_authorities_are_kept_along(self, vm: Machine) -> None:
        variables = "/sys/firmware/efi/efivars"
        for name in ("KEK", "db"):
            vm.guest.succeed(f"grep -q 'Microsoft Corporation' {variables}/{name}-*")

    def test_it_comes_up_with_no_failed_unit_and_no_complaint(self, vm: Machine) -> None:
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        assert state.output.strip() == "running"
        vm.guest.fail("test -e /run/llmos/notices/secure-boot.txt")

    def test_a_changed_kernel_image_is_refused(self, vm: Machine) -> None:
        vm.guest.succeed(
            "cd /boot/EFI/Linux && sed 's/quiet/shell/' llmos-signed_0.1.0.efi > changed_9.efi"
            " && ! cmp -s llmos-signed_0.1.0.efi changed_9.efi"
            " && bootctl set-oneshot changed_9.efi && sync"
        )
        vm.guest.begin_reboot()
        try:
            vm.guest.wait_until_ready(LONG_ENOUGH)
        except DeadlinePassed:
            # The boot loader waits in its menu.
            vm.screenshot("refused")
            vm.qmp.execute("system_reset")
        vm.serial.wait_for_text(PROMPT, seconds=900)
        # It was tried: the choice for one boot is used up. What runs is the signed one.
        vm.guest.fail("ls /sys/firmware/efi/efivars/LoaderEntryOneShot-*")
        words = vm.guest.succeed("cat /proc/cmdline").split()
        assert "quiet" in words
        assert "shell" not in words
        selected = "tr -d '\\0' < /sys/firmware/efi/efivars/LoaderEntrySelected-*"
        assert "llmos-signed_0.1.0.efi" in vm.guest.succeed(selected)
