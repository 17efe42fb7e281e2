"""The guest's disk: an overlay that reads as the artifact and takes the writes itself."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from llmos_image import run
from llmos_image.errors import UserError
from llmos_image.vm.toolbox import Toolbox

_SCRATCH = "llmos-vm-"
_YOUNG_SECONDS = 60.0
ROOMY = "16G"
"""As large a disk as an image is likely to want: it makes its partitions at first boot."""
_UNITS = {"M": 1024**2, "G": 1024**3, "T": 1024**4}


class DiskFormat(StrEnum):
    """How an artifact's bytes are laid out."""

    RAW = "raw"
    QCOW2 = "qcow2"

    @classmethod
    def of(cls, artifact: Path) -> "DiskFormat":
        """By the file's suffix; what has none of its own is a raw disk.

        Raises:
            UserError: the file is not there, or is compressed.
        """
        if not artifact.is_file():
            raise UserError(f"{artifact}: no such disk image", hint="Build one: ./build.sh")
        if artifact.suffix in {".zst", ".xz", ".gz"}:
            raise UserError(f"{artifact}: is compressed", hint="Decompress it first.")
        return cls.QCOW2 if artifact.suffix == ".qcow2" else cls.RAW


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a machine's disk and variables, gone afterwards.

    Not in /tmp by default: that is memory on many systems, and a guest may write much. Folders
    whose drivers were killed are removed by the next one: the kernel has dropped their locks.
    """
    where = Path(os.environ.get("TMPDIR", "/var/tmp"))  # noqa: S108  # made for large files
    for old in where.glob(f"{_SCRATCH}*"):
        _remove_if_abandoned(old)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=where) as name:
        folder = Path(name)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


def _remove_if_abandoned(folder: Path) -> None:
    try:
        # A folder this young may not have got its lock yet.
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # in use, somebody else's, or gone already


def make_overlay(artifact: Path, folder: Path, toolbox: Toolbox, *, size: str = ROOMY) -> Path:
    """Make a disk over ``artifact`` in ``folder``; the artifact itself is only ever read.

    The disk is as large as ``size`` (a number and M, G or T), or as the artifact when that is
    larger.

    Raises:
        UserError: ``size`` is not a size.
    """
    disk_format = DiskFormat.of(artifact)
    overlay = folder / "disk.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2"]
    command += ["-b", str(artifact), "-F", disk_format, str(overlay)]
    command += [str(max(_bytes_of(size), _virtual_size(artifact, disk_format)))]
    run.output(toolbox.argv(command, binds=[folder], ro_binds=[artifact]))
    return overlay


def _bytes_of(size: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]*)([MGT])", size)
    if match is None:
        raise UserError(f"disk: {size!r} is not a size (a number and M, G or T, such as {ROOMY})")
    return int(match[1]) * _UNITS[match[2]]


def _virtual_size(artifact: Path, disk_format: DiskFormat) -> int:
    """How large a disk the guest sees."""
    if disk_format is DiskFormat.RAW:
        return artifact.stat().st_size
    with artifact.open("rb") as file:
        # The size field of qcow2's header, docs/interop/qcow2.txt of QEMU.
        file.seek(24)
        return int.from_bytes(file.read(8), "big")


def medium_arguments(
    artifact: Path, folder: Path, toolbox: Toolbox, *, size: str = ROOMY, usb: bool = False
) -> list[str]:
    """QEMU's options for what the machine starts from: a disk over ``artifact``, or a CD of it.

    An ISO goes into a CD drive, which nobody writes to. With ``usb`` the disk is a USB stick.

    Raises:
        UserError: the artifact is no disk, or ``size`` is not a size.
    """
    if artifact.suffix == ".iso":
        DiskFormat.of(artifact)
        medium = f"if=none,id=cd,media=cdrom,format=raw,readonly=on,file={quoted(artifact)}"
        # Paravirtual, as an emulated SATA drive takes minutes more; to the guest both are sr0.
        drive = ["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-cd,drive=cd,bootindex=0"]
        return ["-drive", medium, *drive]
    return disk_arguments(make_overlay(artifact, folder, toolbox, size=size), usb=usb)


def disk_arguments(overlay: Path, *, usb: bool = False) -> list[str]:
    """QEMU's options for the disk. It is thrown away, hence no flushing."""
    stick = ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk,removable=on,bootindex=0"]
    return [
        *("-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,file={quoted(overlay)}"),
        *(stick if usb else ("-device", "virtio-blk-pci,drive=disk,bootindex=0")),
    ]


def make_empty(path: Path, size: str, toolbox: Toolbox) -> Path:
    """Make an empty disk of ``size`` at ``path``, which ends in ``.qcow2``: it grows as it fills.

    Raises:
        UserError: ``size`` is not a size.
    """
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(_bytes_of(size))]
    run.output(toolbox.argv(command, binds=[path.parent]))
    return path


def further_disk_arguments(disks: Sequence[Path]) -> list[str]:
    """QEMU's options for disks beside the first, which the guest really writes to."""
    return [
        part
        for index, disk in enumerate(disks, start=1)
        for part in (
            "-drive",
            f"if=none,id=disk{index},format={DiskFormat.of(disk)},cache=unsafe,file={quoted(disk)}",
            "-device",
            f"virtio-blk-pci,drive=disk{index},serial=disk-{index}",
        )
    ]


def quoted(path: Path) -> str:
    """``path`` as a value in a list of QEMU options, where a comma ends a value."""
    return str(path).replace(",", ",,")
