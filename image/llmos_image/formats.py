"""The raw disk of a build in the other formats that a spec asks for.

Every file is the same in two builds of the same disk: where qemu-img draws identifiers at
random, they are replaced by ones derived from the disk (``settle.py``).
"""

from collections.abc import Sequence
from pathlib import Path

from llmos_image import iso, settle
from llmos_image.run import Log, run
from llmos_image.spec import Format
from llmos_image.tools import ToolsTree


def keep_partitions(folder: Path, name: str, tools: ToolsTree, log: Log) -> None:
    """Compress mkosi's split partitions in ``folder`` under the names that updates look for."""
    for kind in ("root", "verity"):
        split = next(folder.glob(f"image.*.{kind}.raw"))
        partition = split.name.split(".")[1]
        target = folder / f"{name}_{partition}.{kind}.zst"
        # What is inside is compressed already.
        command: list[str | Path] = ["zstd", "-q", "-T0", "-3", "--rm", split, "-o", target]
        run(tools.sandbox.argv(command, binds=[folder]), log=log)


def convert(folder: Path, name: str, formats: Sequence[Format], tools: ToolsTree, log: Log) -> None:
    """Write the raw disk in ``folder`` in each of ``formats``; some are there already."""
    raw = folder / f"{name}.raw"
    for wanted in dict.fromkeys(formats):
        target = folder / f"{name}.{wanted.suffix}"
        if command := _command(wanted, raw, target):
            run(tools.sandbox.argv(command, binds=[folder]), log=log)
        match wanted:
            case Format.ISO:
                iso.make_bootable(target, name)
            case Format.VHDX:
                settle.vhdx(target, settle.identity_of(raw))
            case Format.VMDK:
                settle.vmdk(target, settle.identity_of(raw))


def _command(wanted: Format, raw: Path, target: Path) -> list[str | Path]:
    qemu_img: list[str | Path] = ["qemu-img", "convert", "-f", "raw", "-O", wanted]
    match wanted:
        case Format.RAW | Format.UKI:
            # Every build has them.
            return []
        case Format.RAW_ZST:
            return ["zstd", "-q", "-T0", "-9", "-f", raw, "-o", target]
        case Format.RAW_XZ:
            return ["xz", "-q", "-T0", "-6", "--keep", "--force", raw]
        case Format.QCOW2:
            return [*qemu_img, "-c", "-o", "compression_type=zstd", raw, target]
        case Format.ISO:
            return ["cp", "--sparse=always", "--reflink=auto", raw, target]
        case Format.VHDX:
            return [*qemu_img, "-o", "subformat=dynamic", raw, target]
        case Format.VMDK:
            return [*qemu_img, "-o", "subformat=monolithicSparse", raw, target]
