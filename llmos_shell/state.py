"""What lives on from one command to the next: folder, environment, functions, aliases."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from llmos_shell.lookup import Lookup

DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

COMFORTS: Final = {"ls": "ls --color=auto", "grep": "grep --color=auto"}
"""The aliases that Debian gives every interactive bash."""

FOR_BLOCKS: Final = {"PAGER": "cat", "MANPAGER": "cat", "GIT_PAGER": "cat", "SYSTEMD_PAGER": "cat"}
"""A pager would wait for keys in the middle of a block; the block itself scrolls."""


@dataclass(frozen=True, slots=True)
class ShellState:
    """The state between two commands.

    ``memory`` is bash text that brings back what is not exported; ``names`` are the
    functions and aliases in it that change what a word means.
    """

    cwd: Path
    env: Mapping[str, str]
    memory: bytes = b""
    names: frozenset[str] = frozenset()
    status: int = 0

    @classmethod
    def first(cls, env: Mapping[str, str]) -> "ShellState":
        """Make the state at the start of a session, from the environment it was given."""
        whole = {"PATH": DEFAULT_PATH, "HOME": "/", **env}
        memory = "".join(f"alias {name}='{text}'\n" for name, text in COMFORTS.items())
        return cls(_existing(_here()), whole, memory.encode())

    def after(self, report: bytes, status: int) -> "ShellState":
        """Return the state that a command left, from what the wrapper reports.

        An empty report (`exec`, a kill) leaves everything but the status as it was.
        """
        fields = report.split(b"\0", 3)
        if len(fields) != 4:
            return replace(self, status=status)
        cwd, names, memory, environment = fields
        pairs = (entry.decode(errors="surrogateescape").partition("=")
                 for entry in environment.split(b"\0") if b"=" in entry)  # fmt: skip
        env = {name: value for name, _, value in pairs if name not in {"_", "SHLVL"}}
        for name, value in FOR_BLOCKS.items():
            if env.get(name) == value:  # ours, not the person's
                env.pop(name)
                if name in self.env:
                    env[name] = self.env[name]
        for name in ("SHLVL",):
            if name in self.env:
                env[name] = self.env[name]
        kept = memory.splitlines()
        own = {n for n, text in COMFORTS.items() if f"alias {n}='{text}'".encode() in kept}
        listed = frozenset(names.decode(errors="replace").split("\n")) - own - {""}
        return ShellState(Path(os.fsdecode(cwd)), env, memory, listed, status)

    @property
    def home(self) -> str:
        """The home folder, as the environment names it."""
        return self.env.get("HOME") or "/"

    @property
    def lookup(self) -> Lookup:
        """What bash would find now."""
        return Lookup(self.cwd, self.env.get("PATH", DEFAULT_PATH), self.home, self.names)

    @property
    def place(self) -> str:
        """The folder as the prompt shows it."""
        home = self.home.rstrip("/")
        text = str(self.cwd)
        if home and (text == home or text.startswith(home + "/")):
            return "~" + text[len(home) :]
        return text

    def existing_cwd(self) -> Path:
        """The folder, or the nearest one above it that is still there."""
        return _existing(self.cwd)


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # removed under our feet
        return Path("/")


def _existing(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if os.access(candidate, os.X_OK):
            return candidate
    return Path("/")
