"""The only write of history: events become lines at the end of their chains."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.declare import handler
from services.history import store
from services.history.domain import Line, append, canonical_json


@handler()
def append_events(unit: Unit, events: Sequence[Event]) -> int:
    """Append one line per event and answer how many were new.

    All of a batch is in the caller's transaction, in which the inbox also moves its position: a batch is
    there whole or not at all (rule L13). An event that has a line already is passed over, so that a source
    that sends its past again changes nothing (rule R1).
    """
    known = store.known_events(unit.connection, [event.id for event in events])
    lines = [line_of(event) for event in events if event.id not in known]
    if not lines:
        return 0
    heads = store.lock_chains(unit.connection, (line.chain for line in lines))
    entries = []
    for line in lines:
        heads[line.chain], entry = append(heads[line.chain], line)
        entries.append(entry)
    store.add_lines(unit.connection, entries)
    store.move_heads(unit.connection, heads.values())
    return len(entries)


def line_of(event: Event) -> Line:
    """Take from an event what a line keeps."""
    return Line(
        event_id=event.id,
        source=event.source,
        source_sequence=event.sequence,
        action=event.type,
        at=event.time,
        subject=event.subject,
        company_id=event.companyid,
        project_id=event.projectid,
        device_id=event.deviceid,
        hardware_id=event.hardwareid,
        actor_id=event.actorid,
        request_id=event.requestid,
        data=canonical_json(event.data),
    )
