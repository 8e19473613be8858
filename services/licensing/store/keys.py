"""SQL of activation keys, and of wrong keys that were tried."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.chassis.data.rows import columns_of
from services.licensing.models import ActivationKey, KeyAttempt, KeyGuesser, Project

OPEN = "open"
USED = "used"
CANCELLED = "cancelled"
EXPIRED = "expired"

Contents = list[tuple[str, int]]
"""License types with their quantities, as a key or an order keeps them in JSON."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """An open key, made for an order of the vendor or from a project's balance; nothing is in it yet.

    Args:
        digest, sealed: of its text, which is nowhere else.
        last_group: the five symbols of it that lists show.
    """

    id: str
    digest: str
    sealed: bytes
    last_group: str
    licenses: Contents
    order_number: str | None
    company_id: str | None
    project_id: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key as whoever enters it finds it; without its sealed text."""

    id: str
    state: str
    last_group: str
    licenses: Contents
    expires_at: datetime | None
    used_project_id: str | None
    used_company_id: str | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class UsedKey:
    """A key that was added to a project."""

    id: str
    last_group: str
    licenses: Contents
    comment: str
    used_by: str
    used_at: datetime
    used_project_id: str
    project_name: str


_FOUND = columns_of(FoundKey, ActivationKey.__table__)
_USED = columns_of(UsedKey, ActivationKey.__table__, project_name=Project.__table__.c.name)


def insert_key(connection: Connection, key: NewKey) -> None:
    """Insert a key."""
    connection.execute(sa.insert(ActivationKey).values(**asdict(key), state=OPEN, comment=""))


def find_key(connection: Connection, digest: str) -> FoundKey | None:
    """Return a key by the digest of its text, without the sealed text."""
    row = connection.execute(sa.select(*_FOUND).where(ActivationKey.digest == digest)).one_or_none()
    return None if row is None else FoundKey(*row)


def use_key(
    connection: Connection, key_id: str, *, project_id: str, company_id: str, user_id: str, comment: str, now: datetime
) -> bool:
    """Turn an open key into a used one; returns False if somebody else was first (L7)."""
    return (
        connection.execute(
            sa.update(ActivationKey)
            .where(ActivationKey.id == key_id, ActivationKey.state == OPEN)
            .values(
                state=USED,
                used_project_id=project_id,
                used_company_id=company_id,
                used_by=user_id,
                used_at=now,
                comment=comment,
            )
        ).rowcount
        == 1
    )


def used_keys(
    connection: Connection,
    *,
    limit: int,
    before: tuple[datetime, str] | None,
    project_id: str | None,
    company_ids: Collection[str],
) -> list[UsedKey]:
    """Return keys added to a project, or to the companies' projects, newest first.

    Args:
        limit: most rows.
        before: time and id of the last row of the page before.
        project_id: this project, whoever owns it.
        company_ids: owners of the projects, where none is named.
    """
    key = ActivationKey
    statement = (
        sa.select(*_USED)
        .join(Project, Project.id == key.used_project_id)
        .order_by(key.used_at.desc(), key.id.desc())
        .limit(limit)
    )
    if project_id is not None:
        statement = statement.where(key.used_project_id == project_id)
    else:
        statement = statement.where(Project.company_id.in_(company_ids))
    if before is not None:
        statement = statement.where(
            sa.or_(key.used_at < before[0], sa.and_(key.used_at == before[0], key.id < before[1]))
        )
    return [UsedKey(*row) for row in connection.execute(statement)]


def sealed_text(connection: Connection, key_id: str) -> bytes:
    """Return the sealed text of a key."""
    return bytes(connection.execute(sa.select(ActivationKey.sealed).where(ActivationKey.id == key_id)).scalar_one())


def key_states(connection: Connection, key_ids: Collection[str]) -> dict[str, str]:
    """Return the states of keys by id."""
    rows = connection.execute(sa.select(ActivationKey.id, ActivationKey.state).where(ActivationKey.id.in_(key_ids)))
    return {row.id: row.state for row in rows}


def attempts_since(
    connection: Connection, since: datetime, *, user_id: str | None = None, company_id: str | None = None
) -> list[datetime]:
    """Return when a user, or a company, entered wrong keys, oldest first."""
    statement = sa.select(KeyAttempt.at).where(KeyAttempt.at > since).order_by(KeyAttempt.at)
    if user_id is not None:
        statement = statement.where(KeyAttempt.user_id == user_id)
    else:
        statement = statement.where(KeyAttempt.company_id == company_id)
    return list(connection.scalars(statement))


def lock_guessers(connection: Connection, ids: Sequence[str]) -> None:
    """Hold the rows of who enters a key until the transaction ends, in the order given: the person, then the company.

    Its other guesses wait, so that what is counted is what was tried.
    """
    for guesser_id in ids:
        insert_or_ignore(connection, KeyGuesser, {"id": guesser_id})
        connection.execute(sa.select(KeyGuesser.id).where(KeyGuesser.id == guesser_id).with_for_update())


def has_attempt(connection: Connection, attempt_id: str) -> bool:
    """Return whether this very attempt was counted before."""
    return connection.scalar(sa.select(KeyAttempt.id).where(KeyAttempt.id == attempt_id)) is not None


def note_attempt(
    connection: Connection, attempt_id: str, *, user_id: str, company_id: str | None, now: datetime
) -> None:
    """Note a wrong key, and forget what the same person entered more than a day ago."""
    values = {"id": attempt_id, "user_id": user_id, "company_id": company_id, "at": now}
    connection.execute(sa.insert(KeyAttempt).values(**values))
    connection.execute(
        sa.delete(KeyAttempt).where(KeyAttempt.user_id == user_id, KeyAttempt.at < now - timedelta(days=1))
    )
