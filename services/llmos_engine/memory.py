"""How much memory there is for another model.

What may be taken is the least of what the machine has (``MemAvailable``, proc_meminfo(5)) and of
what the control groups above this process allow (``memory.max`` and ``memory.high``, the kernel's
Documentation/admin-guide/cgroup-v2.rst). Both count the pages of files as free: a model's weights
are pages of its file, so whoever asks takes off what loaded models have.
"""

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESERVE: Final = 64 * 1024 * 1024
"""Bytes that are left to everything else."""


@dataclass(frozen=True)
class Machine:
    """Where the kernel tells it; other folders are for tests."""

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")

    def available(self) -> int:
        """Bytes that a new model may take, those of idle ones not counted; never negative."""
        return max(0, min([self._of_machine(), *self._of_groups()]) - RESERVE)

    def _of_machine(self) -> int:
        for line in (self.proc / "meminfo").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
        raise ValueError(f"{self.proc / 'meminfo'} has no MemAvailable")

    def _of_groups(self) -> Iterator[int]:
        """What each limit of a group above this process leaves."""
        for folder in self._groups():
            limits = [limit for name in ("max", "high") if (limit := _limit(folder, name))]
            if not limits:
                continue
            used = int((folder / "memory.current").read_text("ascii"))
            stat = (folder / "memory.stat").read_text("ascii").splitlines()
            facts = dict(line.split() for line in stat)
            # Given back before anything is ended; what is mapped and used is not among them.
            spare = sum(int(facts.get(name, 0)) for name in ("inactive_file", "active_file"))
            yield min(limits) - (used - spare)

    def _groups(self) -> Iterator[Path]:
        try:
            lines = (self.proc / "self/cgroup").read_text("utf-8").splitlines()
        except OSError:
            return
        own = next((line[3:] for line in lines if line.startswith("0::")), "/")
        folder = self.cgroups / own.lstrip("/")
        while folder != self.cgroups and folder.is_relative_to(self.cgroups):
            yield folder
            folder = folder.parent


def _limit(folder: Path, name: str) -> int | None:
    try:
        value = (folder / f"memory.{name}").read_text("ascii").strip()
    except OSError:
        return None
    return None if value == "max" else int(value)


def human(size: int) -> str:
    """A number of bytes for a person."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def resident_bytes() -> int:
    """What this process has in memory (VmRSS, proc_pid_status(5))."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()
