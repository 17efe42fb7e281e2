"""What an image has for graphics processors: the spec's table ``[gpu]`` and its packages."""

from collections.abc import Collection

from pydantic import Field

from llmos_image.values import Model

VULKAN_PACKAGES = ("libggml0-backend-vulkan", "mesa-vulkan-drivers")
# Without it the kernel's drivers leave newer cards alone.
FIRMWARE_PACKAGES = (
    "firmware-amd-graphics",
    "firmware-intel-graphics",
    "firmware-nvidia-graphics",
)


class Gpu(Model):
    """What the image can compute with, beside the CPU."""

    vulkan: bool | None = Field(
        None,
        description="Mesa's Vulkan drivers, ggml's back end for them and, where "
        "`debian.components` has `non-free-firmware`, the cards' firmware. Default: `true` with "
        "the generic kernel; the cloud kernel has no graphics drivers.",
    )


def packages(*, vulkan: bool, components: Collection[str]) -> tuple[str, ...]:
    """The packages for graphics processors."""
    if not vulkan:
        return ()
    firmware = FIRMWARE_PACKAGES if "non-free-firmware" in components else ()
    return (*VULKAN_PACKAGES, *firmware)
