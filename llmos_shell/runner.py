"""Runs command lines: each in a bash of its own, on a pseudo terminal of its own."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_shell.errors import RunnerError
from llmos_shell.pseudoterminal import TerminalSize, drain, pumping
from llmos_shell.state import FOR_BLOCKS, ShellState

WRAPPER: Final = Path(__file__).with_name("wrapper.bash")
SCRIPT: Final = '. "$@"; set --; __llmos_resume; eval "$__llmos_line"'

MAX_REPORT: Final = 16 * 1024 * 1024
PRIME_TIMEOUT: Final = 10.0
GRACE: Final = 1.0
"""Seconds that a command has after the hang-up."""
KILL_AFTER: Final = 3
"""How many Ctrl-C until a command that will not listen is killed."""
HIGH_FD: Final = 200
"""Descriptors from here on do not collide with those that scripts use."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    """Exit status as bash counts: 128 + the signal's number for a death by signal."""
    seconds: float

    @property
    def text(self) -> str:
        """The line under the output."""
        return f"exit {self.status}{self._reason}   {_duration(self.seconds)}"

    @property
    def _reason(self) -> str:
        match self.status:
            case 126:
                return " (not allowed to run)"
            case 127:
                return " (command not found)"
            case 130:
                return " (interrupted)"
            case status if 128 < status < 128 + signal.NSIG:
                with contextlib.suppress(ValueError):
                    return f" ({signal.Signals(status - 128).name})"
        return ""


