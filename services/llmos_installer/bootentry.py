"""The firmware's own menu: an entry for the new disk, first in its order.

Without one the firmware finds the disk by the path that is the same on all of them
(EFI/BOOT/BOOTX64.EFI), so a failure here is a remark and no failure of the installation.
"""

import contextlib
from pathlib import Path
from typing import Final

from llmos_installer.errors import InstallerError
from llmos_installer.programs import Programs
from llmos_installer.world import World, names, number

DESCRIPTION: Final = "LLMOS"
SECONDS: Final = 60.0
_FALLBACK: Final = "If the machine does not start from it, choose the disk in the firmware's menu."


def add(world: World, programs: Programs, disk: str) -> str:
    """Add the entry by bootctl(1). Returns a remark for the person; empty when all is well."""
    if not (world.sys / "firmware/efi/efivars").is_dir():
        return f"No boot entry could be made: the machine was not started by UEFI. {_FALLBACK}"
    place = world.run / "llmos-install/new-esp"
    with contextlib.ExitStack() as stack:
        try:
            programs(["udevadm", "settle"], seconds=SECONDS)
            place.mkdir(parents=True, exist_ok=True)
            device = world.dev / _first_partition(world, disk)
            programs(["mount", "-t", "vfat", "-o", "umask=077", device, place], seconds=SECONDS)
            stack.callback(_unmount, programs, place)
            programs(
                ["bootctl", "install", f"--esp-path={place}", "--make-entry-directory=no",
                 f"--efi-boot-option-description={DESCRIPTION}"],
                seconds=SECONDS,
            )  # fmt: skip
        except (InstallerError, OSError) as error:
            return f"No boot entry could be made ({error}). {_FALLBACK}"
    return ""


def _first_partition(world: World, disk: str) -> str:
    folder = world.sys / "block" / disk
    for name in names(folder):
        if number(folder / name / "partition") == 1:
            return name
    raise InstallerError(f"{disk}: the kernel does not know its new partitions")


def _unmount(programs: Programs, place: Path) -> None:
    with contextlib.suppress(InstallerError):
        programs(["umount", place])
