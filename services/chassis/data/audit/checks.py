"""What the rooms' audits have in common: the shape of a report, and the digest by which two rooms compare a log.

Each room audits its own tables with an independent re-calculation; `deploy.audit` puts the reports together and
compares digests, so that nobody reads another room's tables (rule L14). What a room checks does not belong here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.chassis.data import epochs
from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.data.place import Place, read_places, read_stopped
from services.chassis.data.tables import outbox, outbox_head, retry_events

MAX_FLAWS = 20
_MORE: Final = re.compile(r"and \d+ more")
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a row raises in which somebody has put garbage; it is a finding and never the end of an audit."""
_STREAMED_AT_ONCE = 1000
_IN_ORDER = sa.select(outbox).order_by(outbox.c.sequence.is_(None), outbox.c.sequence, outbox.c.emission)
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

    def after(self, earlier: Report) -> Report:
        """Return this report, where what is under way is told only if the earlier one told it as well."""
        before = {check.name: check.flaws for check in earlier.checks if check.passing}
        return replace(self, checks=tuple(_stayed(check, before.get(check.name)) for check in self.checks))


def _stayed(check: Check, before: tuple[str, ...] | None) -> Check:
    if not check.passing or before is None:
        return check
    # How many more there are is no flaw of its own.
    stayed = tuple(flaw for flaw in before if flaw in check.flaws and not _MORE.fullmatch(flaw))
    more = tuple(flaw for flaw in before if _MORE.fullmatch(flaw)) if stayed else ()
    return replace(check, flaws=(*stayed, *more))


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

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Note as a flaw that something cannot be read, and go on with the next; its content is not told."""
        try:
            yield
        except UNREADABLE as error:
            self.add(f"{what} cannot be read ({type(error).__name__}); bring it back from a backup")

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


def events(connection: Connection, types: Iterable[str] = ()) -> Iterator[tuple[Row[Any], Event]]:
    """Yield the rows of the outbox in the order of their sequence, with their events; what cannot be read is left out.

    Also those without a sequence yet: an event counts from its transaction on, published or not.

    Args:
        connection: of a snapshot.
        types: only these; all when absent.
    """
    wanted = tuple(types)
    for row in stream(connection, _IN_ORDER.where(outbox.c.type.in_(wanted)) if wanted else _IN_ORDER):
        event = event_of(row)
        if event is not None:
            yield row, event


def check_outbox(connection: Connection, source: str) -> tuple[Log, Check, Check]:
    """Digest a service's own outbox, check that it has no gap and ends where its head says, and read every event."""
    flaws, unreadable = Flaws(), Flaws()
    digest, count, checked, last = hashlib.sha256(), 0, 0, 0
    gaps: list[tuple[int, int]] = []
    for row in stream(connection, _IN_ORDER):
        checked += 1
        event = event_of(row)
        if event is None:
            unreadable.add(f"event {row.id} of the outbox cannot be read; bring the row back from a backup or history")
        elif not _is_of(row, event, source):
            unreadable.add(f"event {row.id} of the outbox says something else than its row about id, type or time")
        if row.sequence is None:
            if row.sent_at is not None:
                # The relay publishes what has a number; without one it was never told, and would count here for ever.
                flaws.add(f"event {row.id} of the outbox, {row.type}, is marked as published and never had a number")
            continue
        if row.sequence > last + 1 and len(gaps) < MAX_FLAWS:
            gaps.append((last + 1, row.sequence - 1))
        last, count = row.sequence, count + 1
        digest.update(str(row.event).encode() if event is None else _canonical(event))
    # From the very first one: nothing takes events out of an outbox.
    log = Log(source, 1, last, count, digest.hexdigest())
    if log.count + epochs.missing_before(connection, 1, last) != last:
        lost = [(a, b) for a, b in gaps if epochs.missing_before(connection, a, b) != b - a + 1]
        names = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in lost)
        flaws.add(f"the outbox holds {count} events between sequence 1 and {last}; missing: {names or 'none'}")
    head = connection.scalar(sa.select(outbox_head.c.last_sequence)) or 0
    # A new epoch that has no event yet has moved the head alone.
    if log.count and head != log.last and epochs.missing_before(connection, log.last + 1, head) != head - log.last:
        flaws.add(f"the outbox ends at sequence {log.last}, its head says {head}")
    return (
        log,
        Check("outbox without gaps", log.count, flaws.told(), log.digest),
        Check("every event can be read", checked, unreadable.told()),
    )


def check_sent(connection: Connection) -> Check:
    """Check that the relay has published every event; those of a moment ago are on their way."""
    unsent = sa.select(outbox.c.id, outbox.c.created_at).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.emission)
    flaws, waiting = Flaws(), 0
    for row in stream(connection, unsent):
        waiting += 1
        flaws.add(f"event {row.id} of {row.created_at:%Y-%m-%d %H:%M:%S} waits to be published; start the services")
    return Check("every event published", waiting, flaws.told(), passing=True)


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


def event_of(row: Row[Any]) -> Event | None:
    """Return the event of a row of the outbox, None when it cannot be read, which the check of the outbox tells."""
    try:
        event = Event.from_document({**json.loads(row.event), "sequence": row.sequence or 0})
        _canonical(event)  # Lone surrogates are text to Python and to nobody else.
    except UNREADABLE:
        return None
    return event


def _is_of(row: Row[Any], event: Event, source: str) -> bool:
    same = (event.id, event.type, event.source) == (row.id, row.type, source)
    return same and abs((event.time - row.created_at).total_seconds()) < 0.001


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
