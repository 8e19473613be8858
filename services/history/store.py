"""The only SQL of history. Rows in, value types of `domain` out; no rules in here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, false, func, insert, or_, select, true, update

from services.chassis.data.audit.checks import stream
from services.chassis.data.audit.sorted import in_order
from services.chassis.data.db import insert_or_ignore
from services.chassis.data.tables import applied_events
from services.history.domain import START, ChainedLine, Head, Line
from services.history.models import CREATIONS, RIGHTS
from services.history.models import Chain as ChainRow
from services.history.models import Line as LineRow

CHUNK = 2_000
# Lines of events that a source lost by a restore stay for ever; the source's log does not have them any more (R25).
_STILL_KNOWN = ~(
    select(applied_events.c.event_id)
    .where(
        applied_events.c.source == LineRow.source,
        applied_events.c.event_id == LineRow.event_id,
        applied_events.c.lost_at.is_not(None),
    )
    .exists()
)
RIGHT_GRANTED = "project_right_granted"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page starts: strictly before this line in the order newest first."""

    at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line as read for a page, with its place in the list."""

    place: Place
    line: Line


def known_events(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """Tell which of these events have a line already."""
    return set(connection.scalars(select(LineRow.event_id).where(LineRow.event_id.in_(event_ids))))


def lock_chains(connection: Connection, chains: Iterable[str]) -> dict[str, Head]:
    """Lock chains in the order of their names, starting those that are new, and answer where they stand.

    One order for all writers is what keeps two batches from waiting for each other (rule L3). On SQLite
    there is one writer at a time anyway.
    """
    names = sorted(set(chains))
    for name in names:
        insert_or_ignore(connection, ChainRow, {"chain": name, "count": 0, "hash": START})
    rows = connection.execute(
        select(ChainRow.chain, ChainRow.count, ChainRow.hash)
        .where(ChainRow.chain.in_(names))
        .order_by(ChainRow.chain)
        .with_for_update()
    )
    return {row.chain: Head(*row) for row in rows.all()}


def add_lines(connection: Connection, entries: Sequence[ChainedLine]) -> None:
    """Store lines at the end of their chains, in the order given."""
    connection.execute(insert(LineRow), [_values(entry) for entry in entries])


def move_heads(connection: Connection, heads: Iterable[Head]) -> None:
    """Store where locked chains stand now."""
    for head in heads:
        connection.execute(
            update(ChainRow).where(ChainRow.chain == head.chain).values(count=head.count, hash=head.hash)
        )


def heads(connection: Connection) -> list[Head]:
    """Tell where every chain stands, in the order of their names."""
    rows = connection.execute(select(ChainRow.chain, ChainRow.count, ChainRow.hash).order_by(ChainRow.chain))
    return [Head(*row) for row in rows]


def chain_lines(connection: Connection, chain: str) -> Iterator[ChainedLine]:
    """Walk the lines of one chain by number, a bounded piece at a time."""
    after = -1
    while True:
        rows = connection.execute(
            select(LineRow.__table__)
            .where(LineRow.chain == chain, LineRow.number > after)
            .order_by(LineRow.number)
            .limit(CHUNK)
        ).all()
        for row in rows:
            yield ChainedLine(_line(row), row.chain, row.number, row.previous_hash, row.hash)
        if len(rows) < CHUNK:
            return
        after = rows[-1].number


def heads_streamed(connection: Connection) -> Iterator[Head]:
    """Tell where every chain stands, in the order in which Python compares names, a bounded piece at a time."""
    statement = select(ChainRow.chain, ChainRow.count, ChainRow.hash).order_by(in_order(connection, ChainRow.chain))
    return (Head(*row) for row in stream(connection, statement))


def chain_names_streamed(connection: Connection) -> Iterator[str]:
    """Name every chain that a line claims to be in, in the order in which Python compares names."""
    names = select(LineRow.chain).distinct().subquery()
    return (row.chain for row in stream(connection, select(names).order_by(in_order(connection, names.c.chain))))


def source_lines(connection: Connection, source: str, first: int, last: int) -> Iterator[Line]:
    """Walk the lines from one source by its sequence, from `first` to `last`, both included."""
    after = first - 1
    while True:
        rows = connection.execute(
            select(LineRow.__table__)
            .where(
                LineRow.source == source, LineRow.source_sequence > after, LineRow.source_sequence <= last, _STILL_KNOWN
            )
            .order_by(LineRow.source_sequence)
            .limit(CHUNK)
        ).all()
        for row in rows:
            yield _line(row)
        if len(rows) < CHUNK:
            return
        after = rows[-1].source_sequence


def beyond(source: str, sequence: int) -> Select[str, int, str, int]:
    """Select the lines from one source that are of no sequence from 1 to this one, but for events that were lost."""
    outside = or_(LineRow.source_sequence < 1, LineRow.source_sequence > sequence)
    columns = (LineRow.chain, LineRow.number, LineRow.event_id, LineRow.source_sequence)
    return select(*columns).where(LineRow.source == source, outside, _STILL_KNOWN).order_by(LineRow.position)


def count_of_lost(connection: Connection, source: str) -> int:
    """Count the events of a source that have a line and that the source lost by a restore."""
    lost = (applied_events.c.source == source, applied_events.c.lost_at.is_not(None))
    return connection.execute(select(func.count()).select_from(applied_events).where(*lost)).scalar_one()


def count_of_source(connection: Connection, source: str, first: int, last: int) -> int:
    """Count the lines from one source between two of its sequences, both included."""
    return connection.execute(
        select(func.count())
        .select_from(LineRow)
        .where(
            LineRow.source == source, LineRow.source_sequence >= first, LineRow.source_sequence <= last, _STILL_KNOWN
        )
    ).scalar_one()


def page(connection: Connection, condition: ColumnElement[bool], before: Place | None, limit: int) -> list[PlacedLine]:
    """Read one page of the lines that a condition lets through, newest first."""
    query = select(LineRow.__table__).where(condition)
    if before is not None:
        query = query.where(LineRow.at <= before.at, or_(LineRow.at < before.at, LineRow.position < before.position))
    rows = connection.execute(query.order_by(LineRow.at.desc(), LineRow.position.desc()).limit(limit))
    return [PlacedLine(Place(row.at, row.position), _line(row)) for row in rows]


def exists(connection: Connection, condition: ColumnElement[bool]) -> bool:
    """Tell whether any line fulfills a condition."""
    return connection.execute(select(LineRow.position).where(condition).limit(1)).first() is not None


def project_owner(connection: Connection, project_id: str) -> str | None:
    """Name the company that created a project, None while no line tells of the project."""
    return connection.scalar(
        select(LineRow.company_id)
        .where(LineRow.project_id == project_id, CREATIONS)
        .order_by(LineRow.position)
        .limit(1)
    )


def guest_projects(connection: Connection, company_ids: Sequence[str]) -> dict[str, str]:
    """List the projects of others in which these companies may work now, with their owners.

    The right's own lines are the record: granting and removing one is told to the guest's company too.
    """
    open_now: set[str] = set()
    rows = connection.execute(
        select(LineRow.project_id, LineRow.action)
        .where(LineRow.company_id.in_(company_ids), RIGHTS)
        .order_by(LineRow.position)
    )
    for project_id, action in rows:
        if project_id is not None:
            (open_now.add if action == RIGHT_GRANTED else open_now.discard)(project_id)
    # In one statement, however many there are; the first line counts, as in `project_owner`.
    owners = connection.execute(
        select(LineRow.project_id, LineRow.company_id)
        .where(LineRow.project_id.in_(open_now), CREATIONS)
        .order_by(LineRow.position.desc())
    )
    found = {str(row.project_id): row.company_id for row in owners}
    return {project_id: owner for project_id, owner in found.items() if owner is not None and owner not in company_ids}


def count_of_companies(connection: Connection, company_ids: Sequence[str]) -> int:
    """Count the lines of companies."""
    statement = select(func.count()).select_from(LineRow).where(LineRow.company_id.in_(company_ids))
    return connection.execute(statement).scalar_one()


# Conditions: the vocabulary in which `queries` says what a reader may see.


def everything() -> ColumnElement[bool]:
    """Let every line through."""
    return true()


def nothing() -> ColumnElement[bool]:
    """Let no line through."""
    return false()


def of_companies(company_ids: Sequence[str]) -> ColumnElement[bool]:
    """Let lines of these companies through."""
    return LineRow.company_id.in_(company_ids)


def of_no_company() -> ColumnElement[bool]:
    """Let lines through that concern no company."""
    return LineRow.company_id.is_(None)


def of_project(project_id: str) -> ColumnElement[bool]:
    """Let lines of one project through."""
    return LineRow.project_id == project_id


def of_user(user_id: str) -> ColumnElement[bool]:
    """Let lines through that tell what a user did, or what was done to the user's account."""
    return or_(LineRow.actor_id == user_id, and_(LineRow.source == "accounts", LineRow.subject == user_id))


