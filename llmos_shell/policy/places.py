"""Places on the disk where a change is worse than a change to one's own files."""

import posixpath
from dataclasses import dataclass
from enum import Enum
from typing import Final

from llmos_shell.policy.risk import Risk
from llmos_shell.policy.syntax import Word

SINKS: Final = frozenset(
    {"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero", "/dev/full"}
)
"""Devices that swallow or show what is written to them."""

SYSTEM: Final = (
    "/bin", "/boot", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/root",
    "/run", "/sbin", "/srv", "/sys", "/usr", "/var",
)  # fmt: skip

ROOTS: Final = frozenset({"/", "/home", *SYSTEM})
"""Whole trees: to change one of these is to lose the machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path that makes a change worse, and why."""

    risk: Risk
    because: str


class Changed(Enum):
    """Which words of a command name what it changes."""

    NONE = ""
    ALL = "all"
    LAST = "last"
    """Its last word is where it writes to (`cp`); the others it only reads."""
    MOVED = "moved"
    """Its last word is where it writes to, and the others go away (`mv`)."""

    @property
    def looks(self) -> bool:
        """Whether there is anything to look at."""
        return self is not Changed.NONE


def of(path: str, cwd: str, home: str, *, into: bool = False) -> Place | None:
    """Judge a change of ``path``, as written in a session in ``cwd``; None if it is ordinary.

    ``into`` says that a folder is only written into, not changed as a whole.
    """
    whole = posixpath.normpath(posixpath.join(cwd, _expanded(path.rstrip("*") or path, home)))
    whole = "/" + whole.lstrip("/")
    if whole in SINKS:
        return None
    if whole == "/dev" or whole.startswith("/dev/"):
        return Place(Risk.DESTRUCTIVE, f"{path} is a device")
    if into and whole in ROOTS:
        return Place(Risk.CHANGES_SYSTEM, f"{path} belongs to the system")
    if into and whole == posixpath.normpath(home):
        return None
    if whole in ROOTS:
        return Place(Risk.DESTRUCTIVE, f"{whole} is a whole tree of the system")
    if whole == posixpath.normpath(home):
        return Place(Risk.DESTRUCTIVE, f"{path} is a whole home folder")
    if any(whole.startswith(f"{top}/") for top in SYSTEM) and not _below(whole, home):
        return Place(Risk.CHANGES_SYSTEM, f"{path} belongs to the system")
    return None


def worst(changed: Changed, words: tuple[Word, ...], cwd: str, home: str) -> Place | None:
    """Return the worst of the places that the words of a command change."""
    paths = [path for word in words for path in _paths(word)]
    last = paths[-1:] if changed in {Changed.LAST, Changed.MOVED} else []
    whole = [] if changed is Changed.LAST else paths[: len(paths) - len(last)]
    found = [of(path, cwd, home) for path in whole]
    found += [of(path, cwd, home, into=True) for path in last]
    return max(filter(None, found), key=lambda place: place.risk.severity, default=None)


def named(changed: Changed, words: tuple[Word, ...]) -> tuple[str, ...]:
    """Return the words that name what a command changes, as they are written."""
    plain = tuple(word.known for word in words if not word.known.startswith("-"))
    match changed:
        case Changed.NONE:
            return ()
        case Changed.LAST:
            return plain[-1:]
        case _:
            return plain


def _paths(word: Word) -> tuple[str, ...]:
    """Return what of a word could be a path: itself, or the value of `--option=value`."""
    text = word.known.strip('"')
    if text.startswith("-"):
        return (text.split("=", 1)[1],) if "=" in text else ()
    return (text, text.split("=", 1)[1]) if "=" in text else (text,)


def _expanded(path: str, home: str) -> str:
    for prefix in ("~", "$HOME", "${HOME}"):
        if path == prefix or path.startswith(prefix + "/"):
            return home + path[len(prefix) :]
    return path


def _below(path: str, home: str) -> bool:
    """Whether a path is inside the home folder, wherever that is (/root, /var/lib/…)."""
    home = posixpath.normpath(home)
    return home != "/" and path.startswith(home + "/")
