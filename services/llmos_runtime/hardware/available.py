"""What the machine has installed for its processors: back ends, drivers, libraries."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_api.hardware import Stack

_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
BACKENDS: Final = f"{_LIBRARIES}/ggml/backends0"
ICDS: Final = ("usr/share/vulkan/icd.d", "etc/vulkan/icd.d")
NVIDIA_MODULE: Final = "usr/share/llmos/nvidia-module.json"
"""Which flavour of NVIDIA's kernel modules the image was built with, and its version."""

PLUGINS: Final = {
    Stack.CUDA: "libggml-cuda.so",
    Stack.ROCM: "libggml-hip.so",
    Stack.VULKAN: "libggml-vulkan.so",
}
ICD_OF: Final = {
    "amdgpu": "radeon",
    "i915": "intel",
    "xe": "intel",
    "nouveau": "nouveau",
    "nvidia": "nvidia",
}
"""The Vulkan driver that goes with a kernel driver, by the start of its file's name."""

SOFTWARE_ICD: Final = "lvp"
"""Mesa's lavapipe: Vulkan on the CPU, for tests."""


@dataclass(frozen=True)
class NvidiaModule:
    """The flavour (``nvidia-open`` or ``nvidia``) and the version of the image's modules."""

    flavour: str
    version: str


@dataclass(frozen=True)
class Available:
    """What is installed; a test fills it in by hand."""

    plugins: frozenset[Stack] = frozenset()
    icds: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    """The kernel drivers that the image has, of those that any family names."""
    nvidia: NvidiaModule | None = None
    libcuda: bool = False
    kfd: bool = False
    """Whether ``/dev/kfd`` is there, through which ROCm computes."""


def available(root: Path = Path("/"), release: str | None = None) -> Available:
    """Look at what is installed below ``root`` for the kernel ``release``."""
    return Available(
        plugins=frozenset(
            stack for stack, name in PLUGINS.items() if (root / BACKENDS / name).exists()
        ),
        icds=frozenset(_icds(root)),
        modules=frozenset(_modules(root, release)),
        nvidia=_nvidia(root),
        libcuda=(root / _LIBRARIES / "libcuda.so.1").exists(),
        kfd=(root / "dev/kfd").exists(),
    )


def _icds(root: Path) -> Iterator[str]:
    for folder in ICDS:
        with suppress(OSError):
            for path in (root / folder).iterdir():
                yield re.split(r"[_.]", path.name)[0]


def _modules(root: Path, release: str | None) -> Iterator[str]:
    if release is None:
        return
    folder = root / "usr/lib/modules" / release
    for name in ("modules.dep", "modules.builtin"):
        with suppress(OSError):
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            for driver in ICD_OF:
                if re.search(rf"(?m)^(?:[^:\n]*/)?{driver}\.ko", text):
                    yield driver


def _nvidia(root: Path) -> NvidiaModule | None:
    try:
        said = json.loads((root / NVIDIA_MODULE).read_text(encoding="utf-8"))
        return NvidiaModule(str(said["flavour"]), str(said["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
