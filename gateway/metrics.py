"""What the gateway counts, for the admin listener alone: never ids, never paths as sent."""

from __future__ import annotations

from services.chassis import metrics

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_ANSWERS = metrics.counter(
    "tessera_http_answers_total", "Answers given, by route template.", ("method", "route", "status"), of="gateway"
)
_SECONDS = metrics.histogram(
    "tessera_http_seconds", "Time to answer; seconds.", ("route",), buckets=_BUCKETS, of="gateway"
)


class Metrics:
    """Counts answers and their times by method, route template and status."""

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is the template, `seconds` the time from head to answer."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
        _ANSWERS.labels(known, route, str(status)).inc()
        _SECONDS.labels(route).observe(seconds)
