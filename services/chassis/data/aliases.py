"""Ids that became another id: what was merged is found under its old id for ever, and nothing new is stored under it.

A row says what an old id stands for today; rows are flat, never chains. Who inserts rows that name such an id calls
`share` in the same transaction: until it ends, the id stays what it is. Who merges calls `hold` and `join`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import Check, Flaws, stream
from services.chassis.data.tables import UtcDateTime, service_metadata
from services.chassis.data.unit import Unit

metadata = service_metadata()

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("old_id", sa.String(36), primary_key=True),
    sa.Column("new_id", sa.String(36), nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
)


def create_aliases_table(op: Any) -> None:
    """Create the table in a revision of a service that needs it (layout of 2026-11; later changes are revisions)."""
    metadata.create_all(op.get_bind())


def current(connection: Connection, identifier: str) -> str:
    """Return what an id stands for today: itself, unless it was merged into another."""
    found: str | None = connection.scalar(sa.select(aliases.c.new_id).where(aliases.c.old_id == identifier))
    return found or identifier


def currents(connection: Connection, identifiers: Collection[str]) -> dict[str, str]:
    """Return what each of several ids stands for today."""
    rows = connection.execute(
        sa.select(aliases.c.old_id, aliases.c.new_id).where(aliases.c.old_id.in_(list(identifiers)))
    )
    return {**{identifier: identifier for identifier in identifiers}, **{row.old_id: row.new_id for row in rows}}


def group(connection: Connection, identifier: str) -> list[str]:
    """Return an id and all ids that were merged into it."""
    old = connection.scalars(sa.select(aliases.c.old_id).where(aliases.c.new_id == identifier))
    return [identifier, *sorted(old)]


def group_today(connection: Connection, identifier: str) -> list[str]:
    """Return what an id stands for today, and all ids that were merged into that."""
    return group(connection, current(connection, identifier))


def share(connection: Connection, identifier: str) -> str:
    """Return what an id stands for until the transaction ends; a merge of it waits for that."""
    _lock(connection, "pg_advisory_xact_lock_shared", [identifier])
    return current(connection, identifier)


def hold(connection: Connection, identifiers: Iterable[str]) -> None:
    """Wait for everybody who shares these ids and let nobody else do so until the transaction ends."""
    _lock(connection, "pg_advisory_xact_lock", identifiers)


def join(unit: Unit, old_ids: Iterable[str], new_id: str) -> None:
    """Let old ids, and whatever was merged into them before, stand for another id from now on; a repetition is nothing.

    Args:
        unit: the running transaction, in which all the ids are held.
        old_ids: what is gone.
        new_id: what it is now; must not be gone itself.
    """
    join_each(unit, dict.fromkeys(set(old_ids) - {new_id}, new_id))


def join_each(unit: Unit, pairs: Mapping[str, str]) -> None:
    """Let each old id stand for a new one from now on, as `join` does; no new id is an old one of the same call."""
    gone = sorted(pairs)
    rows = unit.execute(sa.select(aliases).where(sa.or_(aliases.c.old_id.in_(gone), aliases.c.new_id.in_(gone)))).all()
    for row in rows:
        new_id = pairs.get(row.new_id) or pairs[row.old_id]
        unit.execute(sa.update(aliases).where(aliases.c.old_id == row.old_id).values(new_id=new_id))
    known = {row.old_id for row in rows}
    fresh = [{"old_id": old_id, "new_id": pairs[old_id], "at": unit.now} for old_id in gone if old_id not in known]
    if fresh:
        unit.execute(sa.insert(aliases), fresh)


def check_unused(connection: Connection, columns: Iterable[Any]) -> Check:
    """Check that no row is stored under an old id.

    Args:
        connection: of a snapshot.
        columns: of the tables whose rows follow a merge.
    """
    flaws = Flaws()
    old = sa.select(aliases.c.old_id)
    for column in columns:
        counted = sa.select(column, sa.func.count().label("number")).where(column.in_(old)).group_by(column)
        for row in stream(connection, counted):
            flaws.add(f"{row.number} rows of {column.table.name} are stored under {row[0]}, which became another id")
    for row in stream(connection, sa.select(aliases).where(aliases.c.new_id.in_(old))):
        flaws.add(f"{row.old_id} became {row.new_id}, which became another id itself")
    number = connection.scalar(sa.select(sa.func.count()).select_from(aliases)) or 0
    return Check("old ids hold no rows", number, flaws.told())


def _lock(connection: Connection, function: str, identifiers: Iterable[str]) -> None:
    # SQLite has one writer at a time anyway.
    if connection.dialect.name != "postgresql":
        return
    # One order for all, so that two never wait for each other (rule L3).
    for identifier in sorted(set(identifiers)):
        digest = hashlib.blake2b(f"alias:{identifier}".encode(), digest_size=8).digest()
        key = int.from_bytes(digest, "big", signed=True)
        connection.execute(sa.select(getattr(sa.func, function)(key)))
