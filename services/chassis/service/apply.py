"""Applies event documents to a consumer's database: contiguous ones only, position and effect in one transaction.

What fails is put aside with a back-off and parked after the last attempt, and the position goes on (rule R10): one
event that cannot be handled holds up no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from services.chassis import metrics
from services.chassis.data.db import Database, Unit, insert_or_ignore
from services.chassis.data.outbox import Event
from services.chassis.data.place import Document, Place, follow, read_place
from services.chassis.data.tables import applied_events, positions, retry_events
from services.chassis.faults import fail_point

Handler = Callable[[Unit, list[Event]], None]

BACKOFF_SECONDS: Final = (1, 10, 60, 600)
MAX_ATTEMPTS: Final = 8
_RETRY_BATCH: Final = 20
_CHUNK: Final = 100
_PASSING: Final = frozenset({"40001", "40P01", "55P03"})

_APPLIED = metrics.counter(
    "tessera_events_applied_total", "Events of a source that were taken over, parked ones included.", ("room", "source")
)
_log = structlog.get_logger(__name__)


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
        self._place: Place | None = None

    def position(self) -> int:
        """Return the sequence up to which everything is applied; 0 before the first event."""
        return self.place().sequence

    def place(self, *, fresh: bool = False) -> Place:
        """Return where this consumer stands; `fresh` reads it again, since a command may have changed it."""
        if self._place is None or fresh:
            self._place = self._database.read(lambda connection: read_place(connection, self._source))
        return self._place

    def check(self, place: Place, page: Mapping[str, Any]) -> bool:
        """Compare the source's log with the one followed up to a place; stop, or go on again (rule R25).

        Args:
            place: where this consumer stood when it asked.
            page: what `read_events` answered to its sequence.

        Returns:
            Whether events may be applied.
        """
        flaw = place.flaw(self._source, page)
        at = page["at"]
        event_id = place.event_id if flaw or at is None else at["id"]
        checked = replace(place, event_id=event_id, epoch=page["epoch"], stopped=flaw)
        if checked != place:
            self._database.write(partial(self._note, place=place, checked=checked))
            self._place = None
        if flaw is not None and place.stopped is None:
            _log.critical("events of a source are not applied any more", source=self._source, reason=flaw)
        return flaw is None and self.place() == checked

    def _note(self, unit: Unit, place: Place, checked: Place) -> None:
        # The epoch of a source that we do not follow any more says nothing.
        epoch = checked.epoch if checked.stopped is None else place.epoch
        insert_or_ignore(unit.connection, positions, {"source": self._source, "sequence": 0, "updated_at": unit.now})
        # Another process, or the command that reconciles, may have been faster.
        if read_place(unit.connection, self._source, lock=True) == place:
            unit.execute(
                sa.update(positions)
                .where(positions.c.source == self._source)
                .values(
                    event_id=checked.event_id,
                    epoch=epoch,
                    stopped_because=checked.stopped,
                    stopped_at=unit.now if checked.stopped is not None else None,
                )
            )

    def apply(self, documents: list[Document]) -> int:
        """Apply the documents that follow the position; returns how many. Others are left to a later fetch."""
        applied = 0
        while True:
            place = self.place()
            ready = follow(documents, place)[:_CHUNK]
            if not ready or place.stopped is not None:
                return applied
            fail_point("inbox.before_transaction")
            try:
                self._place = self._database.write(partial(self._advance, documents=ready))
            except Exception:
                self._place = None
                raise
            applied += len(ready)
            _APPLIED.labels(self._database.service, self._source).inc(len(ready))
            fail_point("inbox.after_commit")

    def retry_due(self) -> int:
        """Try again what has failed and is due; returns how many events were tried."""
        if self.place().stopped is not None:
            return 0
        return self._database.write(self._retry) if self._has_due() else 0

    def _advance(self, unit: Unit, documents: list[Document]) -> Place:
        insert_or_ignore(unit.connection, positions, {"source": self._source, "sequence": 0, "updated_at": unit.now})
        place = read_place(unit.connection, self._source, lock=True)
        # Another process may have been faster.
        ready = follow(documents, place)
        if not ready or place.stopped is not None:
            return place
        fresh = self._unknown(unit, ready)
        if fresh and not self._handled(unit, fresh):
            for document in fresh:
                if not self._handled(unit, [document]):
                    self._put_aside(unit, document)
        place = place.after(ready[-1])
        unit.execute(
            sa.update(positions)
            .where(positions.c.source == self._source)
            .values(sequence=place.sequence, event_id=place.event_id, updated_at=unit.now)
        )
        fail_point("inbox.before_commit")
        return place

    def _unknown(self, unit: Unit, documents: list[Document]) -> list[Document]:
        """Return the documents that were not applied before under whatever sequence, and remember them as applied."""
        table = applied_events
        ids = [document["id"] for document in documents]
        mine = sa.and_(table.c.source == self._source, table.c.event_id.in_(ids))
        known = set(unit.execute(sa.select(table.c.event_id).where(mine)).scalars())
        if known:
            unit.execute(sa.update(table).where(mine).values(lost_at=None))
        fresh = [document for document in documents if document["id"] not in known]
        if fresh:
            unit.execute(sa.insert(table), [self._remembered(unit, document) for document in fresh])
        return fresh

    def _remembered(self, unit: Unit, document: Document) -> dict[str, Any]:
        return {
            "source": self._source,
            "event_id": document["id"],
            "sequence": document["sequence"],
            "type": str(document["type"])[:80],
            "subject": str(document.get("subject", ""))[:128],
            "applied_at": unit.now,
        }

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
