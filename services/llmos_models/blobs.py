"""Looks whether blobs are still what they were, and puts those aside that are not."""

import contextlib
import hashlib
import os
from pathlib import Path

from llmos_models.disk import Disk
from llmos_models.meter import Advance
from llmos_models.partial import CHUNK
from llmos_models.store import Store


def is_sound(path: Path, sha256: str, size: int, advance: Advance) -> bool:
    """Read a file and compare; one that cannot be read is not sound."""
    digest = hashlib.sha256()
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb", buffering=0) as file:
            # What counts is what the disk has, not what the memory remembers of it; and the pages
            # of a model that nobody uses are not worth those that they would push out.
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while data := file.read(CHUNK):
                digest.update(data)
                advance(len(data))
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return False
    return digest.hexdigest() == sha256


def quarantine(store: Store, disk: Disk, blob: Path) -> Path:
    """Put a blob where no model uses it; return where it lies then."""
    target = store.quarantine / blob.name
    disk.move(blob, target)
    return target
