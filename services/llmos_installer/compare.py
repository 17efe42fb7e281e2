"""Reads back what was written."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llmos_installer.errors import InstallerError

CHUNK: Final = 4 * 1024**2
_FLUSH: Final = 0x1261  # BLKFLSBUF, linux/fs.h


def compare(source: Path, disk: int, offset: int, told: Callable[[int], None]) -> None:
    """Compare all of ``source`` with what the open ``disk`` holds from ``offset`` on.

    ``told`` hears how many bytes have been compared.

    Raises:
        InstallerError: they differ, or one of them cannot be read.
    """
    # From the disk itself, not from the kernel's memory of what was written.
    os.fsync(disk)
    with contextlib.suppress(OSError):
        fcntl.ioctl(disk, _FLUSH)
    os.posix_fadvise(disk, 0, 0, os.POSIX_FADV_DONTNEED)
    done = 0
    try:
        with source.open("rb", buffering=0) as file:
            while piece := file.read(CHUNK):
                back = os.pread(disk, len(piece), offset + done)
                if back != piece:
                    place = offset + done + _first_difference(piece, back)
                    raise InstallerError(
                        f"the disk gives back something else than was written, at byte {place}",
                        hint="The disk is broken, or its cable. Use another one.",
                    )
                done += len(piece)
                told(done)
    except OSError as error:
        raise InstallerError(
            f"reading back failed after {done} bytes of {source}: {error.strerror}",
            hint="The stick or the disk is broken.",
        ) from None


def _first_difference(one: bytes, other: bytes) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
