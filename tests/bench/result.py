"""What a benchmark found: for a person as a table, for a program as JSON."""

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number; ``unit`` is ``s``, ``MB`` (10^6 bytes), ``x`` (a ratio) or nothing (a count)."""

    name: str
    value: float
    unit: str


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything one benchmark found, and on what."""

    bench: str
    figures: Sequence[Figure]
    conditions: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bench": self.bench,
            "host": host(),
            "conditions": dict(self.conditions),
            "figures": [dataclasses.asdict(figure) for figure in self.figures],
        }

    def write(self, folder: Path) -> Path:
        """Keep it as ``NAME.json`` in ``folder``."""
        return keep(self.as_dict(), folder / f"{self.bench}.json")

    def show(self, console: Console) -> None:
        """Print it as a table."""
        table = Table(title=f"{self.bench}", title_justify="left", box=None, pad_edge=False)
        table.add_column("what")
        table.add_column("value", justify="right")
        table.add_column("unit")
        for figure in self.figures:
            digits = {"x": 2, "": 0}.get(figure.unit, 1)
            table.add_row(figure.name, f"{figure.value:,.{digits}f}", figure.unit)
        console.print(table)
        console.print(facts(self.conditions), style="dim")


def keep(found: Mapping[str, Any], path: Path) -> Path:
    """Write what a benchmark found as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return path


def facts(conditions: Mapping[str, str]) -> str:
    """The machine and the conditions on one line."""
    return ", ".join(f"{name} {value}" for name, value in {**host(), **conditions}.items())


def host() -> dict[str, str]:
    """The machine that the figures are true of."""
    return {"cpu": _cpu(), "cores": str(os.cpu_count()), "kernel": platform.release()}


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()
