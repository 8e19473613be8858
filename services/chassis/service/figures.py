"""The figures of the rooms of this process, gathered when somebody asks and not more often than every few seconds.

A database that is away or slow holds up nobody: a scrape waits a second for it, and then tells what it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import eventlet
import structlog
from eventlet.event import Event

from services.chassis import metrics
from services.chassis.data import figures
from services.chassis.data.db import Database

CACHE_SECONDS: Final = 5.0
PAGE_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 1.0
# What is older is not told: a figure that stands still looks like one that is in order.
_STALE_SECONDS: Final = 30.0

_FAILED = metrics.counter(
    "tessera_figures_failed_total",
    "How often a room's figures could not be read.",
    ("room",),
    zero="Its database does not answer; the room's figures are missing until it does.",
)
_log = structlog.get_logger(__name__)


class RoomFigures:
    """What one room of this process counts.

    Args:
        room: its name.
        database: returns its database.
        waiting: see `services.chassis.data.figures.read`.
        also: returns samples that stand in no database.
    """

    def __init__(
        self,
        room: str,
        database: Callable[[], Database],
        waiting: Sequence[figures.Waiting],
        also: Callable[[], Iterable[metrics.Sample]],
    ) -> None:
        self._room = room
        self._database = database
        self._waiting = waiting
        self._also = also
        self._samples: list[metrics.Sample] = []
        self._read_at = self._tried_at = float("-inf")
        self._done: Event | None = None

    @property
    def are_known(self) -> bool:
        """Tell whether the database has answered lately, to the last question."""
        return self._read_at >= self._tried_at and time.monotonic() - self._read_at < _STALE_SECONDS

    def ask(self) -> None:
        """Begin to read, unless it was done a moment ago or is being done."""
        if self._done is None and time.monotonic() - self._tried_at >= CACHE_SECONDS:
            self._tried_at, self._done = time.monotonic(), Event()
            eventlet.spawn_n(self._read, self._done)

    def wait(self, until: float) -> None:
        """Wait for what was begun, until a moment of `time.monotonic`."""
        if self._done is not None:
            self._done.wait(timeout=max(0.0, until - time.monotonic()))

    def samples(self) -> Iterable[metrics.Sample]:
        """Yield what is known; nothing of it is old."""
        if time.monotonic() - self._read_at < _STALE_SECONDS:
            yield from self._samples
        yield from figures.read_pools(self._database())

    def _read(self, done: Event) -> None:
        try:
            self._samples = [*figures.read(self._database(), self._waiting), *self._also()]
            self._read_at = time.monotonic()
        except Exception as error:
            _FAILED.labels(self._room).inc()
            _log.warning("figures are not read", room=self._room, error=f"{type(error).__name__}: {error}"[:300])
        finally:
            self._done = None
            done.send(True)


_rooms: dict[str, RoomFigures] = {}
_page: tuple[float, bytes] = (float("-inf"), b"")


def watch(room: str, of: RoomFigures) -> None:
    """Tell a room's figures from now on."""
    _rooms[room] = of
    metrics.read_from(room, of.samples)


def forget(room: str) -> None:
    """Tell them no more."""
    _rooms.pop(room, None)
    metrics.forget(room)


def refresh() -> None:
    """Read what is not known or too old, of all rooms at the same time, and wait a second at most."""
    until = time.monotonic() + _WAIT_SECONDS
    for room in list(_rooms.values()):
        room.ask()
    for room in list(_rooms.values()):
        room.wait(until)


def unready() -> list[str]:
    """Return the rooms of this process whose database does not answer."""
    refresh()
    return [name for name, room in _rooms.items() if not room.are_known]


def page() -> bytes:
    """Return the page of metrics; who asks often gets the same one for a second."""
    global _page  # noqa: PLW0603 - one page for the process
    if time.monotonic() - _page[0] >= PAGE_SECONDS:
        refresh()
        _page = (time.monotonic(), metrics.render(lambda: eventlet.sleep(0)))
    return _page[1]
