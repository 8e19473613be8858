"""Brings a source that was restored to an older state and those who follow it together again (rules R25, O4).

What a follower has applied and the source no longer knows stays applied and is named: somebody has to look at it. The
follower goes back to the last event that both know and reads on from there; the source begins a new epoch above all
that was ever applied, so that no sequence stands for two events that anybody might take for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import epochs
from services.chassis.data.db import Database
from services.chassis.data.outbox import last_upto
from services.chassis.data.place import Place, read_place
from services.chassis.data.tables import applied_events, outbox, positions
from services.chassis.data.unit import Unit

_CHUNK: Final = 500
SWEPT: Final = 500
KEPT_DAYS: Final = 90
"""How long a follower remembers which events it has applied: the oldest backup that can be reconciled by name."""


@dataclass(frozen=True, slots=True)
class LostEvent:
    """An event that a follower has applied and that the source no longer knows."""

    sequence: int
    event_id: str
    type: str
    subject: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Follower:
    """How one room stands to the source: the last event that both know, and what only the room knows."""

    room: str
    sequence: int
    highest: int
    fork: Place
    lost: tuple[LostEvent, ...]
    stopped: bool

    @property
    def is_ahead(self) -> bool:
        """Tell whether the room has applied what the source does not know."""
        return self.stopped or bool(self.lost) or self.fork.sequence != self.sequence


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found and, unless it was a rehearsal, done; `epoch` is the new one, None where none was needed."""

    source: str
    followers: tuple[Follower, ...]
    epoch: str | None


def reconcile(source: Database, followers: Mapping[str, Database], *, dry_run: bool = False) -> Reconciled:
    """Reconcile those who follow a source with its log; done again, or where nothing is wrong, it changes nothing.

    Args:
        source: the database that was restored.
        followers: room -> its database, of every room that listens to the source.
        dry_run: only tell what would be done.

    Raises:
        service.unavailable: a database does not answer; what was done stays, and the command can be repeated.
    """
    rooms = {room: database for room, database in sorted(followers.items()) if _follows(database, source.service)}
    found = tuple(_follower(room, database, source) for room, database in rooms.items())
    if dry_run or not any(follower.is_ahead for follower in found):
        return Reconciled(source.service, found, None)
    above = max(follower.highest for follower in found)
    epoch = source.write(lambda unit: epochs.start_next(unit.connection, unit.now, above))
    for database in rooms.values():
        database.write(partial(_go_back, source=source, epoch=epoch))
    return Reconciled(source.service, found, epoch)


def sweep_applied(connection: Connection, before: datetime) -> int:
    """Forget which events were applied before a time; those that a source lost are kept, since the audit needs them."""
    old = sa.select(applied_events.c.event_id).where(
        applied_events.c.applied_at < before, applied_events.c.lost_at.is_(None)
    )
    return connection.execute(
        sa.delete(applied_events).where(
            applied_events.c.event_id.in_(old.order_by(applied_events.c.applied_at).limit(SWEPT))
        )
    ).rowcount


def _follows(database: Database, source: str) -> bool:
    place = sa.select(positions.c.source).where(positions.c.source == source)
    return database.read(lambda connection: connection.execute(place).first()) is not None


def _follower(room: str, database: Database, source: Database) -> Follower:
    place = database.read(lambda connection: read_place(connection, source.service))
    fork, lost = database.read(partial(_compared, source=source, place=place))
    newest = sa.select(sa.func.max(applied_events.c.sequence)).where(applied_events.c.source == source.service)
    highest = max(place.sequence, database.read(lambda connection: connection.execute(newest).scalar()) or 0)
    return Follower(room, place.sequence, highest, fork, lost, place.stopped is not None)


def _go_back(unit: Unit, source: Database, epoch: str) -> None:
    """Put a follower to the last event that both know, and mark what only it knows."""
    place = read_place(unit.connection, source.service, lock=True)
    fork, lost = _compared(unit.connection, source, place)
    mine = applied_events.c.source == source.service
    for ids in _pieces([event.event_id for event in lost]):
        unit.execute(
            sa.update(applied_events)
            .where(mine, applied_events.c.event_id.in_(ids), applied_events.c.lost_at.is_(None))
            .values(lost_at=unit.now)
        )
    unit.execute(
        sa.update(positions)
        .where(positions.c.source == source.service)
        .values(
            sequence=fork.sequence,
            event_id=fork.event_id,
            epoch=epoch,
            stopped_at=None,
            stopped_because=None,
            updated_at=unit.now,
        )
    )


def _compared(connection: Connection, source: Database, place: Place) -> tuple[Place, tuple[LostEvent, ...]]:
    """Return the last event that both know, and those since then that only the follower knows."""
    at = source.read(partial(last_upto, sequence=place.sequence))
    if (at.id if at is not None else None) == place.event_id:
        return place, ()
    lost: list[LostEvent] = []
    before = place.sequence + 1
    while rows := _applied(connection, source.service, before):
        known = _known(source, [row.event_id for row in rows])
        for row in rows:
            if known.get(row.event_id) == row.sequence:
                return Place(row.sequence, row.event_id), tuple(reversed(lost))
            if row.event_id not in known and row.lost_at is None:
                lost.append(LostEvent(row.sequence, row.event_id, row.type, row.subject, row.applied_at))
            before = row.sequence
    # Nothing that is remembered is known there: what was applied before is taken to be what the source has there.
    at = source.read(partial(last_upto, sequence=before - 1))
    return (Place(at.sequence, at.id) if at is not None else Place()), tuple(reversed(lost))


def _applied(connection: Connection, source: str, before: int) -> list[sa.Row[Any]]:
    table = applied_events
    return list(
        connection.execute(
            sa.select(
                table.c.sequence, table.c.event_id, table.c.type, table.c.subject, table.c.applied_at, table.c.lost_at
            )
            .where(table.c.source == source, table.c.sequence < before)
            .order_by(table.c.sequence.desc(), table.c.event_id)
            .limit(_CHUNK)
        )
    )


def _known(source: Database, ids: list[str]) -> dict[str, int]:
    statement = sa.select(outbox.c.id, outbox.c.sequence).where(outbox.c.id.in_(ids), outbox.c.sequence.is_not(None))
    return {row.id: row.sequence for row in source.read(lambda connection: connection.execute(statement).all())}


def _pieces(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def lost_ids(connection: Connection, source: str) -> set[str]:
    """Return the ids of the events of a source that were applied here and that it lost."""
    lost = sa.select(applied_events.c.event_id).where(
        applied_events.c.source == source, applied_events.c.lost_at.is_not(None)
    )
    return set(connection.execute(lost).scalars())
