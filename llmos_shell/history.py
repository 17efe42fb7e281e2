"""Earlier lines: kept in a file where there is one to write, in memory always."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MAX_LINES: Final = 2_000


def history_file(env: Mapping[str, str]) -> Path:
    """Return where the history of this account is kept."""
    state = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME") or "/", ".local", "state"))
    return Path(state, "llmos", "history")


class History:
    """Walks through earlier lines, newest first, as the arrow keys do.

    A line that begins with a space is not kept, as in bash. A disk that cannot be read or
    written is no reason to bother anybody: the lines of this session are there all the same.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lines = _read(path) if path is not None else []
        self._position = len(self._lines)
        self._draft = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """All the lines, oldest first."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Remember a line that was entered."""
        kept = line.strip()
        if kept and not line.startswith(" ") and (not self._lines or self._lines[-1] != kept):
            self._lines.append(kept)
            del self._lines[:-MAX_LINES]
            self._write(kept)
        self._position = len(self._lines)
        self._draft = ""

    def older(self, draft: str) -> str | None:
        """Return the line before; ``draft`` is what stands at the prompt now."""
        if self._position == len(self._lines):
            self._draft = draft
        return self._step(-1)

    def newer(self) -> str | None:
        """Return the line after; behind the last one comes the draft again."""
        return self._step(+1)

    def _step(self, by: int) -> str | None:
        position = self._position + by
        if not 0 <= position <= len(self._lines):
            return None
        self._position = position
        return self._draft if position == len(self._lines) else self._lines[position]

    def _write(self, line: str) -> None:
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as file:
                file.write(line.replace("\n", " ") + "\n")


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.strip()][-MAX_LINES:]
    if len(text) > 4 * MAX_LINES * 80:  # grown over many sessions: keep what is still used
        with contextlib.suppress(OSError):
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines
