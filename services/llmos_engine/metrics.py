"""What the engine counts, for Prometheus: https://prometheus.io/docs/concepts/metric_types/.

A model's process keeps a list of what happened (:class:`Recorder`) and hands it over with what it
made; the front counts (:class:`Metrics`) and answers ``GET /metrics``. Never what was said, and
never who said it.
"""

import contextlib
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llmos_engine.scheduling.request import Priority

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# From a fast model on a fast machine to one on a machine that is too small for it.
_GAPS: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12)
_WAITS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


# By the name that the code uses; Prometheus puts llmos_engine_ before it.
_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "requests": (
        "Answers that have ended, by class and by how: stop, length, refused, cancelled.",
        ("class", "end"),
    ),
    "tokens": ("Tokens: read of prompts, found in the KV cache instead, made.", ("kind",)),
    "parked": (
        "How often an answer was put aside for a more urgent one or for want of room.",
        (),
    ),
    "model_loads": ("Models that were loaded.", ()),
    "worker_deaths": ("Processes of models that ended without being told to.", ()),
}
_GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "running": ("Answers with a place in the KV cache, by model.", ("model",)),
    "waiting": ("Answers without one, by model.", ("model",)),
    "ready": ("1 when a model is loaded, 0 otherwise.", ()),
    "model_memory_bytes": (
        "Memory of the machine that a loaded model takes: predicted before, and measured.",
        ("model", "kind"),
    ),
}
_HISTOGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]]] = {
    "step_seconds": ("What one batch took.", (), _GAPS),
    "first_token_seconds": (
        "From taking a request on to its first token, by class.",
        ("class",),
        _WAITS,
    ),
    "token_gap_seconds": ("Between two tokens of an answer, by class.", ("class",), _GAPS),
}


class Sample(NamedTuple):
    """Something that happened: counted up, measured, or how it is now."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Meter(Protocol):
    """Takes what happens."""

    def take(self, name: str, value: float, *labels: str) -> None:
        """Add to a counter, set a gauge, put a measurement into a histogram."""


class Recorder:
    """Keeps what happened until somebody asks."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []

    def take(self, name: str, value: float, *labels: str) -> None:
        """Keep it."""
        self._samples.append(Sample(name, value, labels))

    def hand_over(self) -> list[Sample]:
        """All since the last time."""
        samples, self._samples = self._samples, []
        return samples


class Metrics:
    """One engine's counters; a registry of its own, so that two engines do not share any."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._counters = {
            name: Counter(f"llmos_engine_{name}", what, labels, registry=registry)
            for name, (what, labels) in _COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(f"llmos_engine_{name}", what, labels, registry=registry)
            for name, (what, labels) in _GAUGES.items()
        }
        self._histograms = {
            name: Histogram(
                f"llmos_engine_{name}", what, labels, buckets=buckets, registry=registry
            )
            for name, (what, labels, buckets) in _HISTOGRAMS.items()
        }

    def take(self, name: str, value: float, *labels: str) -> None:
        """Count it.

        Raises:
            ValueError: there is no such metric, or it has other labels.
        """
        if (counter := self._counters.get(name)) is not None:
            (counter.labels(*labels) if labels else counter).inc(value)
        elif (gauge := self._gauges.get(name)) is not None:
            (gauge.labels(*labels) if labels else gauge).set(value)
        elif (histogram := self._histograms.get(name)) is not None:
            (histogram.labels(*labels) if labels else histogram).observe(value)
        else:
            raise ValueError(f"no metric {name!r}")

    def forget(self, model: str) -> None:
        """A model is not loaded any more: what was so of it is not."""
        for name in ("running", "waiting"):
            with contextlib.suppress(KeyError):
                self._gauges[name].remove(model)
        for kind in ("predicted", "measured"):
            with contextlib.suppress(KeyError):
                self._gauges["model_memory_bytes"].remove(model, kind)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


def label(priority: Priority) -> str:
    """A class as metrics call it."""
    return priority.name.lower()
