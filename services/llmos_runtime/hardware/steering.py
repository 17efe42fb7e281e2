"""How the choice reaches the engine: its environment, and what its sandbox lets through.

ggml loads every plug-in that is installed and uses every device that they show, so a stack is
chosen by hiding the devices of the others. What hides them: CUDA and HIP their own variables;
Vulkan's loader a filter on the names of its drivers (a hidden driver is not even loaded, so
what it does when it is broken does not matter).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from llmos_api.hardware import Stack
from llmos_runtime.hardware.available import ICD_OF, SOFTWARE_ICD
from llmos_runtime.hardware.choice import Choice

CACHE: Final = "/var/cache/llmos-engine"
"""Where drivers keep what they compile: a cold start of CUDA's compiler takes minutes."""

# These drivers make code at run time, or map what the processor runs into the process.
_MAKE_CODE: Final = frozenset({"nvidia"})
_WITHOUT: Final = {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}


def environment(choice: Choice) -> Mapping[str, str]:
    """The variables that the engine is started with."""
    hidden = dict(_WITHOUT)
    match choice.stack:
        case Stack.CUDA:
            del hidden["CUDA_VISIBLE_DEVICES"]
            vulkan = {"VK_LOADER_DRIVERS_DISABLE": "*", "CUDA_CACHE_PATH": f"{CACHE}/cuda"}
        case Stack.ROCM:
            del hidden["HIP_VISIBLE_DEVICES"]
            vulkan = {"VK_LOADER_DRIVERS_DISABLE": "*"}
        case Stack.VULKAN:
            vulkan = {
                "VK_LOADER_DRIVERS_SELECT": ",".join(_icd_globs(choice)),
                "MESA_SHADER_CACHE_DIR": f"{CACHE}/mesa",
            }
            if choice.software:
                # ggml passes over a Vulkan device that is a CPU unless it is named.
                vulkan["GGML_VK_VISIBLE_DEVICES"] = "0"
        case Stack.CPU:
            vulkan = {"VK_LOADER_DRIVERS_DISABLE": "*"}
    offload = "none" if choice.stack is Stack.CPU else "all"
    return {"LLMOS_ENGINE_OFFLOAD": offload, **hidden, **vulkan}


def environment_file(choice: Choice) -> str:
    """:func:`environment` as systemd's ``EnvironmentFile=`` reads it."""
    lines = [f'{name}="{value}"' for name, value in environment(choice).items()]
    return "\n".join(["# Written by llmos-hardware: how the engine computes.", *lines, ""])


def drop_in(choice: Choice, group_of: Callable[[str], int | None]) -> str | None:
    """The drop-in that opens the engine's sandbox for the chosen cards; None for the CPU.

    ``group_of`` is the numeric group of a device file, None where there is no such file.
    """
    if choice.stack is Stack.CPU:
        return None
    nodes = list(_nodes(choice))
    groups = sorted({group for node in nodes if (group := group_of(node))})
    lines = ["# Written by llmos-hardware for this boot.", "[Service]"]
    if choice.cards:
        lines += ["PrivateDevices=no", "DevicePolicy=closed"]
        lines += [f"DeviceAllow={node} rw" for node in nodes]
    if groups:
        lines.append(f"SupplementaryGroups={' '.join(map(str, groups))}")
    if _makes_code(choice):
        lines.append("MemoryDenyWriteExecute=no")
    if choice.software:
        # Its compiler takes minutes of a slow machine for the first answer, in one step.
        lines.append("WatchdogSec=30min")
    lines += ["CacheDirectory=llmos-engine", "CacheDirectoryMode=0700"]
    # With "+": it writes for root, and the engine's sandbox is not for it.
    lines.append("ExecStopPost=+-/usr/lib/llmos/bin/llmos-hardware ended")
    return "\n".join([*lines, ""])


def _icd_globs(choice: Choice) -> Iterator[str]:
    names = {ICD_OF[driver] for driver in choice.drivers if driver in ICD_OF}
    for name in sorted(names or {SOFTWARE_ICD}):
        yield f"*{name}_*"


def _nodes(choice: Choice) -> Iterator[str]:
    for card in choice.cards:
        yield from (node for node in card.nodes if "/renderD" in node)
    if "nvidia" in choice.drivers:
        # By the names of /proc/devices: some of the files are made when they are first used.
        yield "char-nvidia*"
    if choice.stack is Stack.ROCM:
        yield "/dev/kfd"


def _makes_code(choice: Choice) -> bool:
    if choice.stack in {Stack.CUDA, Stack.ROCM} or choice.software:
        return True
    return bool(_MAKE_CODE.intersection(choice.drivers))
