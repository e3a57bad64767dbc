"""What a server counts, in the form that Prometheus reads.

Labels are names of models, routes and stages, never of keys, and never text that a request has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["Metrics", "State"]

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


_OF_WORKERS: dict[str, tuple[Any, str]] = {
    "alive": (GaugeMetricFamily, "Whether a worker runs."),
    "ready": (GaugeMetricFamily, "Whether it can compute."),
    "memory_bytes": (GaugeMetricFamily, "Memory of a worker."),
    "kept_keys": (GaugeMetricFamily, "Keys that a worker keeps expanded."),
    "kept_key_bytes": (GaugeMetricFamily, "Bytes of keys that a worker keeps expanded."),
    "runs": (CounterMetricFamily, "Batches that a worker ran."),
    "restarts": (CounterMetricFamily, "Processes that took the place of one that had ended."),
}


class State(Protocol):
    """What is read when metrics are asked for, rather than counted."""

    def gauges(self) -> Sequence[tuple[str, str, float]]:
        """Return the name, the meaning and the value of each."""

    def workers(self) -> Sequence[Any]:
        """Return the status of each worker."""


class _StateCollector:
    """Reads a `State` at every scrape."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield what there is now."""
        for name, meaning, value in self._state.gauges():
            yield GaugeMetricFamily(f"skfhe_{name}", meaning, value=value)
        families = {
            name: kind(f"skfhe_worker_{name}", meaning, labels=["worker"])
            for name, (kind, meaning) in _OF_WORKERS.items()
        }
        for i, status in enumerate(self._state.workers()):
            for name, family in families.items():
                family.add_metric([str(i)], float(getattr(status, name)))
        yield from families.values()


class Metrics:
    """Counters of one server, in a registry of their own.

    Attributes
    ----------
    requests, stages, batch_rows, batch_requests, uploads, evictions
        Counters and histograms, as their descriptions say.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        rows: dict[str, Any] = {"buckets": _ROWS, **own}
        self.requests = Counter("skfhe_requests", "Requests by route and status.", ["route", "status"], **own)
        self.stages = Histogram(
            "skfhe_stage_seconds",
            "Seconds of infer requests: receive, wait, run, send.",
            ["model", "stage"],
            buckets=_SECONDS,
            **own,
        )
        self.batch_rows = Histogram("skfhe_batch_rows", "Rows that were run together.", ["model"], **rows)
        self.batch_requests = Histogram(
            "skfhe_batch_requests", "Requests that were run together.", ["model"], **rows
        )
        self.uploads = Counter("skfhe_key_uploads", "Evaluation keys received.", **own)
        self.evictions = Counter("skfhe_key_evictions", "Evaluation keys expired.", **own)

    def show(self, state: State) -> None:
        """Add what is read from ``state`` at every scrape."""
        self._registry.register(_StateCollector(state))

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
