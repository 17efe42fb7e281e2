"""What bash would find: programs on PATH, builtins, names of the session, files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAMES: Final = (
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue "
    "declare dirs disown echo enable eval exec exit export false fc fg getopts hash help "
    "history jobs kill let local logout mapfile popd printf pushd pwd read readarray "
    "readonly return set shift shopt source suspend test times trap true type typeset "
    "ulimit umask unalias unset wait [[ time"
)
BUILTINS: Final = frozenset(_NAMES.split())


@dataclass(frozen=True, slots=True)
class Lookup:
    """Answers for one state of the session: its folder, PATH, home and own names."""

    cwd: Path
    path: str
    home: str
    names: frozenset[str] = frozenset()
    """Functions and aliases."""

    def is_program(self, name: str) -> bool:
        """Whether bash would run ``name``."""
        if name in BUILTINS or name in self.names:
            return True
        if "/" in name:
            return self._runs(self.cwd / self._expanded(name))
        return any(self._runs(self.cwd / folder / name) for folder in self.path.split(":"))

    def is_path(self, text: str) -> bool:
        """Whether ``text`` names something that exists."""
        try:
            return (self.cwd / self._expanded(text)).exists()
        except (OSError, ValueError):  # too long, no permission, a NUL
            return False

    def _expanded(self, text: str) -> str:
        return self.home + text[1:] if text == "~" or text.startswith("~/") else text

    @staticmethod
    def _runs(path: Path) -> bool:
        try:
            return os.access(path, os.X_OK) and path.is_file()
        except (OSError, ValueError):
            return False
