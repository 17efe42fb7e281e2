"""How far long reading and writing is, how fast, and how long it will still take."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Advance = Callable[[int], None]
_EVERY_SECONDS = 5.0
_MB = 10**6


class Meter(Protocol):
    """Hears of bytes."""

    def phase(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """The block is the phase ``name`` of ``total`` bytes; it reports each piece's length."""


class PlainMeter:
    """A line every few seconds: for logs."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`Meter`."""
        began = said = self._clock()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, said
            done += count
            if self._clock() - said >= _EVERY_SECONDS:
                said = self._clock()
                self._say(name, done, total, said - began)

        yield advance
        if self._clock() - began >= 1:
            self._say(name, done, total, self._clock() - began)

    def _say(self, name: str, done: int, total: int | None, seconds: float) -> None:
        speed = done / seconds
        words = [f"{speed / _MB:.1f} MB/s"]
        if total is None:
            amount = f"{done / _MB:,.0f} MB"
        else:
            amount = f"{100 * done // max(total, 1)} % of {total / _MB:,.0f} MB"
            if speed and done < total:
                words.append(f"{_clock_text((total - done) / speed)} left")
        print(f"{name}: {amount}, {', '.join(words)}", file=self._stream, flush=True)


class TerminalMeter:
    """A bar for each phase."""

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`Meter`."""
        with Progress(
            TextColumn("[bold]{task.description:8}[/bold]"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress:
            task = progress.add_task(name, total=total)
            yield lambda count: progress.advance(task, count)


def meter() -> Meter:
    """The meter that suits standard error."""
    return TerminalMeter() if sys.stderr.isatty() else PlainMeter()


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"
