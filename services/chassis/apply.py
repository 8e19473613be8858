"""Applies event documents to a consumer's database: contiguous ones only, position and effect in one transaction.

What fails is put aside with a back-off and parked after the last attempt, and the position goes on (rule R10): one
event that cannot be handled holds up no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.exc import DBAPIError

from services.chassis.db import Database, Unit, insert_or_ignore
from services.chassis.faults import fail_point
from services.chassis.outbox import Event
from services.chassis.tables import positions, retry_events

Document = dict[str, Any]
Handler = Callable[[Unit, list[Event]], None]

BACKOFF_SECONDS: Final = (1, 10, 60, 600)
MAX_ATTEMPTS: Final = 8
_RETRY_BATCH: Final = 20
_CHUNK: Final = 100
_PASSING: Final = frozenset({"40001", "40P01", "55P03"})

PARKED = Counter("tessera_events_parked_total", "Events given up after the last attempt.", ["service", "source"])
POSITION = Gauge(
    "tessera_events_position", "Sequence up to which a source's events are applied.", ["service", "source"]
)
_log = structlog.get_logger(__name__)


def contiguous(documents: Iterable[Document], position: int) -> list[Document]:
    """Return the documents that follow `position` without a gap, in order and each once."""
    by_sequence = {document["sequence"]: document for document in documents}
    found = []
    while (following := by_sequence.get(position + 1)) is not None:
        found.append(following)
        position += 1
    return found


class Applier:
    """Applies one source's events to one consumer's database.

    Args:
        database: of the consumer.
        source: name of the emitting service.
        handler: gets the running unit and events; runs in a savepoint and may be run again.
    """

    def __init__(self, database: Database, source: str, handler: Handler) -> None:
        self._database = database
        self._source = source
        self._handler = handler
        self._position: int | None = None

    def position(self) -> int:
        """Return the sequence up to which everything is applied; 0 before the first event."""
        if self._position is None:
            statement = sa.select(positions.c.sequence).where(positions.c.source == self._source)
            self._position = self._database.read(lambda c: c.execute(statement).scalar()) or 0
        return self._position

    def note_end(self, last: int) -> None:
        """Note what the source says is its last sequence; behind our position means that its log was lost."""
        if last < self.position():
            _log.error(
                "the source's log ends before our position", source=self._source, last=last, position=self._position
            )

    def apply(self, documents: list[Document]) -> int:
        """Apply the documents that follow the position; returns how many. Others are left to a later fetch."""
        applied = 0
        while True:
            ready = contiguous(documents, self.position())[:_CHUNK]
            if not ready:
                return applied
            fail_point("inbox.before_transaction")
            try:
                self._position = self._database.write(partial(self._advance, documents=ready))
            except Exception:
                self._position = None
                raise
            applied += len(ready)
            POSITION.labels(self._database.service, self._source).set(self._position)
            fail_point("inbox.after_commit")

    def apply_unordered(self, documents: list[Document]) -> None:
        """Apply documents without looking at the position; only for the fault run's plain variants."""
        if documents:
            self._database.write(lambda unit: self._handler(unit, [Event.from_document(d) for d in documents]))

    def retry_due(self) -> int:
        """Try again what has failed and is due; returns how many events were tried."""
        return self._database.write(self._retry) if self._has_due() else 0

    def _advance(self, unit: Unit, documents: list[Document]) -> int:
        insert_or_ignore(unit.connection, positions, {"source": self._source, "sequence": 0, "updated_at": unit.now})
        row = sa.select(positions.c.sequence).where(positions.c.source == self._source).with_for_update()
        position = int(unit.execute(row).scalar_one())
        # Another process may have been faster.
        ready = contiguous(documents, position)
        if not ready:
            return position
        if not self._handled(unit, ready):
            for document in ready:
                if not self._handled(unit, [document]):
                    self._put_aside(unit, document)
        unit.execute(
            sa.update(positions)
            .where(positions.c.source == self._source)
            .values(sequence=ready[-1]["sequence"], updated_at=unit.now)
        )
        fail_point("inbox.before_commit")
        return int(ready[-1]["sequence"])

    def _handled(self, unit: Unit, documents: list[Document]) -> bool:
        savepoint = unit.connection.begin_nested()
        events_before = len(unit.events)
        try:
            self._handler(unit, [Event.from_document(document) for document in documents])
        except Exception as error:
            if _will_pass(error):
                raise
            savepoint.rollback()
            del unit.events[events_before:]
            self._reason = f"{type(error).__name__}: {error}"[:500]
            _log.warning(
                "events failed",
                source=self._source,
                first=documents[0]["sequence"],
                count=len(documents),
                exc_info=error,
            )
            return False
        savepoint.commit()
        return True

    def _put_aside(self, unit: Unit, document: Document) -> None:
        insert_or_ignore(
            unit.connection,
            retry_events,
            {
                "event_id": document["id"],
                "source": self._source,
                "event": json.dumps(document),
                "attempts": 1,
                "next_at": unit.now + timedelta(seconds=BACKOFF_SECONDS[0]),
                "reason": self._reason,
            },
        )

    def _due(self, now: datetime) -> sa.Select[Any]:
        mine = (
            retry_events.c.source == self._source,
            retry_events.c.parked_at.is_(None),
            retry_events.c.next_at <= now,
        )
        return sa.select(retry_events).where(*mine).order_by(retry_events.c.next_at).limit(_RETRY_BATCH)

    def _has_due(self) -> bool:
        return self._database.read(lambda c: c.execute(self._due(datetime.now(UTC))).first()) is not None

    def _retry(self, unit: Unit) -> int:
        rows = unit.execute(self._due(unit.now).with_for_update(skip_locked=True)).all()
        for row in rows:
            key = retry_events.c.event_id == row.event_id
            if self._handled(unit, [json.loads(row.event)]):
                unit.execute(sa.delete(retry_events).where(key))
                continue
            attempts = row.attempts + 1
            values: dict[str, Any] = {"attempts": attempts, "reason": self._reason}
            if attempts >= MAX_ATTEMPTS:
                values |= {"parked_at": unit.now, "next_at": None}
                PARKED.labels(self._database.service, self._source).inc()
                _log.error("event parked", source=self._source, event_id=row.event_id, reason=self._reason)
            else:
                pause = BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1]
                values["next_at"] = unit.now + timedelta(seconds=pause)
            unit.execute(sa.update(retry_events).where(key).values(**values))
        return len(rows)


def _will_pass(error: Exception) -> bool:
    """Tell whether an error is the database's and not the event's, so that the whole transaction is to be repeated."""
    if not isinstance(error, DBAPIError):
        return False
    return bool(error.connection_invalidated) or getattr(error.orig, "pgcode", None) in _PASSING
