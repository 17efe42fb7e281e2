"""Saying how far long work is: a bar on a terminal, plain lines in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Reporter(Protocol):
    """Hears of phases and of what happens inside them."""

    @property
    def seconds(self) -> dict[str, float]:
        """How long each finished phase took, in order."""

    def phase(self, name: str) -> contextlib.AbstractContextManager[None]:
        """The block is the phase ``name``."""

    def detail(self, text: str) -> None:
        """What the phase is at just now."""


class PlainReporter:
    """One line a phase when it begins, and one when it took long: for logs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """See :class:`Reporter`."""
        began = time.monotonic()
        self._say(name)
        yield
        self.seconds[name] = time.monotonic() - began
        if self.seconds[name] >= 1:
            self._say(f"{name}: {self.seconds[name]:.0f} s")

    def detail(self, text: str) -> None:
        """Left out: the log file has it all."""

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._begun
        print(f"[{elapsed:6.1f} s] {text}", file=self._stream, flush=True)


class TerminalReporter:
    """A bar over all phases with the current one's name and latest step."""

    def __init__(self, phases: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("[bold]{task.description}[/bold] [dim]{task.fields[step]}[/dim]"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=phases, step="")
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """See :class:`Reporter`."""
        began = time.monotonic()
        self._progress.update(self._task, description=name, step="")
        self._progress.start()
        try:
            yield
        finally:
            self._progress.stop()
        self.seconds[name] = time.monotonic() - began
        self._progress.advance(self._task)
        mark = "[green]✓[/green]"
        self._progress.console.print(f"{mark} {name} [dim]{self.seconds[name]:.1f} s[/dim]")

    def detail(self, text: str) -> None:
        """Shown behind the phase's name, shortened to the line."""
        room = max(10, self._progress.console.width - 62)
        step = text if len(text) <= room else f"{text[: room - 1]}…"
        self._progress.update(self._task, step=step.replace("[", "\\["))


def reporter(phases: int) -> Reporter:
    """The reporter that suits standard error."""
    return TerminalReporter(phases) if sys.stderr.isatty() else PlainReporter()
