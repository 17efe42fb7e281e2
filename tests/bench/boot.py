"""How long a boot takes, to the prompt of our image and to the login of a stock one.

Both boot in the same QEMU with the same hardware in the same run, in turns: what disturbs
the one disturbs the other.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from llmos_image.cache import Cache, default_root
from llmos_image.run import Log
from llmos_image.tools import ToolsTree
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.kvm import best_accelerator
from llmos_image.vm.machine import Machine
from llmos_image.vm_command import toolbox
from tests.bench.image import OUT, build
from tests.bench.result import Figure, Result
from tests.bench.stock import stock_disk

_LONGEST_BOOT = 900.0
_HARDWARE = Hardware(network=Network.ISOLATED)


@dataclass(frozen=True)
class Contender:
    """A disk, and the text on the serial console by which a person sees that it is up."""

    name: str
    disk: Path
    sign: str


def measure(runs: int) -> Result:
    """Boot each image ``runs`` times."""
    tools = toolbox()
    stock = stock_disk(Cache(default_root()), tools, Log(OUT / "bench" / "stock.log"))
    contenders = (
        Contender("LLMOS to its prompt", build("vm").disk, "llmos ~ >"),
        Contender("stock trixie to its login", stock, "login:"),
    )
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(runs):
        for contender in contenders:
            seconds[contender.name].append(_boot(contender, tools))
    ours, others = (statistics.median(times) for times in seconds.values())
    figures = [
        Figure(f"{name}, run {number}", took, "s")
        for name, times in seconds.items()
        for number, took in enumerate(times, 1)
    ]
    figures += [
        Figure("LLMOS to its prompt, median", ours, "s"),
        Figure("stock trixie to its login, median", others, "s"),
        Figure("LLMOS / stock", ours / others, "x"),
    ]
    accelerator = best_accelerator(tools.sandbox)
    hardware = f"{_HARDWARE.cpus} CPUs, {_HARDWARE.memory}"
    return Result("boot", figures, {"accelerator": str(accelerator), "guest": hardware})


def _boot(contender: Contender, tools: ToolsTree) -> float:
    machine = Machine(
        contender.disk,
        toolbox=tools.sandbox,
        results=OUT / "bench" / "boot",
        hardware=_HARDWARE,
        with_guest_shell=False,
    )
    begun = time.monotonic()
    with machine:
        machine.serial.wait_for_text(contender.sign, seconds=_LONGEST_BOOT)
        return time.monotonic() - begun
