"""The one gate through which the store changes files: each call happens wholly or not at all.

What a call has done outlasts a power cut: files are on the disk before they get their names,
and a name is on the disk before the next call. Tests let it fail at any call.
"""

import os
import shutil
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".new"
"""How the names of files end that nobody has finished."""


class Disk:
    """Files as the store wants them: root's, and readable for everybody."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it; it may be there."""
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
            _sync(path.parent)

    def write(self, path: Path, data: bytes) -> None:
        """Put a file there, or in the place of the one that is there."""
        partial = path.with_name(f".{path.name}{TEMPORARY}")
        with partial.open("wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        self.move(partial, path)

    def link(self, path: Path, target: str) -> None:
        """Make ``path`` lead to ``target``, also when it leads elsewhere now."""
        partial = path.with_name(f".{path.name}{TEMPORARY}")
        partial.unlink(missing_ok=True)
        partial.symlink_to(target)
        self.move(partial, path)

    def move(self, path: Path, target: Path) -> None:
        """Rename; a file that is there goes. ``path`` is on the disk already."""
        path.replace(target)
        _sync(target.parent)
        if path.parent != target.parent:
            _sync(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or a folder with all that is in it; it may be gone."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        _sync(path.parent)

    def free(self, folder: Path) -> int:
        """How many bytes may still be written below ``folder``."""
        space = os.statvfs(folder)
        return space.f_bavail * space.f_frsize


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
