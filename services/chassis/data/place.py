"""The place of a consumer in a source's log: sequence, event applied last, epoch, whether it had to stop (rule R25)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.tables import positions

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a consumer stands.

    Args:
        sequence: of the event applied last, 0 before the first one.
        event_id: of that event; None before the first one, and in a row that an older version wrote.
        epoch: of the source's log when it was read last.
        stopped: why nothing of this source is applied any more, None when all is well.
    """

    sequence: int = 0
    event_id: str | None = None
    epoch: str | None = None
    stopped: str | None = None

    def after(self, document: Mapping[str, Any]) -> Place:
        """Return the place once a document is applied."""
        return replace(self, sequence=int(document["sequence"]), event_id=str(document["id"]))

    def is_next(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a document follows: it names the event applied last, or counts on from an unnamed one."""
        if "previousid" in document:
            return bool(document["sequence"] > self.sequence and document["previousid"] == self.event_id)
        return bool(document["sequence"] == self.sequence + 1)

    def flaw(self, source: str, page: Mapping[str, Any]) -> str | None:
        """Tell how the source's log differs from the one that was followed up to here; None when it is the same.

        Args:
            source: its name.
            page: its answer to `read_events` after this very place.
        """
        at: Mapping[str, Any] | None = page["at"]
        if self.is_unnamed:
            same = at is not None and at["sequence"] == self.sequence
        else:
            same = (at["id"] if at is not None else None) == self.event_id
        if same:
            return None
        last = page["last_sequence"]
        told = f"event {self.event_id}, " if self.event_id else ""
        found = f"ends at {last}" if last < self.sequence else "has another event there"
        return (
            f"{told}sequence {self.sequence}, was applied, and the log of {source} {found}: it was restored to an "
            f"older state; run: tessera-admin reconcile-events {source}"
        )

    @property
    def is_unnamed(self) -> bool:
        """Tell whether an older version wrote this place, without the event's id."""
        return self.event_id is None and self.sequence > 0


def follow(documents: Iterable[Document], place: Place) -> list[Document]:
    """Return the documents that follow a place without a gap, in order and each once."""
    found = []
    by_sequence = {document["sequence"]: document for document in documents if document["sequence"] > place.sequence}
    for _, document in sorted(by_sequence.items()):
        if not place.is_next(document):
            break
        found.append(document)
        place = place.after(document)
    return found


def read_place(connection: Connection, source: str, *, lock: bool = False) -> Place:
    """Return where a consumer stands in a source's log; `lock` keeps it there until the transaction ends."""
    columns = (positions.c.sequence, positions.c.event_id, positions.c.epoch, positions.c.stopped_because)
    statement = sa.select(*columns).where(positions.c.source == source)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return Place(*row) if row is not None else Place()


def read_stopped(connection: Connection) -> dict[str, str]:
    """Return the sources of which nothing is applied any more, with the reasons."""
    rows = connection.execute(
        sa.select(positions.c.source, positions.c.stopped_because)
        .where(positions.c.stopped_because.is_not(None))
        .order_by(positions.c.source)
    )
    return {row.source: row.stopped_because for row in rows}


def read_places(connection: Connection) -> dict[str, Place]:
    """Return where a room stands in the log of each source that it has applied events of."""
    sources = connection.execute(sa.select(positions.c.source).order_by(positions.c.source)).scalars().all()
    return {source: read_place(connection, source) for source in sources}
