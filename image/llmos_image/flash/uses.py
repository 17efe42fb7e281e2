"""What a disk is used for: by itself, by its partitions, and by whatever is built upon them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_SYSTEM = frozenset({"/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/sysroot"})


@dataclass(frozen=True)
class Use:
    """One use, and the way to it: ``sda3 → dm-0 (luks-root) → mounted on /``."""

    way: Sequence[str]
    what: str
    is_systems: bool

    def __str__(self) -> str:
        """For a person."""
        return " → ".join([*self.way, self.what])


# By the kernel's name of a block device: what it is used for, and whether by the running system.
Occupancy = Mapping[str, Sequence[tuple[str, bool]]]


def occupancy(sys: Path, proc: Path, dev: Path) -> Occupancy:
    """What uses a block device directly: mounts, swap, multi-device file systems, loops."""
    names = _names(sys)
    found: dict[str, list[tuple[str, bool]]] = {}
    for name, use in (
        *_mounts(proc, dev, names),
        *_swaps(proc, dev),
        *_btrfs(sys),
        *_loops(sys, dev),
    ):
        if use not in (uses := found.setdefault(name, [])):
            uses.append(use)
    return found


def uses_of(folder: Path, sys: Path, table: Occupancy) -> Iterator[Use]:
    """What the disk ``folder`` (of ``/sys/block``), its partitions and their holders do."""
    for device in (folder, *sorted(p.parent for p in folder.glob(f"{folder.name}*/partition"))):
        for what, is_systems in table.get(device.name, ()):
            yield Use((_title(device),), what, is_systems)
        holders = device / "holders"
        for holder in sorted(holders.iterdir()) if holders.is_dir() else ():
            above = list(uses_of(sys / "block" / holder.name, sys, table))
            if not above:
                # Open, though nothing is mounted: its owner may write at any moment.
                yield Use((_title(device), _title(sys / "block" / holder.name)), "in use", False)
            for use in above:
                yield replace(use, way=(_title(device), *use.way))


def _title(device: Path) -> str:
    """Its name, and what its maker calls it: ``dm-0 (luks-root)``, ``md0 (raid1)``."""
    for place in ("dm/name", "md/level"):
        try:
            return f"{device.name} ({(device / place).read_text().strip()})"
        except OSError:
            continue
    return device.name


def _names(sys: Path) -> Mapping[str, str]:
    """The kernel's names of block devices by their MAJOR:MINOR."""
    block = sys / "block"
    files = [*block.glob("*/dev"), *(p.with_name("dev") for p in block.glob("*/*/partition"))]
    return {path.read_text().strip(): path.parent.name for path in files if path.exists()}


def _mounts(
    proc: Path, dev: Path, names: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, bool]]]:
    """From mountinfo (proc_pid_mountinfo(5)): of this process, and of the machine's first one.

    They differ in a container or under sudo with namespaces of its own.
    """
    for path in (proc / "self/mountinfo", proc / "1/mountinfo"):
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            before, _, after = line.partition(" - ")
            number, place = before.split()[2], _unescaped(before.split()[4])
            source = _unescaped(after.split()[1])
            # Some file systems (btrfs) mount under a number that no device has.
            name = names.get(number) or _name_at(source, dev)
            if name:
                yield name, (f"mounted on {place}", place in _SYSTEM)


def _swaps(proc: Path, dev: Path) -> Iterator[tuple[str, tuple[str, bool]]]:
    try:
        lines = (proc / "swaps").read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        if name := _name_at(_unescaped(line.split()[0]), dev):
            yield name, ("swap", True)


def _btrfs(sys: Path) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Mountinfo names only one of the devices of a mounted file system."""
    for device in (sys / "fs/btrfs").glob("*/devices/*"):
        yield device.name, ("part of a mounted btrfs", False)


def _loops(sys: Path, dev: Path) -> Iterator[tuple[str, tuple[str, bool]]]:
    """A loop upon a disk does not hold it: the kernel would let us write under it."""
    for path in (sys / "block").glob("loop*/loop/backing_file"):
        if name := _name_at(path.read_text().strip(), dev):
            yield name, (f"in use by {path.parent.parent.name}", False)


def _name_at(source: str, dev: Path) -> str | None:
    """The kernel's name of the device behind a path such as ``/dev/mapper/root``."""
    if not source.startswith("/dev/"):
        return None
    node = (dev / source.removeprefix("/dev/")).resolve()
    # Relative to dev and not the last part: cciss/c0d0 is cciss!c0d0.
    if not node.is_relative_to(dev.resolve()):
        return None
    return node.relative_to(dev.resolve()).as_posix().replace("/", "!")


def _unescaped(text: str) -> str:
    r"""The kernel writes blanks and backslashes as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
