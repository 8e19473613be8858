"""What a database is asked for its room's figures: one statement over small, indexed pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from services.chassis import metrics
from services.chassis.data.db import Database
from services.chassis.data.engine import CountingPool
from services.chassis.data.tables import UtcDateTime, outbox, positions, retry_events

MOST: Final = 10_000
"""Nothing is counted further than that."""

_BACKLOG = metrics.read_figure(
    "tessera_outbox_events", f"Events in the outbox that are not published yet; counted up to {MOST}.", ("room",)
)
_LAG = metrics.read_figure(
    "tessera_outbox_lag_seconds",
    "Age of the oldest event that is not published yet; seconds.",
    ("room",),
    zero="Above 30 s the relay or the broker stands still.",
)
_POSITION = metrics.read_figure(
    "tessera_events_position", "Sequence up to which a source's events are applied.", ("room", "source")
)
_BEHIND = metrics.read_figure(
    "tessera_events_behind",
    "Events of a source that this process has heard of and its room has not applied.",
    ("room", "source"),
    zero="For minutes: the room does not keep up, or stands still.",
)
_STOPPED = metrics.read_figure(
    "tessera_events_stopped",
    "1 while nothing of a source is applied because its log was restored to an older state.",
    ("room", "source"),
    zero="Reconcile: docs/how-to/restore-a-backup.md.",
)
_RETRIED = metrics.read_figure(
    "tessera_events_retried", f"Events that failed and are tried again; counted up to {MOST}.", ("room", "source")
)
_PARKED = metrics.read_figure(
    "tessera_events_parked",
    f"Events given up after the last attempt; counted up to {MOST}.",
    ("room", "source"),
    zero="Each of them is an effect that is missing in this room.",
)
SAGAS = metrics.read_figure(
    "tessera_sagas_open", f"What spans several rooms and is under way; counted up to {MOST}.", ("room", "saga")
)
OLDEST_SAGA = metrics.read_figure(
    "tessera_saga_oldest_seconds",
    "Age of the oldest that is under way, 0 when none is; seconds.",
    ("room", "saga"),
    zero="Above 300 s it does not go on by itself.",
)
_IN_USE = metrics.read_figure(
    "tessera_pool_connections", "Connections to the database that are in use.", ("room", "pool")
)
_SIZE = metrics.read_figure("tessera_pool_size", "Connections to the database at most.", ("room", "pool"))
_WAITS = metrics.read_figure(
    "tessera_pool_waits_total",
    "How often all connections were in use and somebody waited for one.",
    ("room", "pool"),
    kind="counter",
)
_WAITED = metrics.read_figure(
    "tessera_pool_wait_seconds_total",
    "Time that was waited for a free connection; seconds.",
    ("room", "pool"),
    kind="counter",
)

_heard: dict[tuple[str, str], int] = {}


def heard(room: str, source: str, sequence: int) -> None:
    """Note the end of a source's log as a message or the source itself told it last.

    Args:
        room: that listens.
        source: whose log it is.
        sequence: of its last event.
    """
    _heard[room, source] = sequence


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of a room that wait for something.

    Args:
        name: value of the last label.
        since: statement of one column, when each of them began to wait.
        counted: the figure of how many there are, with the labels room and one more.
        oldest: the figure of the oldest one's age, with the same labels.
    """

    name: str
    since: sa.Select[Any]
    counted: metrics.Figure = SAGAS
    oldest: metrics.Figure | None = OLDEST_SAGA


_NEVER = sa.cast(sa.null(), UtcDateTime())


def read(database: Database, waiting: Sequence[Waiting]) -> list[metrics.Sample]:
    """Ask the database once.

    Args:
        database: of the room.
        waiting: what the room counts besides what all rooms do.

    Raises:
        service.unavailable: it does not answer.
    """
    statement = sa.union_all(*_parts(waiting))
    rows = database.read(lambda connection: connection.execute(statement).all())
    now = datetime.now(UTC)
    return [sample for row in rows for sample in _samples(database.service, row, waiting, now)]


def read_pools(database: Database) -> Iterator[metrics.Sample]:
    """Yield what is known of the connections, without a question to the database."""
    for name, engine in database.engines.items():
        pool = engine.pool
        assert isinstance(pool, CountingPool)
        labels = (database.service, name)
        yield _IN_USE, labels, pool.checkedout()
        yield _SIZE, labels, pool.most
        yield _WAITS, labels, pool.waits
        yield _WAITED, labels, pool.waited_seconds


def _parts(waiting: Sequence[Waiting]) -> Iterator[sa.Select[Any]]:
    """Yield the pieces; each has the columns what, name, count, moment."""

    def part(what: str, name: Any, count: Any, moment: Any) -> sa.Select[Any]:
        return sa.select(
            sa.literal(what, sa.String()).label("what"), name.label("name"), count.label("n"), moment.label("moment")
        )

    def counted(what: str, name: str, since: sa.Select[Any]) -> sa.Select[Any]:
        rows = since.limit(MOST).subquery()
        oldest = sa.type_coerce(sa.func.min(rows.c[0]), UtcDateTime())
        return part(what, sa.literal(name, sa.String()), sa.func.count(), oldest).select_from(rows)

    yield counted("outbox", "", sa.select(outbox.c.created_at).where(outbox.c.sent_at.is_(None)))
    yield part("position", positions.c.source, positions.c.sequence, positions.c.stopped_at)
    for what, condition in (
        ("retried", retry_events.c.parked_at.is_(None)),
        ("parked", retry_events.c.parked_at.is_not(None)),
    ):
        rows = sa.select(retry_events.c.source).where(condition).limit(MOST).subquery()
        yield part(what, rows.c.source, sa.func.count(), _NEVER).group_by(rows.c.source)
    for number, each in enumerate(waiting):
        yield counted(f"waiting {number}", each.name, each.since)


def _samples(room: str, row: Any, waiting: Sequence[Waiting], now: datetime) -> Iterator[metrics.Sample]:
    age = max(0.0, (now - row.moment).total_seconds()) if row.moment is not None else 0.0
    match row.what:
        case "outbox":
            yield _BACKLOG, (room,), row.n
            yield _LAG, (room,), age
        case "position":
            labels = (room, row.name)
            yield _POSITION, labels, row.n
            yield _BEHIND, labels, max(0, _heard.get(labels, 0) - row.n)
            yield _STOPPED, labels, 0 if row.moment is None else 1
        case "retried":
            yield _RETRIED, (room, row.name), row.n
        case "parked":
            yield _PARKED, (room, row.name), row.n
        case what:
            each = waiting[int(what.rpartition(" ")[2])]
            yield each.counted, (room, each.name), row.n
            if each.oldest is not None:
                yield each.oldest, (room, each.name), age
