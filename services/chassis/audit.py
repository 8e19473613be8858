"""What the rooms' audits have in common: the shape of a report, and the digest by which two rooms compare a log.

Each room audits its own tables with an independent re-calculation; `deploy.audit` puts the reports together and
compares digests, so that nobody reads another room's tables (rule L14). What a room checks does not belong here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.chassis import epochs
from services.chassis.db import Database
from services.chassis.outbox import MAX_PAGE, Event, read_events
from services.chassis.place import Place, read_places, read_stopped
from services.chassis.tables import outbox, outbox_head, retry_events

MAX_FLAWS = 20
_STREAMED_AT_ONCE = 1000
_LONGEST_STATEMENT = "SET LOCAL statement_timeout = '1h'"
# Between two pages of a stream the session waits for this process, which may be busy verifying signatures.
_LONGEST_PAUSE = "SET LOCAL idle_in_transaction_session_timeout = '10min'"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: over how many objects, and what was found wrong (at most `MAX_FLAWS` are told).

    `passing` marks a check whose flaws go away by themselves while the services run, such as an event on its way.
    """

    name: str
    checked: int
    flaws: tuple[str, ...] = ()
    digest: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """A stretch of a source's events: who has the same digest over the same stretch has the same events."""

    source: str
    first: int
    last: int
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one room; `log` is its own outbox, `places` say up to where it has applied the others'."""

    room: str
    checks: tuple[Check, ...]
    log: Log | None = None
    places: dict[str, Place] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found wrong."""
        return not any(check.flaws for check in self.checks)

    @property
    def is_behind(self) -> bool:
        """Tell whether something is under way that may be done when asked again."""
        return any(check.flaws for check in self.checks if check.passing)


@dataclass(slots=True)
class Flaws:
    """Collects what is wrong; beyond `MAX_FLAWS` only the number grows."""

    texts: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, text: str) -> None:
        """Note one flaw."""
        if len(self.texts) < MAX_FLAWS:
            self.texts.append(text)
        else:
            self.more += 1

    def told(self) -> tuple[str, ...]:
        """Return the flaws as a check tells them."""
        return (*self.texts, f"and {self.more} more") if self.more else tuple(self.texts)


def read_all(database: Database, work: Callable[[Connection], Report]) -> Report:
    """Run a room's audit over one snapshot, with limits of its own: it reads whole tables, which requests never do.

    Args:
        database: of the room.
        work: reads and reports.
    """

    def unhurried(connection: Connection) -> Report:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_LONGEST_STATEMENT)
            connection.exec_driver_sql(_LONGEST_PAUSE)
        return work(connection)

    return database.read(unhurried, snapshot=True)


def stream(connection: Connection, statement: Any) -> Iterable[Row[Any]]:
    """Read rows through a cursor in the server, so that memory stays flat however many there are.

    Args:
        connection: of a snapshot; several streams of it may be open at once.
        statement: to read.
    """
    return connection.execute(statement, execution_options={"yield_per": _STREAMED_AT_ONCE})


def log_of(source: str, first: int, last: int, events: Iterable[Event]) -> Log:
    """Digest events in the order of their sequence: SHA-256 over the canonical JSON of each."""
    digest, count = hashlib.sha256(), 0
    for event in events:
        digest.update(_canonical(event))
        count += 1
    return Log(source, first, last, count, digest.hexdigest())


def outbox_log(connection: Connection, source: str) -> Log:
    """Digest a service's own outbox: every sequence it still holds."""
    first, last = connection.execute(sa.select(sa.func.min(outbox.c.sequence), sa.func.max(outbox.c.sequence))).one()
    if first is None:
        return Log(source, 1, 0, 0, hashlib.sha256().hexdigest())
    return log_of(source, first, last, _events(connection, first - 1))


def check_outbox(connection: Connection, log: Log) -> Check:
    """Check that the sequence has no gap and ends where its head says."""
    flaws = Flaws()
    missing = epochs.missing_before(connection, log.first, log.last)
    if log.count + missing != log.last - log.first + 1:
        flaws.add(f"the outbox holds {log.count} events between sequence {log.first} and {log.last}")
    head = connection.scalar(sa.select(outbox_head.c.last_sequence)) or 0
    # A new epoch that has no event yet has moved the head alone.
    if log.count and head != log.last and epochs.missing_before(connection, log.last + 1, head) != head - log.last:
        flaws.add(f"the outbox ends at sequence {log.last}, its head says {head}")
    return Check("outbox without gaps", log.count, flaws.told(), log.digest)


def check_sent(connection: Connection) -> Check:
    """Check that the relay has published every event."""
    unsent = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.sent_at.is_(None))
    waiting = connection.scalar(unsent) or 0
    flaws = (f"{waiting} events wait to be published; start the services and audit again",) if waiting else ()
    return Check("every event published", waiting, flaws, passing=True)


def check_parked(connection: Connection) -> Check:
    """Check that no event of another room was given up after its retries (invariant I13)."""
    rows = connection.execute(
        sa.select(retry_events.c.source, retry_events.c.event_id, retry_events.c.reason)
        .where(retry_events.c.parked_at.is_not(None))
        .order_by(retry_events.c.event_id)
    ).all()
    flaws = Flaws()
    for row in rows:
        flaws.add(f"event {row.event_id} of {row.source} is parked: {row.reason.strip().splitlines()[-1:]}")
    return Check("no parked events", len(rows), flaws.told())


def check_followed(connection: Connection) -> Check:
    """Check that this room has stopped to follow no other one's log (rule R25)."""
    stopped = read_stopped(connection)
    flaws = tuple(f"events of {source} are not applied since: {reason}" for source, reason in stopped.items())
    return Check("every source is followed", len(read_places(connection)), flaws)


def check_places(room: str, places: Mapping[str, Place], sources: Mapping[str, Callable[[int], str | None]]) -> Check:
    """Check that each source's log still has the event that a room has applied last (rule R25).

    Args:
        room: whose places they are.
        places: source -> where the room stands.
        sources: source -> what gives the id of its last event up to a sequence.
    """
    flaws = Flaws()
    for source, place in places.items():
        if source in sources and not place.is_unnamed and sources[source](place.sequence) != place.event_id:
            flaws.add(
                f"{room} has applied {source} up to {place.sequence}, event {place.event_id}, which {source} does not "
                f"have there: one of the two was restored; run: tessera-admin reconcile-events {source}"
            )
    return Check("applied events are in their sources", len(places), flaws.told())


def outbox_report(connection: Connection, room: str, checks: Iterable[Check] = ()) -> Report:
    """Report a room's checks together with those that are the same for every room."""
    log = outbox_log(connection, room)
    common = (
        check_outbox(connection, log),
        check_sent(connection),
        check_parked(connection),
        check_followed(connection),
    )
    return Report(room, (*checks, *common), log, read_places(connection))


def _events(connection: Connection, after: int) -> Iterable[Event]:
    while documents := read_events(connection, after, MAX_PAGE):
        for document in documents:
            event = Event.from_document(document)
            yield event
        after = event.sequence


def _canonical(event: Event) -> bytes:
    facts: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "sequence": event.sequence,
        "type": event.type,
        "time": event.time.isoformat(timespec="microseconds"),
        "subject": event.subject,
        "company": event.companyid,
        "project": event.projectid,
        "device": event.deviceid,
        "hardware": event.hardwareid,
        "actor": event.actorid,
        "request": event.requestid,
        "data": event.data,
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
