"""Notices: what the machine has to say to whoever sits down at it.

Every ``/run/llmos/notices/NAME.txt`` is one line for the person, and the session shows it at
its start. Services that run as root write them; they are gone with the next boot.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

NOTICES: Final = Path("/run/llmos/notices")
LONGEST: Final = 300
"""Characters of a notice that are shown: it is one sentence, two at most."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def read_notices(folder: Path = NOTICES) -> tuple[str, ...]:
    """Return the notices in the order of their names; none where there is no folder."""
    with suppress(OSError):
        return tuple(_texts(folder))
    return ()


def write_notice(name: str, text: str, folder: Path = NOTICES) -> None:
    """Put the notice ``name`` there, or in the place of an earlier one, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # people read it, whatever the writer's umask
    partial = folder / f".{name}"
    partial.write_text(f"{_line(text)}\n", encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(folder / f"{name}.txt")


def remove_notice(name: str, folder: Path = NOTICES) -> None:
    """Take the notice ``name`` away; it may be gone already."""
    (folder / f"{name}.txt").unlink(missing_ok=True)


def _texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("[!.]*.txt")):
        with suppress(OSError):
            if text := _line(path.read_text(encoding="utf-8", errors="replace")):
                yield text


def _line(text: str) -> str:
    """One line without what a terminal would obey."""
    line = _CONTROLS.sub(" ", text).strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
