"""The running system, which is what gets installed: where each part of it is."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from llmos_installer import gpt
from llmos_installer.disks import below, disk_of, root_device
from llmos_installer.errors import NotHere
from llmos_installer.layout import Slot
from llmos_installer.world import World, names, number, read

HINT: Final = "Start the machine from the stick and choose 'Install to a disk' in its menu."
RELEASE: Final = Path("usr/lib/os-release")
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._~^+-]*")


@dataclass(frozen=True, slots=True)
class Running:
    """The verified system that runs.

    ``esp`` is the device of its EFI system partition, of ``esp_size`` bytes.
    """

    image: str
    version: str
    disk: str
    root: Slot
    verity: Slot
    esp: Path
    esp_size: int

    @property
    def name(self) -> str:
        """As its partitions and its kernel are called."""
        return f"{self.image}_{self.version}"


def running(world: World) -> Running:
    """Find the parts of the running system.

    Raises:
        NotHere: it does not run from a root that dm-verity checks, or its disk is gone.
    """
    image, version = _release(world)
    root_uuid, verity_uuid = _identities(world)
    device = root_device(world)
    if not device.startswith("dm-"):
        raise NotHere("the running system is not on a verified root", hint=HINT)
    parts = below(world, device)
    disk = next((disk_of(world, part) for part in sorted(parts)), "")
    if not disk:
        raise NotHere(f"{device}: the disk below it is not to be found", hint=HINT)
    with _opened(world.dev / disk) as handle:
        table = {entry.uuid: entry for entry in gpt.read_table(handle)}
    try:
        root, verity = table[root_uuid], table[verity_uuid]
        esp = next(entry for entry in table.values() if entry.type == gpt.ESP)
    except (KeyError, StopIteration):
        raise NotHere(
            f"{world.dev / disk}: its partition table does not name the system that runs",
            hint=HINT,
        ) from None
    return Running(
        image=image,
        version=version,
        disk=disk,
        root=Slot(world.dev / device, str(root.uuid), root.label),
        verity=Slot(_node(world, disk, verity.number), str(verity.uuid), verity.label),
        esp=_node(world, disk, esp.number),
        esp_size=esp.size,
    )


def boot_files(mounted: Path, system: Running) -> dict[str, Path]:
    """What the new ESP gets of the one at ``mounted``, by its path there.

    The boot loader, its settings and keys, and the kernel of the system that runs, without the
    count of boots that it may still have. Not: other versions, whose root is not copied; the
    random seed, which is each machine's own; credentials and answers.

    Raises:
        NotHere: there is no boot loader, or not this system's kernel.
    """
    loaders = [path for path in ("EFI/BOOT", "EFI/systemd") if (mounted / path).is_dir()]
    if not loaders:
        raise NotHere(f"{mounted}: no boot loader there", hint=HINT)
    counted = re.compile(re.escape(system.name) + r"(\+\d+(-\d+)?)?\.efi")
    kernels = [name for name in names(mounted / "EFI/Linux") if counted.fullmatch(name)]
    if not kernels:
        raise NotHere(f"{mounted}/EFI/Linux: no kernel named {system.name}.efi", hint=HINT)
    files = {path: mounted / path for path in loaders}
    files[f"EFI/Linux/{system.name}.efi"] = mounted / "EFI/Linux" / kernels[0]
    for path in ("loader/loader.conf", "loader/entries.srel", "loader/keys"):
        if (mounted / path).exists():
            files[path] = mounted / path
    return files


def has_tpm(world: World) -> bool:
    """Whether there is a TPM of version 2."""
    return number(world.sys / "class/tpm/tpm0/tpm_version_major") == 2


def _release(world: World) -> tuple[str, str]:
    lines = read(world.root / RELEASE).splitlines()
    facts = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    image, version = facts.get("IMAGE_ID", ""), facts.get("IMAGE_VERSION", "")
    if not (_NAME.fullmatch(image) and _NAME.fullmatch(version)):
        raise NotHere(f"{world.root / RELEASE}: no IMAGE_ID and IMAGE_VERSION", hint=HINT)
    return image, version


def _identities(world: World) -> tuple[UUID, UUID]:
    """The UUIDs of root and hash tree, both made of the root hash (repart.d(5), Verity=)."""
    words = [word for word in world.command_line() if word.startswith("roothash=")]
    digest = words[-1].removeprefix("roothash=") if words else ""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise NotHere("the kernel's command line has no roothash=", hint=HINT)
    return UUID(digest[:32]), UUID(digest[32:])


def _node(world: World, disk: str, index: int) -> Path:
    for name in names(world.sys / "block" / disk):
        if number(world.sys / "block" / disk / name / "partition") == index:
            return world.dev / name
    raise NotHere(f"{disk}: the kernel does not know partition {index}", hint=HINT)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotHere(f"{path}: {error.strerror}", hint=HINT) from None
    try:
        yield handle
    finally:
        os.close(handle)
