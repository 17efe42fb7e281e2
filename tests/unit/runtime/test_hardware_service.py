"""The service on made-up machines: what it writes, what it waits for, how it steps down."""

import json
import os
import tempfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llmos_api.hardware import Hardware, Outcome, Stack, read_hardware
from llmos_api.notices import read_notices
from llmos_runtime.hardware import service as service_module
from llmos_runtime.hardware.available import BACKENDS, ICDS, NVIDIA_MODULE, PLUGINS
from llmos_runtime.hardware.failures import RESULTS, add_failure, read_failures
from llmos_runtime.hardware.main import cli
from llmos_runtime.hardware.service import HardwareService
from llmos_runtime.hardware.wish import wanted_stack
from tests.unit.runtime.machines import IMAGES, machines, write_sysfs

MACHINES = {machine.name: machine for machine in machines()}
DROP_IN = "run/systemd/system/llmos-engine.service.d/60-llmos-hardware.conf"
RELEASE = "6.12.0-test"


class World:
    """A machine in a folder; counts reloads, and lets time pass."""

    def __init__(self, root: Path, name: str, image: str = "base") -> None:
        self.root = root
        self.reloads = 0
        self.now = 0.0
        has = IMAGES[image]
        write_sysfs(MACHINES[name], has, root)
        for stack in has.plugins:
            self.file(f"{BACKENDS}/{PLUGINS[stack]}")
        for icd in has.icds:
            self.file(f"{ICDS[0]}/{icd}_icd.json")
        modules = [f"kernel/drivers/gpu/drm/{name}/{name}.ko.xz: x.ko" for name in has.modules]
        self.file(f"usr/lib/modules/{RELEASE}/modules.dep", "\n".join(modules))
        if has.nvidia:
            said = {"flavour": has.nvidia.flavour, "version": has.nvidia.version}
            self.file(NVIDIA_MODULE, json.dumps(said))
        if has.libcuda:
            self.file("usr/lib/x86_64-linux-gnu/libcuda.so.1")
        if has.kfd:
            self.file("dev/kfd")
        self.service = HardwareService(
            root, RELEASE, self._reload, sleep=self._sleep, clock=lambda: self.now
        )

    def file(self, path: str, text: str = "") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def env(self) -> dict[str, str]:
        lines = (self.root / "run/llmos/engine.env").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if not line.startswith("#"))
        return {name: value.strip('"') for name, _, value in pairs}

    def drop_in(self) -> list[str]:
        path = self.root / DROP_IN
        return path.read_text().splitlines() if path.exists() else []

    def notices(self) -> tuple[str, ...]:
        return read_notices(self.root / "run/llmos/notices")

    def _reload(self) -> None:
        self.reloads += 1

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_machine_without_a_card_keeps_the_sandbox_shut(tmp_path: Path) -> None:
    world = World(tmp_path, "desktop-no-graphics")
    world.service.choose()
    assert world.env() == {
        "LLMOS_ENGINE_OFFLOAD": "none",
        "CUDA_VISIBLE_DEVICES": "-1",
        "HIP_VISIBLE_DEVICES": "-1",
        "VK_LOADER_DRIVERS_DISABLE": "*",
    }
    assert world.drop_in() == []
    assert (world.reloads, world.now) == (0, 0.0)
    assert world.notices() == ()


