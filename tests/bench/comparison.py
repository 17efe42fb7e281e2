"""What a benchmark found side by side: ours, theirs, their ratio, and what was to be reached."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.result import facts, host, keep

_COLUMNS = ("measure", "ours", "theirs", "against", "ratio", "to reach", "reached")


class Bound(Enum):
    """On which side of the aim a figure has to be."""

    LEAST = "≥"
    MOST = "≤"

    def holds(self, value: float, aim: float) -> bool:
        """Whether ``value`` is on the right side of ``aim``."""
        return value >= aim if self is Bound.LEAST else value <= aim


@dataclasses.dataclass(frozen=True)
class Aim:
    """What is to be reached: of the ratio, or of our figure itself."""

    bound: Bound
    value: float
    absolute: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """One measure in several rounds; ``ours`` and ``theirs`` of one round belong together.

    ``note`` says why ours are missing, or why theirs are.
    """

    measure: str
    unit: str
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    against: str = ""
    aim: Aim | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs in each round."""
        pairs = zip(self.ours, self.theirs, strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    @property
    def reached(self) -> bool | None:
        """Whether the middle round reached the aim; None without an aim or a figure."""
        figures = self.ours if self.aim and self.aim.absolute else self.ratios
        if self.aim is None or not figures:
            return None
        return self.aim.bound.holds(statistics.median(figures), self.aim.value)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        kept = dataclasses.asdict(self)
        aim = self.aim and f"{self.aim.bound.value} {self.aim.value:g}"
        ratio = statistics.median(self.ratios) if self.ratios else None
        return {**kept, "aim": aim, "ratio": ratio, "reached": self.reached}

    def cells(self) -> list[str]:
        """Its columns."""
        ratio = _middle(self.ratios, 2) if self.ratios else "-"
        reached = {True: "yes", False: "no", None: "-"}[self.reached]
        unit = f" {self.unit}" if self.unit else ""
        aim = "-"
        if self.aim is not None:
            of = unit if self.aim.absolute else ""
            aim = f"{self.aim.bound.value} {self.aim.value:.3g}{of}"
        ours = f"{_middle(self.ours)}{unit}" if self.ours else self.note or "not measured"
        theirs = f"{_middle(self.theirs)}{unit}" if self.theirs else "-"
        if self.ours and self.note:
            theirs = self.note
        return [self.measure, ours, theirs, self.against or "-", ratio, aim, reached]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Everything one benchmark compared, and on what."""

    bench: str
    rows: Sequence[Row]
    conditions: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bench": self.bench,
            "host": host(),
            "conditions": dict(self.conditions),
            "rows": [row.as_dict() for row in self.rows],
        }

    def write(self, folder: Path) -> Path:
        """Keep it as ``NAME.json`` and ``NAME.md`` in ``folder``."""
        path = keep(self.as_dict(), folder / f"{self.bench}.json")
        (folder / f"{self.bench}.md").write_text(self.markdown(), "utf-8")
        return path

    def markdown(self) -> str:
        """The same for a page of documentation."""
        lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(row.cells() for row in self.rows)]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return f"{table}\n{facts(self.conditions)}\n"

    def show(self, console: Console) -> None:
        """Print it as a table."""
        table = Table(title=self.bench, title_justify="left", box=None, pad_edge=False)
        for name in _COLUMNS:
            table.add_column(name, justify="right" if name == "ratio" else "left")
        for row in self.rows:
            table.add_row(*row.cells())
        console.print(table)
        console.print("The middle one of the rounds, and the lowest and highest beside it.")
        console.print(facts(self.conditions), style="dim")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that ``share`` of them do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _middle(values: Sequence[float], digits: int | None = None) -> str:
    """The median and, of several, the spread."""
    if digits is None:
        most = max(values)
        digits = 0 if most >= 100 else 1 if most >= 10 else 2 if most >= 1 else 3
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"
