"""Power cuts at random moments: whether the machine comes up again, with all that was confirmed.

The cut is the reset line of the virtual machine: its memory is gone in that moment, and what it
has not written to its disk. What the disk itself would lose in its own cache is not shown.
"""

import random
import re
import time

from llmos_image.vm.errors import DeadlinePassed
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.kvm import best_accelerator
from llmos_image.vm.machine import Machine
from llmos_image.vm_command import toolbox
from tests.bench.image import OUT, build
from tests.bench.result import Figure, Result

_LONGEST_BOOT = 900.0
_RECORDS = "/home/llmos/records"
_PROMPT = re.compile(r"llmos ~ >")
# Of the time that a boot took: a third of the cuts hit a running system.
_REACH = 1.5


def measure(cuts: int, seed: int = 1) -> Result:
    """Cut the power of one machine ``cuts`` times, and look at it after each."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    tools = toolbox()
    machine = Machine(
        build("vm").disk,
        toolbox=tools.sandbox,
        results=OUT / "bench" / "power",
        hardware=Hardware(network=Network.NONE),
        seconds=cuts * 2 * _LONGEST_BOOT,
    )
    confirmed: list[int] = []
    during_boot = came_up = 0
    with machine as vm:
        begun = time.monotonic()
        _wait_until_up(vm)
        boot = time.monotonic() - begun
        for number in range(cuts):
            _cut(vm)
            moment = chance.uniform(0, _REACH * boot)
            during_boot += not _use_until(vm, time.monotonic() + moment, number, confirmed)
            _cut(vm)
            _wait_until_up(vm)
            came_up += 1
        kept = {int(line) for line in vm.guest.succeed(f"cat {_RECORDS}; true").split()}
        damaged = vm.guest.execute("journalctl -k --no-pager -q | grep -c 'EXT4-fs error'").output
    figures = [
        Figure("power cuts", cuts, ""),
        Figure("  during a boot", during_boot, ""),
        Figure("came up again", came_up, ""),
        Figure("records confirmed", len(confirmed), ""),
        Figure("records lost", len(set(confirmed) - kept), ""),
        Figure("errors of the file system", int(damaged or 0), ""),
    ]
    return Result("power", figures, {"accelerator": str(best_accelerator(tools.sandbox))})


def _cut(vm: Machine) -> None:
    vm.qmp.execute("system_reset")
    vm.guest.forget()


def _wait_until_up(vm: Machine) -> None:
    vm.serial.wait_for_no_text(_PROMPT, seconds=_LONGEST_BOOT)
    vm.serial.wait_for_text(_PROMPT, seconds=_LONGEST_BOOT)
    vm.guest.wait_until_ready(_LONGEST_BOOT)


def _use_until(vm: Machine, end: float, number: int, confirmed: list[int]) -> bool:
    """Write records until ``end``; whether the machine came up before."""
    at = number * 10_000
    try:
        vm.guest.wait_until_ready(max(0.1, end - time.monotonic()))
        while time.monotonic() < end:
            vm.guest.succeed(f"echo {at} >> {_RECORDS}; sync {_RECORDS}")
            confirmed.append(at)
            at += 1
    except DeadlinePassed:
        return False
    return True
