"""Where the kernel tells about the machine. Tests put trees of their own there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class World:
    """The roots of the trees that are read."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    run: Path = Path("/run")
    root: Path = Path("/")

    def command_line(self) -> tuple[str, ...]:
        """The words of the kernel's command line."""
        return tuple(read(self.proc / "cmdline").split())

    def mounts(self) -> Iterator[tuple[str, str]]:
        """``major:minor`` and mount point of everything that is mounted (proc(5))."""
        for line in read(self.proc / "self/mountinfo").splitlines():
            fields = line.split()
            if len(fields) > 4:
                yield fields[2], fields[4].replace("\\040", " ")


def read(path: Path) -> str:
    """The text of a small file of the kernel's; empty when there is none or it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def number(path: Path) -> int:
    """The number in a small file of the kernel's; 0 when there is none."""
    text = read(path)
    return int(text) if text.isdecimal() else 0


def names(folder: Path) -> tuple[str, ...]:
    """The names in a folder, sorted; none when it is not there."""
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        return ()
