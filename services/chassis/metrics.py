"""What is measured: each figure is declared once, here or in the room whose it is; `docs/reference/metrics.md` follows.

Labels are names from our own code: rooms, procedures, codes. Never an id, an address, a key or a path; what came over
the bus is bounded besides.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
EVERY_PROCESS: Final = "every process"
PROCESS_FIGURES: Final = (
    "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
    "process_start_time_seconds", "process_virtual_memory_bytes",
)  # fmt: skip
"""What the library tells of a process."""
_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}(\.[a-z0-9_]{1,60})?")
OTHER: Final = "other"

Kind = Literal["counter", "gauge", "histogram"]
Sample = tuple["Figure", tuple[str, ...], float]
"""A figure, the values of its labels, its value."""

REGISTRY: Final = CollectorRegistry()
# The moment of its making for each counter doubles the page.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as it is declared.

    Args:
        name: as it is exported.
        kind: counter, gauge or histogram.
        text: what it says, with its unit.
        labels: names of its labels.
        of: who exports it: every process, or one role.
        zero: what is wrong while it is not zero; empty where another value is an everyday one.
        is_read: it is asked for on each scrape, by `read_from`, and not kept here.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...]
    of: str
    zero: str = ""
    is_read: bool = False


DECLARED: Final[dict[str, Figure]] = {}
_readers: dict[str, Callable[[], Iterable[Sample]]] = {}


def _declare(figure: Figure) -> Figure:
    assert figure.name not in DECLARED, f"{figure.name} is declared twice."
    DECLARED[figure.name] = figure
    return figure


def counter(name: str, text: str, labels: tuple[str, ...] = (), *, of: str = EVERY_PROCESS, zero: str = "") -> Counter:
    """Declare what only grows; see `Figure`."""
    _declare(Figure(name, "counter", text, labels, of, zero))
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, text: str, labels: tuple[str, ...] = (), *, of: str = EVERY_PROCESS, zero: str = "") -> Gauge:
    """Declare what goes up and down; see `Figure`."""
    _declare(Figure(name, "gauge", text, labels, of, zero))
    return Gauge(name, text, labels, registry=REGISTRY)


def histogram(
    name: str,
    text: str,
    labels: tuple[str, ...] = (),
    *,
    of: str = EVERY_PROCESS,
    buckets: tuple[float, ...] = _BUCKETS,
) -> Histogram:
    """Declare how long something takes, in seconds; its `_count` gives the rate. See `Figure`."""
    _declare(Figure(name, "histogram", text, labels, of))
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


def read_figure(
    name: str, text: str, labels: tuple[str, ...] = (), *, kind: Kind = "gauge", of: str = EVERY_PROCESS, zero: str = ""
) -> Figure:
    """Declare what is read from elsewhere on each scrape; see `Figure`."""
    return _declare(Figure(name, kind, text, labels, of, zero, is_read=True))


def read_from(name: str, reader: Callable[[], Iterable[Sample]]) -> None:
    """Take samples of figures on each scrape.

    Args:
        name: of the reader, unique in the process.
        reader: must not wait.
    """
    _readers[name] = reader


def forget(name: str) -> None:
    """Take no more samples from a reader."""
    _readers.pop(name, None)


class _Readers(Collector):
    """The figures that are read, as the library wants them; without samples they are listed all the same."""

    def collect(self) -> Iterator[Metric]:
        families = {
            figure.name: (CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily)(
                figure.name, figure.text, labels=figure.labels
            )
            for figure in DECLARED.values()
            if figure.is_read
        }
        for reader in list(_readers.values()):
            for figure, labels, value in reader():
                families[figure.name].add_metric(labels, value)
        yield from families.values()


REGISTRY.register(_Readers())


@dataclass(frozen=True, slots=True)
class _One(Collector):
    family: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.family


def render(pause: Callable[[], object]) -> bytes:
    """Return all figures in the text format of Prometheus.

    Args:
        pause: called between two figures, so that others get their turn.
    """
    parts = []
    for family in REGISTRY.collect():
        parts.append(generate_latest(_One(family)))
        pause()
    return b"".join(parts)


class Names:
    """Takes names of our own form as they are, and so many at most; a label must not grow with what others send."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        """Return the name, or `other`."""
        if name in self._known:
            return name
        with self._lock:
            if not _NAME.fullmatch(name) or len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
            return name


_procedure, _kind, _code = Names(600), Names(20), Names(600)

_SERVED = histogram(
    "tessera_rpc_seconds",
    "Time to answer a procedure, or to run a timer, from the moment a worker takes it; seconds.",
    ("room", "procedure"),
)
_REFUSED = counter(
    "tessera_rpc_errors_total", "Procedures that were refused or failed.", ("room", "procedure", "kind", "code")
)
_CALLED = histogram(
    "tessera_calls_seconds",
    "Time until another room answered a call, or until the call was given up; seconds.",
    ("room", "target", "procedure"),
)
_CALL_FAILED = counter(
    "tessera_call_errors_total",
    "Calls that another room refused, or did not answer in time (kind `unavailable`).",
    ("room", "target", "procedure", "kind", "code"),
)


def note_served(room: str, procedure: str, seconds: float, error: BaseException | None) -> None:
    """Count an answered procedure.

    Args:
        room: that answered.
        procedure: its name.
        seconds: it took.
        error: that it ended with.
    """
    name = _procedure(procedure)
    _SERVED.labels(room, name).observe(seconds)
    if error is not None:
        _REFUSED.labels(room, name, *_told(error)).inc()


@contextmanager
def calling(room: str | None, target: str, procedure: str) -> Iterator[None]:
    """Count a call to another room.

    Args:
        room: that calls, None outside of a room.
        target: room that is called.
        procedure: that is called.
    """
    labels = (room or OTHER, target, _procedure(procedure))
    started = time.perf_counter()
    try:
        yield
    except Exception as error:
        _CALL_FAILED.labels(*labels, *_told(error)).inc()
        raise
    finally:
        _CALLED.labels(*labels).observe(time.perf_counter() - started)


def _told(error: BaseException) -> tuple[str, str]:
    """Return kind and code of an error; what is no refusal is a failure of ours."""
    told: Mapping[str, Any] = vars(error)
    return _kind(str(told.get("kind", "internal"))), _code(str(told.get("code", "service.internal")))
