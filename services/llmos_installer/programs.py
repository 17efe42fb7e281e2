"""The one gate through which the installer starts other programs."""

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from llmos_installer.errors import InstallerError

TICK_SECONDS: Final = 0.25
TAIL_LINES: Final = 12
DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL", "--")
"""systemd-repart must not finish a disk that nobody would compare any more."""


class ProgramFailed(InstallerError):
    """A program ended badly; ``what`` has the end of its output."""


def nothing() -> None:
    """Do nothing: what happens at each tick where nobody looks on."""


class Programs(Protocol):
    """Runs a program to its end and returns what it printed on standard output."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        tick: Callable[[], None] = nothing,
        seconds: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run ``argv``; ``tick`` is called all the while, and ends it by raising.

        Raises:
            ProgramFailed: it is missing, ended with another status than 0, or took longer than
                ``seconds``.
        """
        ...


class HostPrograms:
    """The programs of the running system."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        tick: Callable[[], None] = nothing,
        seconds: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run ``argv`` with its output in unnamed files: no pipe can fill up and block it."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = subprocess.Popen(
                    [*DIES_WITH_US, *(os.fspath(part) for part in argv)],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env={**os.environ, "SYSTEMD_COLORS": "0", **(env or {})},
                    # Ctrl-C reaches it through us, once.
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ProgramFailed(f"{argv[0]}: {error.strerror}") from None
            try:
                _watch(process, argv, tick, seconds)
            finally:
                _end(process)
            out.seek(0)
            err.seek(0)
            said = err.read().decode("utf-8", "replace")
            if process.returncode:
                raise ProgramFailed(
                    f"{Path(argv[0]).name} ended with status {process.returncode}:\n{tail(said)}"
                )
            return out.read().decode("utf-8", "replace")


def tail(said: str) -> str:
    """The last lines of a program's output, indented; a line that was drawn over counts once."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in said.split("\n") if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


def _watch(
    process: subprocess.Popen[bytes],
    argv: Sequence[str | Path],
    tick: Callable[[], None],
    seconds: float | None,
) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            process.wait(TICK_SECONDS)
        except subprocess.TimeoutExpired:
            tick()
            if deadline is not None and time.monotonic() > deadline:
                words = shlex.join(map(str, argv[:1]))
                raise ProgramFailed(f"{words} did not end within {seconds:.0f} s") from None
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and whatever it started."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
