"""The files inside an image's root, read without mounting it."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmos_image.cache import remove_tree
from llmos_image.gpt import ROOT, Partition, partitions
from llmos_image.run import output
from llmos_image.vm.toolbox import Toolbox

_EROFS_MAGIC_AT = 1024
_EROFS_MAGIC = bytes.fromhex("e2e1f5e0")


@dataclass(frozen=True)
class FileState:
    """What a comparison sees of one file."""

    kind: str
    """``file``, ``folder``, ``link`` or ``special``."""
    mode: int
    size: int
    content: str
    """SHA-256 of a file, target of a link, else nothing."""


def files_of(disk: Path, tools: Toolbox) -> Mapping[str, FileState] | None:
    """Every file of the root of ``disk`` by its path; None when that is not an erofs.

    Raises:
        BuildFailed: the disk has no partition table, or its root is damaged.
    """
    root = next((part for part in partitions(disk) if part.type == ROOT), None)
    if root is None or not _is_erofs(disk, root):
        return None
    # Not in /tmp, which is memory on many systems: a root may be large.
    scratch = Path(tempfile.mkdtemp(prefix="llmos-root-", dir=os.environ.get("TMPDIR", "/var/tmp")))  # noqa: S108
    try:
        target = scratch / "root"
        argv = ["fsck.erofs", f"--offset={root.start}", f"--extract={target}"]
        argv += ["--preserve-perms", "--no-preserve-owner", str(disk)]
        output(tools.argv(argv, binds=[scratch], ro_binds=[disk]))
        return dict(_states(target))
    finally:
        remove_tree(scratch)


def _is_erofs(disk: Path, root: Partition) -> bool:
    with disk.open("rb") as file:
        file.seek(root.start + _EROFS_MAGIC_AT)
        return file.read(4) == _EROFS_MAGIC


def _states(top: Path) -> Iterator[tuple[str, FileState]]:
    for folder, folders, names in os.walk(top):
        for name in sorted([*folders, *names]):
            path = Path(folder) / name
            yield f"/{path.relative_to(top)}", _state(path)


def _state(path: Path) -> FileState:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return FileState("link", mode, 0, str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return FileState("folder", mode, 0, "")
    if not stat.S_ISREG(status.st_mode):
        return FileState("special", mode, 0, "")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileState("file", mode, status.st_size, digest)
