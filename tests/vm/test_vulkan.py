"""An image with Vulkan, on a machine that has only Mesa's software one: a real run, and its end.

Nothing is asked of the model: on an emulated processor the first answer's shaders take half an
hour to compile. That the engine answers from such a device is shown by
`tests/integration/test_engine_vulkan.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from llmos_api import Health
from llmos_api.hardware import Hardware, Stack
from llmos_image.places import SPECS
from llmos_image.tools import Sandbox
from llmos_image.vm.credentials import Credential
from llmos_image.vm.machine import Machine

from .conftest import booted
from .test_first_boot import PROMPT, health

pytestmark = [pytest.mark.vm, pytest.mark.long]

_BUILD = "from llmos_image.cli import main; main()"
WISH = Credential("llmos.stack", b"vulkan")


@pytest.fixture(scope="module")
def vulkan_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`$LLMOS_VULKAN_IMAGE`, or the spec `vm` with Vulkan, built from this checkout."""
    if given := os.environ.get("LLMOS_VULKAN_IMAGE"):
        return Path(given).absolute()
    folder = tmp_path_factory.mktemp("vulkan")
    text = (SPECS / "vm.toml").read_text().replace('id = "llmos-vm"', 'id = "llmos-vulkan"')
    spec = folder / "vulkan.toml"
    spec.write_text(
        text.replace("../model/", f"{SPECS.parent}/model/") + "\n[gpu]\nvulkan = true\n"
    )
    command = [sys.executable, "-c", _BUILD, "build", str(spec), "--json", "--out", str(folder)]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Path(json.loads(built.stdout)["artifact"])


@pytest.fixture(scope="class")
def vm(vulkan_image: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    machine = Machine(vulkan_image, toolbox=toolbox, results=results, credentials=[WISH])
    with booted(machine, PROMPT) as running:
        yield running


def hardware(vm: Machine) -> Hardware:
    text = vm.guest.succeed("llmosctl hardware --json", seconds=120)
    return msgspec.json.decode(text, type=Hardware)


def device(vm: Machine) -> str:
    said = vm.guest.wait_until_succeeds(health(), seconds=300)
    return msgspec.json.decode(said.partition(" ")[2], type=Health).device or ""


class TestSoftwareVulkan:
    """One machine, in order."""

    def test_a_wish_chooses_software_vulkan_and_says_why(self, vm: Machine) -> None:
        vm.guest.wait_for_unit("llmos-hardware.service", seconds=300)
        found = hardware(vm)
        assert (found.stack, found.wanted, found.notice) == (Stack.VULKAN, Stack.VULKAN, "")
        assert "Mesa's, on the CPU" in found.reason
        said = vm.guest.succeed("llmosctl hardware", seconds=120)
        assert "The model computes with Vulkan" in said

    def test_the_engine_loads_its_model_on_the_vulkan_device(self, vm: Machine) -> None:
        assert device(vm).startswith("Vulkan0 (llvmpipe")

    def test_the_sandbox_is_open_no_wider_than_it_has_to_be(self, vm: Machine) -> None:
        names = ("PrivateDevices", "MemoryDenyWriteExecute", "NoNewPrivileges")
        shown = vm.guest.succeed(f"systemctl show llmos-engine -p {','.join(names)}")
        assert set(shown.split()) == {
            "PrivateDevices=yes",
            "MemoryDenyWriteExecute=no",
            "NoNewPrivileges=yes",
        }

    def test_an_engine_that_crashes_comes_back_on_the_cpu(self, vm: Machine) -> None:
        vm.guest.succeed("systemctl kill --signal=SEGV llmos-engine.service")
        vm.guest.wait_until_succeeds('grep -q \'"stack":"cpu"\' /run/llmos/hardware.json', 120)
        vm.guest.wait_for_unit("llmos-engine.service", seconds=300)
        assert device(vm) == "CPU"
        assert hardware(vm).trouble == "Vulkan failed"
        shown = vm.guest.succeed("systemctl show llmos-engine -p MemoryDenyWriteExecute")
        assert shown.strip() == "MemoryDenyWriteExecute=yes"

    def test_the_person_is_told(self, vm: Machine) -> None:
        said = vm.guest.succeed("cat /run/llmos/notices/hardware.txt")
        assert said.startswith("Vulkan failed (the engine crashed)")

    def test_the_choice_itself_reports_no_error(self, vm: Machine) -> None:
        assert not vm.guest.succeed("journalctl -b -q -p err -u llmos-hardware.service").strip()
