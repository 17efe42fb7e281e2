"""The serial console: everything is logged, and a terminal shows it as a person sees it."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import DeadlinePassed, MachineDied
from llmos_image.vm.lines import Death
from llmos_image.vm.terminal import Terminal, plain_text

_SECONDS = 300.0


class Key(StrEnum):
    """Keys of a terminal, and what they send."""

    ENTER = "\r"
    ESCAPE = "\x1b"
    TAB = "\t"
    BACKSPACE = "\x7f"
    CTRL_C = "\x03"
    CTRL_D = "\x04"
    CTRL_L = "\x0c"
    UP = "\x1b[A"
    DOWN = "\x1b[B"
    F1 = "\x1b[11~"
    F10 = "\x1b[21~"


class SerialConsole:
    """One end of a serial line, read by a thread of its own.

    The thread ends when the other end closes; every wait then raises what ``death`` makes.
    """

    def __init__(
        self,
        connection: socket.socket,
        log: Path,
        deadline: Deadline,
        *,
        death: Death = MachineDied,
        columns: int = 80,
        lines: int = 24,
    ) -> None:
        self.log = log
        self._socket = connection
        self._deadline = deadline
        self._death = death
        self._terminal = Terminal(columns, lines)
        self._raw = bytearray()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="serial", daemon=True)
        self._reader.start()

    # What is there

    @property
    def rows(self) -> tuple[str, ...]:
        """The terminal's rows, top to bottom."""
        with self._changed:
            return self._terminal.rows

    @property
    def text(self) -> str:
        """The terminal's rows as one text."""
        return "\n".join(self.rows)

    def log_text(self, since: int = 0) -> str:
        """All that was ever printed from the byte ``since`` on, without control sequences."""
        with self._changed:
            return plain_text(bytes(self._raw[since:]))

    @property
    def position(self) -> int:
        """Bytes printed so far: a mark for ``log_text`` and ``wait_for_log``."""
        with self._changed:
            return len(self._raw)

    # What a person does

    def type(self, text: str) -> None:
        """Send ``text`` as a keyboard would."""
        with self._sending:
            try:
                self._socket.sendall(text.encode())
            except OSError:
                raise self._death(f"the serial line is closed, {text!r} cannot be typed") from None

    def type_line(self, text: str) -> None:
        """Send ``text`` and Enter."""
        self.type(text + Key.ENTER)

    def press(self, *keys: Key) -> None:
        """Send keys one after the other."""
        for key in keys:
            self.type(key)

    # What is waited for

    def wait_until(
        self, what: str, holds: Callable[[tuple[str, ...]], bool], seconds: float = _SECONDS
    ) -> None:
        """Wait until ``holds`` is true of the terminal's rows.

        Raises:
            DeadlinePassed: it never was; shows the terminal.
            MachineDied: the line was closed.
        """
        self._wait(f"{what} on the serial console", lambda: holds(self._terminal.rows), seconds)

    def wait_for_text(self, text: str | re.Pattern[str], seconds: float = _SECONDS) -> None:
        """Wait until one of the terminal's rows holds ``text``."""
        pattern = _pattern(text)
        self.wait_until(
            repr(pattern.pattern),
            lambda rows: any(pattern.search(row) for row in rows),
            seconds,
        )

    def wait_for_no_text(self, text: str | re.Pattern[str], seconds: float = _SECONDS) -> None:
        """Wait until none of the terminal's rows holds ``text``."""
        pattern = _pattern(text)
        self.wait_until(
            f"an end of {pattern.pattern!r}",
            lambda rows: not any(pattern.search(row) for row in rows),
            seconds,
        )

    def wait_for_log(
        self, text: str | re.Pattern[str], *, since: int = 0, seconds: float = _SECONDS
    ) -> None:
        """Wait until ``text`` was printed, even if it scrolled away or was painted over."""
        pattern = _pattern(text)
        self._wait(
            f"{pattern.pattern!r} in the serial log",
            lambda: pattern.search(plain_text(bytes(self._raw[since:]))) is not None,
            seconds,
        )

    # How it works

    def _wait(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        deadline = self._deadline.within(seconds)
        with self._changed:
            while not holds():
                if self._closed:
                    raise self._death(f"the serial line was closed while waiting for {what}")
                if not self._changed.wait(deadline.remaining) and deadline.passed and not holds():
                    raise DeadlinePassed(f"no {what} in time", hint=self._for_a_person())

    def _for_a_person(self) -> str:
        rows = "\n".join(f"  | {row}" for row in self._terminal.rows if row)
        return f"the terminal shows:\n{rows}\nthe whole log: {self.log}"

    def _read(self) -> None:
        with self.log.open("wb", buffering=0) as file:
            while data := self._receive():
                file.write(data)
                with self._changed:
                    self._raw += data
                    answers = self._terminal.feed(data)
                    self._changed.notify_all()
                if answers:
                    self._answer(answers)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def _answer(self, answers: bytes) -> None:
        with self._sending:
            try:
                self._socket.sendall(answers)
            except OSError:
                return  # the next read sees the end

    def close(self) -> None:
        """Close this end, and wait until the log is whole."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()


def _pattern(text: str | re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(re.escape(text)) if isinstance(text, str) else text
