"""Where QEMU, its firmware and its disk tools come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Toolbox(Protocol):
    """A tree of programs, and a way to run one of them. Equal trees have equal hashes."""

    def __hash__(self) -> int: ...

    def argv(
        self,
        command: Sequence[str],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
    ) -> list[str]:
        """What to execute on this host so that ``command`` runs with the tree's programs.

        The program sees ``binds`` (writable) and ``ro_binds`` at the same paths as here; these
        may be directories, files and device nodes. It must inherit open file descriptors and
        the environment, and be executed in place, not forked: its death is watched.
        """
        ...

    def path(self, inside: str) -> Path:
        """Where the tree's file ``inside`` (an absolute path) lies on this host."""
        ...


class HostToolbox:
    """The programs of this host, as they are installed."""

    def argv(
        self,
        command: Sequence[str],
        *,
        binds: Sequence[Path] = (),
        ro_binds: Sequence[Path] = (),
    ) -> list[str]:
        """``command`` itself: on the host every path is already where it is."""
        del binds, ro_binds
        return list(command)

    def path(self, inside: str) -> Path:
        """``inside`` itself."""
        return Path(inside)
