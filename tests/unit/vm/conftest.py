"""A toolbox whose QEMU is a few lines of shell, for what happens around QEMU."""

import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

_OVMF = ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd")


class ScriptedToolbox:
    """Programs are shell scripts in a folder; the rest of the tree is empty firmware."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in _OVMF:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"firmware")
        self.program("qemu-img", "exit 0")

    def program(self, name: str, script: str) -> None:
        """Make ``name`` run ``script``."""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def argv(
        self,
        command: Sequence[str],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
    ) -> list[str]:
        """Run ``command`` with the scripts first in the path."""
        return ["env", f"PATH={self.bin}:/usr/bin:/bin", *command]

    def path(self, inside: str) -> Path:
        """Where ``inside`` lies on this host."""
        return self.root / inside.lstrip("/")


@pytest.fixture
def toolbox(tmp_path: Path) -> ScriptedToolbox:
    root = tmp_path / "toolbox"
    root.mkdir()
    return ScriptedToolbox(root)


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected ends: ours and the one that plays the machine."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs
