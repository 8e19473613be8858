"""What the gateway counts, for the admin listener alone: never ids, never paths as sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counts answers and their times by method, route template and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "tessera_http_answers", "Answers given.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "tessera_http_seconds", "Time to answer.", ("route",), buckets=_BUCKETS, registry=self.registry
        )
        self._lag = Gauge(
            "tessera_outbox_lag_seconds", "Age of the oldest unpublished event.", ("service",), registry=self.registry
        )
        self._stopped = Gauge(
            "tessera_events_stopped",
            "Number of sources whose events a room does not apply, because they were restored to an older state.",
            ("service",),
            registry=self.registry,
        )

    def note_messaging(self, rooms: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what the rooms said of their events when they were pinged last (rules R25, R26)."""
        for room, told in rooms.items():
            if told["outbox_lag_seconds"] is not None:
                self._lag.labels(room).set(told["outbox_lag_seconds"])
            self._stopped.labels(room).set(len(told["stopped_sources"]))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is the template, `seconds` the time from head to answer."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
        self._answers.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
