"""Which of NVIDIA's kernel modules a card needs, and whether the image's will do."""

from llmos_runtime.hardware.available import NvidiaModule
from llmos_runtime.hardware.table import Family, version_at_least

OPEN = "nvidia-open"


def misfit(family: Family, module: NvidiaModule | None) -> str | None:
    """Why the image's module will not drive the family; None when it will."""
    least = f" {family.driver} or newer" if family.driver else ""
    if module is None:
        return f"the image has no kernel module {family.module}{least}"
    # The open flavour needs a processor (GSP) that older cards lack. The proprietary one
    # drives the newer ones too, up to those that came after the open one was finished.
    if module.flavour != family.module and (module.flavour == OPEN or family.driver):
        return f"it needs the kernel module {family.module}, and the image has {module.flavour}"
    if family.driver and not version_at_least(module.version, family.driver):
        return f"it needs {family.module}{least}, and the image has {module.version}"
    return None


def may_drive(family: Family, module: NvidiaModule | None) -> bool:
    """Whether the driver ``nvidia`` shall have the family's cards, rather than nouveau."""
    return bool(family.module) and misfit(family, module) is None
