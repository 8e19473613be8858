"""The part of every audit about places in logs: epochs of the own log, how far others' were applied, nothing set back.

A restore brings places back as they were. What was applied since, or what others have applied of a log, says so (R25).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import Check, Flaws
from services.chassis.data.outbox import last_upto
from services.chassis.data.place import Place, read_places
from services.chassis.data.tables import applied_events, log_epochs


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last event of a source up to a sequence, and all epochs of its log."""

    sequence: int = 0
    event_id: str | None = None
    epochs: frozenset[str] = field(default_factory=frozenset)


def read_end(connection: Connection, sequence: int) -> LogEnd:
    """Return a source's last event up to a sequence, as the source has it."""
    last = last_upto(connection, sequence)
    known = frozenset(connection.execute(sa.select(log_epochs.c.epoch)).scalars())
    return LogEnd(last.sequence, str(last.id), known) if last is not None else LogEnd(epochs=known)


def check_epochs(connection: Connection) -> Check:
    """Check that every epoch of the own log begins behind the end of the one before, the first one with the log."""
    flaws, before = Flaws(), 0
    rows = connection.execute(sa.select(log_epochs).order_by(log_epochs.c.start)).all()
    for number, row in enumerate(rows):
        last = last_upto(connection, row.start - 1)
        # An epoch in which nothing happened ends where it begins.
        ends = {before, last.sequence if last is not None else 0}
        if row.previous_end not in ends or (number == 0) != (row.start == 1) or row.previous_end >= row.start:
            flaws.add(
                f"epoch {row.epoch} starts at {row.start} behind {row.previous_end}, the log before ends at {max(ends)}"
            )
        before = row.start - 1
    return Check("epochs follow each other", len(rows), flaws.told())


def check_not_set_back(connection: Connection) -> Check:
    """Check that no place is before an event that was applied, but for those that a restore of the source lost."""
    flaws, checked = Flaws(), 0
    places = read_places(connection)
    highest = sa.select(applied_events.c.source, sa.func.max(applied_events.c.sequence).label("sequence"))
    for row in connection.execute(highest.where(applied_events.c.lost_at.is_(None)).group_by(applied_events.c.source)):
        checked += 1
        place = places.get(row.source, Place())
        if row.sequence > place.sequence:
            flaws.add(f"the place in the log of {row.source} is {place.sequence}, and {row.sequence} was applied")
    return Check("places are not set back", checked, flaws.told())


def check_places(room: str, places: Mapping[str, Place], sources: Mapping[str, Callable[[int], LogEnd]]) -> Check:
    """Check that each source's log still has the event that a room has applied last, where it had it (rule R25).

    Args:
        room: whose places they are.
        places: source -> where the room stands.
        sources: source -> what gives the end of its log up to a sequence.
    """
    flaws = Flaws()
    for source, place in places.items():
        if source not in sources or place.is_unnamed:
            continue
        end = sources[source](place.sequence)
        if (end.sequence, end.event_id) != (place.sequence, place.event_id):
            flaws.add(
                f"{room} has applied {source} up to {place.sequence}, event {place.event_id}, which {source} does not "
                f"have there: one of the two was restored; run: tessera-admin reconcile-events {source}"
            )
        elif place.epoch is not None and place.epoch not in end.epochs:
            flaws.add(
                f"{room} has applied {source} in the epoch {place.epoch}, which {source} never had: one of the two "
                f"was restored; run: tessera-admin reconcile-events {source}"
            )
    return Check("applied events are in their sources", len(places), flaws.told())
