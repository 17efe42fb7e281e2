"""The one gate through which the builder starts other programs."""

import collections
import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from llmos_image.diagnosis import diagnose
from llmos_image.errors import BuildFailed

_TAIL_LINES = 400
# mkosi takes a few seconds to leave its namespaces and remove its workspace after Ctrl-C.
_GRACE_SECONDS = 30.0


@dataclass
class Log:
    """A file that keeps all that programs print, and a watcher that sees each line."""

    path: Path
    on_line: Callable[[str], None] = lambda _line: None
    tail: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_TAIL_LINES)
    )

    def writer(self) -> IO[bytes]:
        """The file, open for appending."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.open("ab", buffering=0)


def run(
    argv: Sequence[str | Path],
    *,
    log: Log,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run ``argv`` to its end, with everything it prints in ``log``.

    Raises:
        BuildFailed: it ended with another status than 0; holds the last lines that matter,
            and what to do where the cause is known.
    """
    with log.writer() as file:
        file.write(f"$ {shlex.join(map(str, argv))}\n".encode())
        with _child(argv, env=env, cwd=cwd, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None  # noqa: S101  # asked for by _child
            for raw in process.stdout:
                file.write(raw)
                line = raw.decode("utf-8", "replace").rstrip()
                log.tail.append(line)
                log.on_line(line)
            status = process.wait()
    if status:
        name = Path(argv[0]).name
        lines = "\n".join(f"  {line}" for line in telling(log.tail))
        raise BuildFailed(
            f"{name} ended with status {status}:\n{lines}", log=log.path, hint=diagnose(log.tail)
        )


def output(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """What ``argv`` prints on standard output.

    Raises:
        BuildFailed: it ended with another status than 0; holds its standard error.
    """
    with _child(argv, env=env, cwd=None, stderr=subprocess.PIPE) as process:
        out, err = process.communicate()
    if process.returncode:
        said = err.decode("utf-8", "replace").strip()
        raise BuildFailed(f"{shlex.join(map(str, argv))} ended with {process.returncode}:\n{said}")
    return str(out.decode("utf-8", "replace"))


@contextlib.contextmanager
def filtered(argv: Sequence[str | Path], source: IO[bytes]) -> Iterator[IO[bytes]]:
    """What ``argv`` makes of ``source``, to be read in the block.

    Raises:
        BuildFailed: at the end of a block that ended well: it ended with another status than 0;
            holds its standard error. A block that is left early ends the program.
    """
    with (
        tempfile.TemporaryFile() as said,
        _child(argv, env=None, cwd=None, stdin=source, stderr=said) as process,
    ):
        assert process.stdout is not None  # noqa: S101  # asked for by _child
        yield process.stdout
        if process.wait():
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip()
            name = Path(argv[0]).name
            raise BuildFailed(f"{name} ended with status {process.returncode}: {words}")


def telling(lines: Sequence[str] | collections.deque[str], most: int = 12) -> list[str]:
    """The lines of a failed program's output that say why, at most ``most``.

    The first line that looks like an error and those after it; else simply the last ones.
    """
    kept = [line for line in lines if line.strip()]
    for at, line in enumerate(kept):
        low = line.lower()
        if low.startswith(("e: ", "error:", "‣ error")) or " error: " in low or "no space" in low:
            return kept[at : at + most]
    return kept[-most:]


@contextlib.contextmanager
def _child(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stderr: int | IO[bytes],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own, which is gone when the block ends."""
    try:
        process = subprocess.Popen(
            [os.fspath(part) for part in argv],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            # Ctrl-C must reach it once, from us, and its grandchildren with it.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise BuildFailed(
            f"{argv[0]}: no such program", hint="Install it, or run ./build.sh."
        ) from None
    with process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and whatever it started."""
    if process.poll() is not None:
        return
    for number, patience in (
        (signal.SIGINT, _GRACE_SECONDS),
        (signal.SIGTERM, 5.0),
        (signal.SIGKILL, 5.0),
    ):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.stdout is not None:
                process.stdout.close()
            process.wait(patience)
            break
    # Its children may ignore what it obeyed: a shell's background jobs ignore SIGINT.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
