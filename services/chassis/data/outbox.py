"""The outbox: events are rows of the transaction that made them; a relay publishes them afterwards (rule R8).

The log of a service is its outbox in the order of `sequence`, which has no gaps as seen by a reader. AMQP is only the
fast path: whoever misses an event reads it here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import epochs
from services.chassis.data.tables import outbox
from services.chassis.errors import ERRORS, invalid
from services.chassis.fields import write_moment
from services.chassis.ids import new_id

MAX_PAGE = 500
PAGE_BYTES = 1_000_000
_FRAME_BYTES = 150
_EXTENSIONS = ("companyid", "projectid", "deviceid", "hardwareid", "actorid", "requestid")

_wakers: dict[str, list[Callable[[], None]]] = {}


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a subscriber sees it: CloudEvents 1.0 attributes and the extensions of the published contract."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str
    sequence: int
    data: Mapping[str, Any]
    companyid: str | None = None
    projectid: str | None = None
    deviceid: str | None = None
    hardwareid: str | None = None
    actorid: str | None = None
    requestid: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Event:
        """Read a CloudEvents JSON document; a `KeyError` or `ValueError` means that it is none of ours."""
        return cls(
            id=str(document["id"]),
            source=str(document["source"]),
            type=str(document["type"]),
            time=datetime.fromisoformat(str(document["time"])),
            subject=str(document.get("subject", "")),
            sequence=int(document["sequence"]),
            data=dict(document["data"]),
            **{name: document.get(name) for name in _EXTENSIONS},
        )


def schema_address(source: str, type: str) -> str:
    """Return where the gateway serves the JSON Schema of an event's data.

    The version at its end is that of all events: fields are added to it and never change; what must change gets a new
    type.
    """
    return f"/schemas/events/{source}/{type}/1"


def event_row(
    source: str, type: str, now: datetime, attributes: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the outbox row of one event; its id is the event's id, so that a repeat is the same event.

    Args:
        source: the emitting service.
        type: noun_past name, also the routing key.
        now: database time of the transaction.
        attributes: `subject` and the extensions; None values are left out.
        data: JSON object by the event's published schema; persons by id only.

    Raises:
        request.too_much_at_once: the event is larger than a message may be, and nobody could read it (rule R27).
    """
    event_id = new_id()
    document = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": type,
        "time": write_moment(now),
        "dataschema": schema_address(source, type),
        "datacontenttype": "application/json",
        **{name: value for name, value in attributes.items() if value is not None},
        "data": data,
    }
    event = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    if len(event.encode()) > PAGE_BYTES:
        raise invalid("request.too_much_at_once", ERRORS["request.too_much_at_once"])
    return {
        "id": event_id,
        "type": type,
        "event": event,
        "created_at": now,
    }


def last_upto(connection: Connection, sequence: int) -> Any:
    """Return the `sequence` and `id` of the last event up to a sequence; None when there is none."""
    found = sa.select(outbox.c.sequence, outbox.c.id).where(outbox.c.sequence <= sequence)
    return connection.execute(found.order_by(outbox.c.sequence.desc()).limit(1)).first()


def read_events(connection: Connection, after: int, limit: int, *, max_bytes: int = PAGE_BYTES) -> list[dict[str, Any]]:
    """Return event documents with a sequence above `after`, in order; each names the one before it and the epoch.

    Args:
        connection: where to read.
        after: sequence that is not wanted any more.
        limit: how many at most, 500 in any case.
        max_bytes: how much at most (rule R27); one document is returned however large it is.
    """
    previous = last_upto(connection, after)
    previous_id = previous.id if previous is not None else None
    epoch = epochs.current(connection)
    rows = connection.execute(
        sa.select(outbox.c.id, outbox.c.sequence, outbox.c.event)
        .where(outbox.c.sequence > after)
        .order_by(outbox.c.sequence)
        .limit(max(1, min(limit, MAX_PAGE)))
    )
    documents: list[dict[str, Any]] = []
    total = 0
    for row in rows:
        total += len(row.event.encode()) + _FRAME_BYTES
        if total > max_bytes and documents:
            break
        link = {"sequence": row.sequence, "epoch": epoch, "previousid": previous_id}
        documents.append({**json.loads(row.event), **link})
        previous_id = row.id
    return documents


def on_commit(service: str, waker: Callable[[], None]) -> None:
    """Call `waker` whenever a transaction of this process has put events into a service's outbox."""
    _wakers.setdefault(service, []).append(waker)


def forget(service: str) -> None:
    """Forget the wakers of a service that has stopped in this process."""
    _wakers.pop(service, None)


def wake(service: str) -> None:
    """Tell the relay of this process that there is something to send."""
    for waker in _wakers.get(service, ()):
        waker()
