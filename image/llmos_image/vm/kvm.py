"""Whether this host can really run a guest on its processor.

``/dev/kvm`` proves little: nested hosts have it and then abort on ``-cpu host`` or stop with
an internal error. So the flags are read, the node is opened, and a guest of a few
instructions is run; only one that did what it was told counts.
"""

import functools
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llmos_image.errors import UserError
from llmos_image.vm.toolbox import Toolbox

VARIABLE = "LLMOS_VM_ACCEL"
KVM_NODE = Path("/dev/kvm")

# The CPU starts at F000:FFF0. This tells QEMU's exit device (port 0xf4) 0x2a and halts;
# QEMU then exits with 0x2a * 2 + 1.
_RESET_CODE = bytes([0xB0, 0x2A, 0xE6, 0xF4, 0xF4])
_RESET_AT = 0xFFF0
_PROVED = 0x2A * 2 + 1
_PROBE_SECONDS = 10.0


class Accelerator(StrEnum):
    """What executes the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"

    def arguments(self) -> list[str]:
        """QEMU's options for it."""
        match self:
            case Accelerator.KVM:
                return ["-accel", "kvm", "-cpu", "host"]
            case Accelerator.TCG:
                return ["-accel", "tcg,thread=multi", "-cpu", "max"]

    def devices(self) -> list[Path]:
        """Device nodes QEMU needs for it."""
        return [KVM_NODE] if self is Accelerator.KVM else []


@dataclass(frozen=True, slots=True)
class Choice:
    """An accelerator, and why this one."""

    accelerator: Accelerator
    reason: str

    def __str__(self) -> str:
        """For a person: ``tcg (the CPU has no svm or vmx flag)``."""
        return f"{self.accelerator} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Host:
    """What the choice looks at."""

    flags: frozenset[str]
    node_is_usable: bool
    runs_a_guest: Callable[[], bool]
    asked_for: str | None = None


def choose(host: Host) -> Choice:
    """KVM when every probe says yes, else emulation.

    Raises:
        UserError: ``$LLMOS_VM_ACCEL`` names something that is not an accelerator.
    """
    if host.asked_for:
        if host.asked_for not in set(Accelerator):
            known = ", ".join(Accelerator)
            raise UserError(f"{VARIABLE}: unknown accelerator '{host.asked_for}' (one of: {known})")
        return Choice(Accelerator(host.asked_for), f"{VARIABLE} asks for it")
    if not host.flags & {"svm", "vmx"}:
        return Choice(Accelerator.TCG, "the CPU has no svm or vmx flag")
    if not host.node_is_usable:
        return Choice(Accelerator.TCG, f"{KVM_NODE} cannot be opened")
    if not host.runs_a_guest():
        return Choice(Accelerator.TCG, "KVM is there, but a trial guest did not run")
    return Choice(Accelerator.KVM, "a trial guest ran")


@functools.cache
def best_accelerator(toolbox: Toolbox) -> Choice:
    """The choice for this host; probed once for the life of the process."""
    return choose(
        Host(
            flags=_cpu_flags(Path("/proc/cpuinfo")),
            node_is_usable=os.access(KVM_NODE, os.R_OK | os.W_OK),
            runs_a_guest=lambda: runs_a_guest(toolbox, Accelerator.KVM),
            asked_for=os.environ.get(VARIABLE),
        )
    )


def runs_a_guest(toolbox: Toolbox, accelerator: Accelerator) -> bool:
    """Whether a guest that only says that it ran gets to say it."""
    with tempfile.TemporaryDirectory(prefix="llmos-kvm-") as folder:
        rom = Path(folder, "probe.rom")
        rom.write_bytes(_probe_rom())
        command = [
            "qemu-system-x86_64",
            *accelerator.arguments(),
            *("-machine", "q35", "-m", "64M", "-nodefaults", "-no-user-config"),
            *("-display", "none", "-bios", str(rom)),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
        ]
        argv = toolbox.argv(command, binds=accelerator.devices(), ro_binds=[Path(folder)])
        try:
            ended = subprocess.run(
                argv,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE_SECONDS,
            )
        except (subprocess.TimeoutExpired, OSError):
            return False
        return ended.returncode == _PROVED


def _probe_rom() -> bytes:
    halted = bytearray(b"\xf4" * 0x10000)
    halted[_RESET_AT : _RESET_AT + len(_RESET_CODE)] = _RESET_CODE
    return bytes(halted)


def _cpu_flags(cpuinfo: Path) -> frozenset[str]:
    for line in cpuinfo.read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
