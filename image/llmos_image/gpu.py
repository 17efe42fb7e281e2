"""What an image has for graphics processors: the spec's table ``[gpu]`` and its packages."""

import enum
from collections.abc import Collection, Iterator

from pydantic import Field

from llmos_image.values import Model

VULKAN_PACKAGES = ("libggml0-backend-vulkan", "mesa-vulkan-drivers")
# Without it the kernel's drivers leave newer cards alone.
FIRMWARE_PACKAGES = (
    "firmware-amd-graphics",
    "firmware-intel-graphics",
    "firmware-nvidia-graphics",
)


NVIDIA_PACKAGES = ("firmware-nvidia-gsp", "nvidia-modprobe")

# The firmware of the cards' own processor, and the program that makes /dev/nvidia*.
_NVIDIA_COMPONENTS = ("contrib", "non-free-firmware")


class NvidiaModules(enum.StrEnum):
    """The two flavours of NVIDIA's kernel modules."""

    OPEN = "open"
    PROPRIETARY = "proprietary"

    @property
    def module(self) -> str:
        """What the target's table of families calls it."""
        return {"open": "nvidia-open", "proprietary": "nvidia"}[self]

    @property
    def source_package(self) -> str:
        """The Debian package with its source."""
        return f"{self.module}-kernel-dkms"


class Gpu(Model):
    """What the image can compute with, beside the CPU."""

    vulkan: bool | None = Field(
        None,
        description="Mesa's Vulkan drivers, ggml's back end for them and, where "
        "`debian.components` has `non-free-firmware`, the cards' firmware. Default: `true` with "
        "the generic kernel; the cloud kernel has no graphics drivers.",
    )
    nvidia: NvidiaModules | None = Field(
        None,
        description="NVIDIA's kernel modules, compiled for the image's kernel: `open` for Turing "
        "(2018) and newer, `proprietary` for Maxwell (2014) up to Ada and Hopper. What they "
        "compute with comes as the extension `cuda`.",
    )

    def faults(self, components: Collection[str]) -> Iterator[str]:
        """What does not go with the spec's ``debian.components``."""
        missing = [part for part in _NVIDIA_COMPONENTS if part not in components]
        if self.nvidia and missing:
            yield (
                f"gpu.nvidia: {self.nvidia.value!r} needs {' and '.join(missing)} in "
                f"debian.components"
            )


def packages(gpu: Gpu, *, vulkan: bool, components: Collection[str]) -> tuple[str, ...]:
    """The packages for graphics processors; ``vulkan`` is what the spec comes to."""
    firmware = FIRMWARE_PACKAGES if "non-free-firmware" in components else ()
    mesa = (*VULKAN_PACKAGES, *firmware) if vulkan else ()
    nvidia = NVIDIA_PACKAGES if gpu.nvidia else ()
    return (*mesa, *nvidia)
