"""How far long reading and writing is: a bar with speed and time left for a person."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

import click

from llmos_models.meter import Advance

_LABEL = 34


class TerminalMeter:
    """A bar for each phase."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`llmos_models.meter.Meter`."""
        began = self._clock()
        done = 0

        def speed(_item: object) -> str:
            seconds = self._clock() - began
            return f"{size_text(round(done / seconds))}/s" if done > 0 and seconds > 0 else ""

        # click's bar has no bytes, only steps: they are the label's.
        with click.progressbar(
            length=total or 0,
            label=_shortened(name),
            file=self._stream,
            item_show_func=speed,
            show_pos=False,
            width=20,
        ) as bar:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bar.update(count, name)

            yield advance


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


def _shortened(name: str) -> str:
    return name if len(name) <= _LABEL else f"…{name[-_LABEL + 1 :]}"