def test_vulkan_gets_the_render_node_and_its_own_driver_only(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    world.service.choose()
    assert world.env()["VK_LOADER_DRIVERS_SELECT"] == "*intel_*"
    assert world.env()["LLMOS_ENGINE_OFFLOAD"] == "all"
    assert "GGML_VK_VISIBLE_DEVICES" not in world.env()
    lines = world.drop_in()
    assert [line for line in lines if line.startswith("DeviceAllow=")] == [
        "DeviceAllow=/dev/dri/renderD128 rw"
    ]
    assert "PrivateDevices=no" in lines
    assert "DevicePolicy=closed" in lines
    assert "MemoryDenyWriteExecute=no" not in lines
    assert world.reloads == 1


def test_the_group_of_the_device_files_comes_along(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    world.file("dev/dri/renderD128")
    if os.geteuid() == 0:
        os.chown(tmp_path / "dev/dri/renderD128", 0, 4242)
        expected = "4242"
    else:
        expected = str(os.getegid())
    world.service.choose()
    assert f"SupplementaryGroups={expected}" in world.drop_in()


def test_cuda_gets_nvidias_devices_and_may_compile(tmp_path: Path) -> None:
    world = World(tmp_path, "desktop-rtx4090", "full")
    hardware = world.service.choose()
    assert hardware.stack is Stack.CUDA
    assert "CUDA_VISIBLE_DEVICES" not in world.env()
    assert world.env()["HIP_VISIBLE_DEVICES"] == "-1"
    lines = world.drop_in()
    assert "DeviceAllow=char-nvidia* rw" in lines
    assert "MemoryDenyWriteExecute=no" in lines


def test_rocm_gets_kfd(tmp_path: Path) -> None:
    world = World(tmp_path, "desktop-rx6800xt", "full")
    world.service.choose()
    assert "HIP_VISIBLE_DEVICES" not in world.env()
    assert world.env()["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "DeviceAllow=/dev/kfd rw" in world.drop_in()


def test_an_engine_that_dies_steps_down_to_the_cpu(tmp_path: Path) -> None:
    world = World(tmp_path, "desktop-rtx4090", "full")
    world.service.choose()
    stacks = []
    for result in ("core-dump", "watchdog"):
        hardware = world.service.engine_ended(result)
        assert hardware is not None
        stacks.append(hardware.stack)
    assert stacks == [Stack.VULKAN, Stack.CPU]
    (notice,) = world.notices()
    assert notice.startswith("CUDA failed (the engine crashed); Vulkan failed (the engine hung): ")
    assert notice.endswith("the model runs with the CPU until the next start.")
    assert world.drop_in() == []
    assert world.env()["LLMOS_ENGINE_OFFLOAD"] == "none"
    # Below the CPU there is nothing: a crash there is not the hardware's.
    assert world.service.engine_ended("core-dump") is None


@pytest.mark.parametrize("result", ["success", "exit-code", "oom-kill", "protocol", ""])
def test_an_end_that_no_driver_causes_changes_nothing(result: str, tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    world.service.choose()
    assert world.service.engine_ended(result) is None
    assert world.env()["LLMOS_ENGINE_OFFLOAD"] == "all"


def test_the_next_boot_tries_again(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    world.service.choose()
    world.service.engine_ended("core-dump")
    (tmp_path / "run/llmos/hardware/failures.json").unlink()  # with the rest of /run
    assert world.service.choose().stack is Stack.VULKAN
    assert world.notices() == ()


def test_the_same_choice_again_does_not_reload_systemd(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    world.service.choose()
    world.service.choose()
    assert world.reloads == 1


def test_a_driver_that_loads_late_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    folder = tmp_path / "sys/bus/pci/devices/0000:00:02.0"
    driver = (folder / "driver").readlink()
    (folder / "driver").unlink()

    def sleep(seconds: float) -> None:
        world.now += seconds
        if world.now >= 2 and not (folder / "driver").is_symlink():
            (folder / "driver").symlink_to(driver)

    world.service.sleep = sleep
    assert world.service.choose().stack is Stack.VULKAN
    assert 2 <= world.now < 3


def test_a_driver_that_never_comes_holds_the_engine_up_for_seconds_only(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-t480")
    (tmp_path / "sys/bus/pci/devices/0000:00:02.0/driver").unlink()
    hardware = world.service.choose()
    assert hardware.stack is Stack.CPU
    assert service_module.PATIENCE <= world.now < service_module.PATIENCE + 1
    step = next(step for step in hardware.steps if step.stack is Stack.VULKAN)
    assert (step.outcome, "has not taken it" in step.reason) == (Outcome.MISSING, True)


def test_software_vulkan_needs_no_device_file(tmp_path: Path) -> None:
    world = World(tmp_path, "vm-qemu-std")
    world.file("proc/cmdline", "quiet llmos.stack=vulkan\n")
    assert world.service.choose().stack is Stack.VULKAN
    assert world.env()["VK_LOADER_DRIVERS_SELECT"] == "*lvp_*"
    assert world.env()["GGML_VK_VISIBLE_DEVICES"] == "0"
    assert "PrivateDevices=no" not in world.drop_in()
    # LLVM compiles the shaders in the engine's own process, and takes its time.
    assert "MemoryDenyWriteExecute=no" in world.drop_in()
    assert "WatchdogSec=30min" in world.drop_in()


def test_a_wish_by_credential_holds_when_the_engine_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "vm-qemu-std")
    world.file("credentials/llmos.stack", "vulkan\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert world.service.choose().stack is Stack.VULKAN
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    hardware = world.service.engine_ended("core-dump")
    assert hardware is not None
    assert (hardware.stack, hardware.trouble) == (Stack.CPU, "Vulkan failed")
    assert world.notices() == (hardware.notice,)


def test_a_wish_comes_from_the_command_line_or_a_credential(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/llmos.stack").write_text("vulkan\n")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert wanted_stack(tmp_path, {}) is None
    assert wanted_stack(tmp_path, env) is Stack.VULKAN
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text("quiet llmos.stack=rocm llmos.stack=cpu\n")
    assert wanted_stack(tmp_path, env) is Stack.CPU
    (tmp_path / "proc/cmdline").write_text("llmos.stack=fast\n")
    assert wanted_stack(tmp_path, {}) is None


def test_what_is_written_is_what_readers_read(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop-thinkpad-p1-a1000", "full")
    said = world.service.choose()
    assert read_hardware(tmp_path / "run/llmos/hardware.json") == said
    assert [(card.slot, card.used) for card in said.cards] == [
        ("0000:00:02.0", False),
        ("0000:01:00.0", True),
    ]
    newer = msgspec.structs.replace(said, schema=99)
    (tmp_path / "run/llmos/hardware.json").write_bytes(msgspec.json.encode(newer))
    assert read_hardware(tmp_path / "run/llmos/hardware.json") is None


@given(st.binary(max_size=60))
def test_a_damaged_file_is_as_good_as_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hardware.json"
        path.write_bytes(content)
        assert read_hardware(path) is None
        assert isinstance(read_failures(path), dict)


@given(st.lists(st.tuples(st.sampled_from(Stack), st.sampled_from([*RESULTS, "success"]))))
def test_failures_add_up(ends: list[tuple[Stack, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "failures.json"
        for stack, result in ends:
            add_failure(path, stack, result)
        expected = {stack for stack, result in ends if result in RESULTS} - {Stack.CPU}
        assert set(read_failures(path)) == expected


def test_the_command_says_each_step(tmp_path: Path) -> None:
    World(tmp_path, "laptop-thinkpad-t480")
    answer = CliRunner().invoke(cli, ["--root", str(tmp_path), "choose"])
    assert answer.exit_code == 0
    assert "vulkan: " in answer.output
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "ended", "--result", "success"])
    assert (done.exit_code, done.output) == (0, "")


def test_hardware_has_no_reason_without_a_choice() -> None:
    empty = msgspec.convert(
        {
            "schema": 1,
            "stack": "cpu",
            "steps": [],
            "cards": [],
            "processor": {"name": "x", "threads": 1},
            "memory": 0,
        },
        Hardware,
    )
    assert (empty.reason, empty.trouble) == ("", "")
