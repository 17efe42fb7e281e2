"""How far long reading and writing is: a bar with speed and time left for a person.

Not click's bar: that knows steps and no bytes, nothing of files whose size nobody has told, and
takes what was there before an interruption for speed.
"""

import contextlib
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TextIO

import click

from llmos_models.meter import Advance

_NAME: Final = 8
"""Characters of a name that are shown in any case."""
_BAR: Final = 20
_EVERY: Final = 0.2
_WINDOW: Final = 5.0
"""Seconds over which the speed is measured."""


class TerminalMeter:
    """A line for each phase, which is drawn again at most five times a second."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`llmos_models.meter.Meter`."""
        done, drawn = 0, self._clock()
        seen = deque([(drawn, 0)])

        def advance(count: int) -> None:
            nonlocal done, drawn
            done += count
            now = self._clock()
            if now - drawn >= _EVERY:
                drawn = now
                seen.append((now, done))
                while now - seen[0][0] > _WINDOW:
                    seen.popleft()
                self._draw(name, done, total, _speed(seen))

        try:
            yield advance
        finally:
            self._draw(name, done, total, _speed(seen))
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, name: str, done: int, total: int | None, speed: float) -> None:
        words = []
        if total:
            share = min(1.0, max(0.0, done / total))
            filled = round(share * _BAR)
            words.append(f"[{'#' * filled}{'-' * (_BAR - filled)}] {share:4.0%}")
            words.append(f"of {size_text(total)}")
        else:
            words.append(size_text(max(0, done)))
        if speed > 0:
            words.append(f"{size_text(round(speed))}/s")
            if total and done < total:
                words.append(f"{_clock_text((total - done) / speed)} left")
        figures = "  ".join(words)
        # The name makes room for the figures.
        room = max(_NAME, shutil.get_terminal_size().columns - len(figures) - 3)
        # To the end of the line: the one before may have been longer.
        self._stream.write(f"\r{_shortened(name, room)}  {figures}\x1b[K")
        self._stream.flush()


class PlainMeter:
    """A line for each phase: for logs and the journal."""

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`llmos_models.meter.Meter`."""
        click.echo(f"{name}, {size_text(total)}" if total else name, err=True)
        yield lambda _count: None


def meter() -> TerminalMeter | PlainMeter:
    """The meter that suits standard error."""
    return TerminalMeter() if sys.stderr.isatty() else PlainMeter()


def size_text(size: int) -> str:
    """Bytes for a person, in powers of 1000 as disks are sold."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def _speed(seen: deque[tuple[float, int]]) -> float:
    (began, before), (now, done) = seen[0], seen[-1]
    return (done - before) / (now - began) if now > began else 0.0


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else f"…{name[-room + 1 :]}"
