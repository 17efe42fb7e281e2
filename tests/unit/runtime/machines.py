"""Machines out of ``tests/data/pci``, and the sysfs that their kernels would show."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmos_api.hardware import Stack
from llmos_runtime.hardware.available import Available, NvidiaModule
from llmos_runtime.hardware.nvidia import may_drive
from llmos_runtime.hardware.table import default_table

LISTINGS = Path(__file__).parents[2] / "data/pci"

MESA = Available(
    plugins=frozenset({Stack.VULKAN}),
    icds=frozenset({"radeon", "intel", "nouveau", "lvp"}),
    modules=frozenset({"amdgpu", "i915", "xe", "nouveau"}),
)
ALL = frozenset({Stack.CUDA, Stack.ROCM, Stack.VULKAN})
IMAGES: Mapping[str, Available] = {
    "cloud": Available(),
    "base": MESA,
    "full": Available(
        ALL,
        MESA.icds | {"nvidia"},
        MESA.modules,
        NvidiaModule("nvidia-open", "550.163.01"),
        True,
        True,
    ),
    "proprietary": Available(
        ALL - {Stack.ROCM},
        MESA.icds | {"nvidia"},
        MESA.modules,
        NvidiaModule("nvidia", "550.163.01"),
        True,
    ),
    "newer": Available(
        ALL,
        MESA.icds | {"nvidia"},
        MESA.modules,
        NvidiaModule("nvidia-open", "570.86.15"),
        True,
        True,
    ),
}
WITHOUT_RENDER_NODES = {"vboxvideo", "hyperv_drm", "virtio-pci", "mgag200", "ast", "bochs-drm"}


@dataclass(frozen=True)
class Device:
    """One record of a listing; its numbers as they stand there."""

    slot: str
    device_class: str
    vendor: str
    device: str
    subvendor: str | None
    subdevice: str | None
    revision: str | None
    driver: str | None


@dataclass(frozen=True)
class Machine:
    """One file: the devices, and what is to be chosen on which image."""

    name: str
    devices: tuple[Device, ...]
    choices: Mapping[str, tuple[Stack, tuple[str, ...]]]


def machines() -> Iterator[Machine]:
    """Every machine, by name."""
    for path in sorted(LISTINGS.glob("*.txt")):
        text = path.read_text()
        choices = {}
        for image, stack, slots in re.findall(r"(?m)^# choice (\w+): (\w+)(.*)$", text):
            choices[image] = (Stack(stack), tuple(slots.split()))
        records = [part for part in text.split("\n\n") if part.startswith("Slot:")]
        yield Machine(path.stem, tuple(map(_device, records)), choices)


def _device(record: str) -> Device:
    fields = dict(line.split(":\t", 1) for line in record.strip().splitlines())

    def number(name: str) -> str | None:
        match = re.search(r"\[([0-9a-f]{4})\]$", fields.get(name, ""))
        return match[1] if match else None

    return Device(
        slot=fields["Slot"],
        device_class=number("Class") or "",
        vendor=number("Vendor") or "",
        device=number("Device") or "",
        subvendor=number("SVendor"),
        subdevice=number("SDevice"),
        revision=fields.get("Rev"),
        driver=fields.get("Driver"),
    )


def write_sysfs(machine: Machine, image: Available, root: Path) -> None:
    """Write what the kernel of ``image`` would show of the machine below ``root``/sys."""
    rendered = 0
    for device in machine.devices:
        folder = root / "sys/bus/pci/devices" / device.slot
        folder.mkdir(parents=True)
        (folder / "class").write_text(f"0x{device.device_class}00\n")
        (folder / "vendor").write_text(f"0x{device.vendor}\n")
        (folder / "device").write_text(f"0x{device.device}\n")
        if device.subvendor and device.subdevice:
            (folder / "subsystem_vendor").write_text(f"0x{device.subvendor}\n")
            (folder / "subsystem_device").write_text(f"0x{device.subdevice}\n")
        (folder / "revision").write_text(f"0x{device.revision or '00'}\n")
        driver = _driver(device, image)
        if driver:
            (folder / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
            if device.device_class.startswith("03") or driver == "amdgpu":
                card = folder / "drm" / f"card{rendered}"
                card.mkdir(parents=True)
                if driver not in WITHOUT_RENDER_NODES:
                    (folder / "drm" / f"renderD{128 + rendered}").mkdir()
                rendered += 1


def _driver(device: Device, image: Available) -> str | None:
    family = default_table().family_of_id(int(device.vendor, 16), int(device.device, 16))
    graphics = device.device_class.startswith("03")
    if graphics and may_drive(family, image.nvidia):
        return "nvidia"
    if graphics and device.driver in {"i915", "xe", "amdgpu", "nouveau"}:
        return device.driver if device.driver in image.modules else None
    return device.driver
