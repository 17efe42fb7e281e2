"""Where a build works: in memory when there is plenty, else in the cache folder.

mkosi copies the whole tree of the image three times; in memory that is twice as fast, and a disk
that has to write it all back does not slow the steps after it.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from llmos_image.cache import remove_tree
from llmos_image.errors import UserError

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, that nobody else may write to
_MIB = 2**20
# What the programs of a build and the rest of the machine need beside it.
_REST_BYTES = 4000 * _MIB


@contextlib.contextmanager
def workspace(cache_root: Path, need: int | None = None) -> Iterator[Path]:
    """A folder for one build, and the end of those whose builds died without a word.

    It lies in ``$LLMOS_WORK`` if that is set.

    Args:
        cache_root: the cache folder.
        need: bytes that it will hold at most; without it, it is not made in memory.

    Raises:
        UserError: there is no place that can be written to.
    """
    in_memory, in_cache = MEMORY / f"llmos-{os.getuid()}", cache_root / "work"
    for folder in (in_memory, in_cache):
        _sweep(folder)
    if given := os.environ.get("LLMOS_WORK"):
        candidates = [Path(given).absolute()]
    elif need is not None and _fits_in_memory(need):
        candidates = [in_memory, in_cache]
    else:
        candidates = [in_cache]
    work, lock = _made(candidates)
    with lock:
        try:
            yield work
        finally:
            remove_tree(work)


def _fits_in_memory(need: int) -> bool:
    try:
        there = os.statvfs(MEMORY)
        meminfo = Path("/proc/meminfo").read_text("ascii")
    except OSError:
        return False
    facts = dict(line.split(":", 1) for line in meminfo.splitlines())
    available = int(facts.get("MemAvailable", "0 kB").split()[0]) * 1024
    runs_programs = not there.f_flag & os.ST_NOEXEC
    room = there.f_bavail * there.f_frsize
    return runs_programs and room >= need and available >= need + _REST_BYTES


def _made(candidates: Iterable[Path]) -> tuple[Path, IO[str]]:
    """A new folder in the first of ``candidates`` that is ours, and the open lock in it."""
    fault = ""
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Memory is for everybody: a folder that somebody else has put there is not ours.
            if not _is_ours(folder):
                fault = fault or f"{folder}: it belongs to somebody else"
                continue
            with _alone_in(folder):
                work = Path(tempfile.mkdtemp(dir=folder))
                work.chmod(0o755)
                lock = (work / "lock").open("w")
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            fault = fault or f"{folder}: {error.strerror}"
        else:
            return work, lock
    raise UserError(fault, hint="LLMOS_WORK and LLMOS_CACHE name other places.")


def _sweep(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if _is_ours(folder):
            with _alone_in(folder):
                for old in folder.iterdir():
                    if _is_dead(old):
                        remove_tree(old)


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and folder.lstat().st_uid == os.getuid() and not folder.is_symlink()


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else makes or removes a build's folder: one without its lock would look dead."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_dead(work: Path) -> bool:
    try:
        with (work / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