class Runner:
    """Keeps the state of the session and runs one line at a time."""

    def __init__(self, state: ShellState, *, bash: str = "bash") -> None:
        self.state = state
        self._bash = bash
        self._lock = asyncio.Lock()
        self._master: int | None = None
        self._pid: int | None = None
        self._interrupts = 0

    @property
    def running(self) -> bool:
        """Whether a command runs in a block now."""
        return self._master is not None

    @property
    def hides_input(self) -> bool:
        """Whether the running command reads without echo: a password, most likely."""
        if self._master is None:
            return False
        try:
            flags = termios.tcgetattr(self._master)[3]
        except termios.error:
            return False
        return not flags & termios.ECHO and bool(flags & termios.ICANON)

    async def prime(self, patience: float = PRIME_TIMEOUT) -> None:
        """Run the login files of bash, so that the session knows what they set.

        Files that take longer than ``patience`` seconds are given up.
        """
        with contextlib.suppress(RunnerError, TimeoutError):
            async with asyncio.timeout(patience):
                await self.run(":", TerminalSize(80, 24), lambda _: None, options=("-l",))

    async def run(
        self,
        line: str,
        size: TerminalSize,
        on_output: Callable[[bytes], None],
        *,
        options: tuple[str, ...] = ("--norc",),
    ) -> Outcome:
        """Run ``line`` to its end; its output goes to ``on_output`` as it comes.

        Raises :class:`~llmos_shell.errors.RunnerError` when it could not be started.
        Cancelling hangs up on the command.
        """
        async with self._lock:
            started = time.monotonic()
            try:
                master, slave = os.openpty()
            except OSError as error:
                raise RunnerError(f"no pseudo terminal for the command: {error}") from error
            size.apply(master)
            try:
                with _channels(self.state.memory) as (source, report):
                    status = await self._supervise(
                        [*self._argv(line, os.ttyname(slave), source, report, options), "jobs"],
                        (master, slave),
                        (source, report),
                        on_output,
                    )
                    self.state = self.state.after(_read_all(report), status)
            finally:
                os.close(master)
            return Outcome(status, time.monotonic() - started)

    def run_on_terminal(self, line: str, terminal: int = 0) -> Outcome:
        """Run ``line`` on the real terminal ``terminal``, which nobody else uses meanwhile."""
        started = time.monotonic()
        with _channels(self.state.memory) as (source, report):
            try:
                process = subprocess.Popen(
                    self._argv(line, os.ttyname(terminal), source, report, ("--norc",)),
                    cwd=self.state.existing_cwd(),
                    env=self.state.env,
                    pass_fds=(source, report),
                    process_group=0,
                )
            except OSError as error:
                raise RunnerError(f"the command could not be started: {error}") from error
            status = _wait_in_foreground(process, terminal)
            self.state = self.state.after(_read_all(report), status)
        return Outcome(status, time.monotonic() - started)

    def send(self, data: bytes) -> None:
        """Type ``data`` at the running command."""
        if self._master is not None:
            with contextlib.suppress(OSError):
                os.write(self._master, data)

    def resize(self, size: TerminalSize) -> None:
        """Tell the running command how large its terminal is now."""
        if self._master is not None:
            size.apply(self._master)

    def interrupt(self) -> None:
        """Press Ctrl-C at the running command; when that has not helped, kill it."""
        self._interrupts += 1
        self.send(b"\x03")
        if self._interrupts >= KILL_AFTER:
            self._signal(signal.SIGKILL)

    def _foreground(self) -> int | None:
        """Return the process group that has the command's terminal."""
        if self._master is None:
            return None
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(self._master)
        return None

    def hang_up(self) -> None:
        """Tell the running command that the terminal is gone."""
        self._signal(signal.SIGHUP)

    async def _put_down(self, process: asyncio.subprocess.Process) -> None:
        """End a command that nobody waits for any more: it may clean up, but not for long."""
        self.hang_up()
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for group in {self._pid, self._foreground()}:
            if group:  # 0 would be our own
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)

    def _argv(
        self, line: str, tty: str, source: int, report: int, options: tuple[str, ...]
    ) -> list[str]:
        words = (tty, line, str(self.state.status), str(source), str(report))
        return [self._bash, *options, "-c", SCRIPT, "bash", str(WRAPPER), *words]

    async def _supervise(
        self,
        argv: list[str],
        pty: tuple[int, int],
        fds: tuple[int, int],
        on_output: Callable[[bytes], None],
    ) -> int:
        master, slave = pty
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=self.state.existing_cwd(),
                env=block_env(self.state.env),
                start_new_session=True,
                pass_fds=fds,
            )
        except (OSError, ValueError) as error:
            raise RunnerError(f"the command could not be started: {error}") from error
        finally:
            os.close(slave)
        self._master, self._pid, self._interrupts = master, process.pid, 0
        try:
            with pumping(master, on_output):
                status = await process.wait()
            drain(master, on_output)
        except asyncio.CancelledError:
            await self._put_down(process)
            raise
        finally:
            self._master = self._pid = None
        return status if status >= 0 else 128 - status


def block_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a command whose output goes to a block."""
    return {**env, **FOR_BLOCKS}


@contextlib.contextmanager
def _channels(memory: bytes) -> Iterator[tuple[int, int]]:
    """Two files in memory, for the state before and after: no disk is needed."""
    opened: list[int] = []
    try:
        for name in ("before", "after"):
            low = os.memfd_create(f"llmos-{name}")
            try:
                opened.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH_FD))
            finally:
                os.close(low)
        source, report = opened
        _write_all(source, memory)
        yield source, report
    except OSError as error:
        raise RunnerError(f"no memory for the state of the session: {error}") from error
    finally:
        for fd in opened:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    pieces: list[bytes] = []
    offset = 0
    while offset < MAX_REPORT and (piece := os.pread(fd, 1 << 20, offset)):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def _wait_in_foreground(process: subprocess.Popen[bytes], terminal: int) -> int:
    """Give the terminal to the process group of ``process``, wait, and take it back."""
    own = os.getpgrp()
    # Whoever is in the background is stopped when it takes the terminal, if it minds.
    previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, process.pid)
        while True:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            # There is no job control here: what stops itself goes on at once.
            with contextlib.suppress(OSError):
                os.tcsetpgrp(terminal, process.pid)
            os.killpg(process.pid, signal.SIGCONT)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, own)
        signal.signal(signal.SIGTTOU, previous)
    code = process.returncode
    return code if code >= 0 else 128 - code


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
