"""Work that need not be done twice: folders keyed by what went into them.

    ROOT/<kind>/<key>/content/…    the work itself
    ROOT/<kind>/<key>/entry.json   what it is, for a person
    ROOT/<kind>/.partial-<key>/    being made; never used by anyone

An entry appears by one rename when it is whole. A lock for each entry makes two builds wait
for each other instead of working twice; the kernel drops it when its holder dies.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmos_image.errors import BuildFailed


def default_root() -> Path:
    """``$LLMOS_CACHE``, else ``llmos`` in the person's cache folder."""
    if given := os.environ.get("LLMOS_CACHE"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmos"


def key_of(parts: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for ``parts``."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of_tree(folder: Path) -> str:
    """SHA-256 of all that is below ``folder``: names, what runs, links, contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            facts, content = "link", os.fsencode(path.readlink())
        elif path.is_dir():
            facts, content = "folder", b""
        else:
            facts = "program" if os.access(path, os.X_OK) else "file"
            content = path.read_bytes()
        name = str(path.relative_to(folder))
        digest.update(json.dumps([name, facts, len(content)]).encode() + content)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Entry:
    """One finished piece of work."""

    kind: str
    key: str
    path: Path
    what: str
    made: float

    @property
    def content(self) -> Path:
        """The folder with the work."""
        return self.path / "content"

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.lstat().st_blocks * 512 for file in self.path.rglob("*"))


class Cache:
    """All entries below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(
        self, kind: str, parts: Mapping[str, Any], *, what: str, make: Callable[[Path], None]
    ) -> Entry:
        """The entry of ``parts``; ``make`` fills its folder when there is none yet.

        Raises:
            BuildFailed: ``make`` failed, or the disk is full; nothing is left behind.
        """
        key = key_of(parts)
        with self.locked(kind, key):
            if (found := self._read(self.root / kind / key)) is not None:
                return found
            partial = self.root / kind / f".partial-{key}"
            remove_tree(partial)
            try:
                (partial / "content").mkdir(parents=True)
                make(partial / "content")
                facts = {"what": what, "made": time.time(), "parts": parts}
                (partial / "entry.json").write_text(json.dumps(facts, indent=1, default=str))
                partial.rename(self.root / kind / key)
            except OSError as error:
                remove_tree(partial)
                raise BuildFailed(f"{what}: {error}", hint=self._space_hint()) from error
            except BaseException:
                remove_tree(partial)
                raise
        entry = self._read(self.root / kind / key)
        if entry is None:
            raise BuildFailed(f"{what}: its cache entry vanished while it was made")
        return entry

    def scratch(self, kind: str, parts: Mapping[str, Any]) -> Path:
        """A folder that a tool fills by itself (a download cache), kept under ``parts``."""
        path = self.root / kind / key_of(parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def entries(self) -> Iterator[Entry]:
        """All finished entries, oldest first."""
        found = [self._read(path) for path in self.root.glob("[!.]*/[!.]*") if path.is_dir()]
        yield from sorted(filter(None, found), key=lambda entry: entry.made)

    def clean(self, kinds: frozenset[str] | None = None) -> int:
        """Remove entries and half-made leftovers; all kinds when None. Returns bytes freed."""
        freed = 0
        for folder in self.root.glob("*"):
            if folder.is_dir() and (kinds is None or folder.name in kinds):
                freed += sum(f.lstat().st_blocks * 512 for f in folder.rglob("*"))
                remove_tree(folder)
        return freed

    @contextlib.contextmanager
    def locked(self, kind: str, key: str) -> Iterator[None]:
        """Only one process at a time is in the block for this kind and key."""
        locks = self.root / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildFailed(
                f"{self.root}: {error.strerror}",
                hint="Set LLMOS_CACHE to a folder that can be written.",
            ) from None
        with (locks / f"{kind}-{key}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _space_hint(self) -> str:
        free = shutil.disk_usage(self.root).free // 1024**2
        return f"{free} MiB are free at {self.root}; LLMOS_CACHE names another place."

    @staticmethod
    def _read(path: Path) -> Entry | None:
        try:
            facts = json.loads((path / "entry.json").read_text())
        except (OSError, ValueError):
            return None
        return Entry(path.parent.name, path.name, path, facts["what"], facts["made"])


def remove_tree(path: Path) -> None:
    """Remove ``path`` with all below it, also what belongs to subordinate user ids."""
    if not path.exists():
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists() and os.geteuid() != 0:
        # An unprivileged build leaves files of its mapped users: only a namespace with the
        # same map may remove them.
        subprocess.run(
            ["unshare", "--map-auto", "--map-root-user", "rm", "-rf", "--", path],
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=sys.stderr,
        )
