"""What the engine counts, for Prometheus: https://prometheus.io/docs/concepts/metric_types/.

Written on the decode thread and on the event loop, read by ``GET /metrics``; the client library
keeps its own locks. Never what was said, and never who said it.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llmos_engine.scheduling.request import Priority

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# From a fast model on a fast machine to one on a machine that is too small for it.
_GAPS: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12)
_WAITS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """One engine's counters; a registry of its own, so that two engines do not share any."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "llmos_engine_requests",
            "Answers that have ended, by class and by how: stop, length, refused, cancelled.",
            ("class", "end"),
            registry=registry,
        )
        self.tokens = Counter(
            "llmos_engine_tokens",
            "Tokens: read of prompts, found in the KV cache instead, made.",
            ("kind",),
            registry=registry,
        )
        self.parked = Counter(
            "llmos_engine_parked",
            "How often an answer was put aside for a more urgent one or for want of room.",
            registry=registry,
        )
        self.loads = Counter(
            "llmos_engine_model_loads", "Models that were loaded.", registry=registry
        )
        self.running = Gauge(
            "llmos_engine_running", "Answers with a place in the KV cache.", registry=registry
        )
        self.waiting = Gauge("llmos_engine_waiting", "Answers without one.", registry=registry)
        self.ready = Gauge(
            "llmos_engine_ready", "1 when a model is loaded, 0 otherwise.", registry=registry
        )
        self.step = Histogram(
            "llmos_engine_step_seconds",
            "What one batch took.",
            buckets=_GAPS,
            registry=registry,
        )
        self.first = Histogram(
            "llmos_engine_first_token_seconds",
            "From taking a request on to its first token, by class.",
            ("class",),
            buckets=_WAITS,
            registry=registry,
        )
        self.gap = Histogram(
            "llmos_engine_token_gap_seconds",
            "Between two tokens of an answer, by class.",
            ("class",),
            buckets=_GAPS,
            registry=registry,
        )

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


def label(priority: Priority) -> str:
    """A class as metrics call it."""
    return priority.name.lower()
