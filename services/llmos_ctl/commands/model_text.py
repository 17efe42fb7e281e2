"""What ``llmosctl model`` says: for a person in sentences, for a program in JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos_ctl.meter import size_text
from llmos_models.contents import plain
from llmos_models.scrub import Report
from llmos_models.store import Listed, Origin, Store

_COLUMNS = ("NAME", "SIZE", "PARAMETERS", "FORMAT", "FROM", "")


@dataclass(frozen=True)
class Stock:
    """What there is: models, bytes of unfinished downloads and of the quarantine, useless files."""

    models: Sequence[Listed]
    unfinished: int
    quarantined: int
    faults: Sequence[str]

    @classmethod
    def of(cls, store: Store) -> "Stock":
        """Look at ``store``."""
        return cls(store.listed(), store.unfinished(), store.quarantined(), store.faults())


def list_lines(stock: Stock) -> Iterator[str]:
    """A table, and what else there is."""
    models = stock.models
    if not models:
        yield "There is no model. Add one: sudo llmosctl model pull hf:OWNER/REPO"
    else:
        yield from _table([_COLUMNS, *(_row(one) for one in models)])
    yield from (f"Not a model: {plain(fault)}" for fault in stock.faults)
    if stock.unfinished:
        size = size_text(stock.unfinished)
        yield f"Unfinished downloads: {size}; the same pull goes on with them."
    if stock.quarantined:
        yield f"In quarantine: {size_text(stock.quarantined)}."


def show_lines(one: Listed) -> Iterator[str]:
    """All that is known of a model."""
    manifest, facts = one.manifest, one.facts
    rows = [
        ("Name", one.name + (" (the default)" if one.is_default else "")),
        ("State", one.fault or "ready"),
        ("From", manifest.source if manifest else one.origin.value),
        ("Architecture", facts.architecture or "?"),
        ("Parameters", count_text(facts.parameters)),
        ("Quantisation", facts.quantisation or "?"),
        ("Licence", facts.licence or "not said"),
        ("Size", size_text(one.size)),
    ]
    if manifest:
        rows += [
            ("Imported", f"{manifest.imported:%Y-%m-%d %H:%M} UTC"),
            ("Verified", f"{manifest.verified:%Y-%m-%d %H:%M} UTC"),
            ("Pinned", "yes" if manifest.pinned else "no"),
        ]
        rows += [("File", f"{file.path}  sha256 {file.sha256}") for file in manifest.files]
    elif one.origin is Origin.SHIPPED:
        rows.append(("Verified", "at each read, with the rest of the system"))
    yield from (f"{name:<14}{value}" for name, value in rows)


def list_json(stock: Stock) -> dict[str, Any]:
    """What :func:`list_lines` says."""
    return {
        "models": [model_json(one) for one in stock.models],
        "unfinished": stock.unfinished,
        "quarantined": stock.quarantined,
        "faults": list(stock.faults),
    }


def model_json(one: Listed) -> dict[str, Any]:
    """What :func:`show_lines` says."""
    return {
        "name": one.name,
        "origin": one.origin.value,
        "default": one.is_default,
        "size": one.size,
        "fault": one.fault,
        "facts": msgspec.to_builtins(one.facts),
        "manifest": msgspec.to_builtins(one.manifest),
    }


def report_lines(report: Report) -> Iterator[str]:
    """What a scrub has found."""
    for damage in report.damages:
        yield damage.text
    yield from report.faults
    names = ", ".join(report.models)
    if names:
        yield f"Sound: {names} ({size_text(report.size)} read)."
    elif report.is_sound:
        yield "There is nothing to verify: no model was added to this machine."


def count_text(count: int | None) -> str:
    """How many parameters, as models are called by them."""
    if not count:
        return "?"
    for unit, scale in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return str(count)


def _row(one: Listed) -> tuple[str, ...]:
    manifest, facts = one.manifest, one.facts
    marks = [
        "default" if one.is_default else "",
        "pinned" if manifest and manifest.pinned else "",
        one.fault or "",
    ]
    form = " ".join(filter(None, (facts.architecture, facts.quantisation)))
    source = manifest.source if manifest else one.origin.value
    return (
        one.name,
        size_text(one.size),
        count_text(facts.parameters),
        form or "?",
        source,
        ", ".join(filter(None, marks)),
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