def of_device(device_ids: Sequence[str], hardware_id: str | None) -> ColumnElement[bool]:
    """Let lines of a company's device record through, under all its ids, or of the thing itself by its hardware id."""
    return LineRow.hardware_id == hardware_id if hardware_id else LineRow.device_id.in_(device_ids)


def of_action(action: str) -> ColumnElement[bool]:
    """Let lines of one action through."""
    return LineRow.action == action


def between(start: datetime | None, end: datetime | None) -> ColumnElement[bool]:
    """Let lines through that happened from `start` on and before `end`."""
    parts: list[ColumnElement[bool]] = []
    if start is not None:
        parts.append(LineRow.at >= start)
    if end is not None:
        parts.append(LineRow.at < end)
    return and_(true(), *parts)


def _values(entry: ChainedLine) -> dict[str, object]:
    line = entry.line
    return {
        "event_id": line.event_id,
        "source": line.source,
        "source_sequence": line.source_sequence,
        "action": line.action,
        "at": line.at,
        "subject": line.subject,
        "company_id": line.company_id,
        "project_id": line.project_id,
        "device_id": line.device_id,
        "hardware_id": line.hardware_id,
        "actor_id": line.actor_id,
        "request_id": line.request_id,
        "data": line.data,
        "chain": entry.chain,
        "number": entry.number,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def _line(row: Row[tuple[object, ...]]) -> Line:
    return Line(
        event_id=row.event_id,
        source=row.source,
        source_sequence=row.source_sequence,
        action=row.action,
        at=row.at,
        subject=row.subject,
        company_id=row.company_id,
        project_id=row.project_id,
        device_id=row.device_id,
        hardware_id=row.hardware_id,
        actor_id=row.actor_id,
        request_id=row.request_id,
        data=row.data,
    )
