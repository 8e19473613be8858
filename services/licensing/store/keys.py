"""SQL of activation keys, of wrong keys that were tried, and of orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.licensing.models import ActivationKey, KeyAttempt, KeyGuesser, Order, Project

OPEN = "open"
USED = "used"
CANCELLED = "cancelled"
EXPIRED = "expired"

ENTERED = "entered"
DONE = "done"

Row = sa.Row[Any]


def insert_key(connection: Connection, values: Mapping[str, Any]) -> None:
    """Insert a key."""
    connection.execute(sa.insert(ActivationKey).values(**values))


def find_key(connection: Connection, digest: str) -> Row | None:
    """Return a key by the digest of its text, without the sealed text."""
    key = ActivationKey
    statement = sa.select(
        key.id,
        key.state,
        key.last_group,
        key.licenses,
        key.expires_at,
        key.used_project_id,
        key.used_company_id,
        key.used_at,
    )
    return cast("Row | None", connection.execute(statement.where(key.digest == digest)).one_or_none())


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
) -> list[Row]:
    """Return keys added to a project, or to the companies' projects, newest first.

    Args:
        limit: most rows.
        before: time and id of the last row of the page before.
        project_id: this project, whoever owns it.
        company_ids: owners of the projects, where none is named.
    """
    key = ActivationKey
    statement = (
        sa.select(
            key.id,
            key.last_group,
            key.licenses,
            key.comment,
            key.used_by,
            key.used_at,
            key.used_project_id,
            Project.name.label("project_name"),
        )
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
    return list(connection.execute(statement))


def unseal_data(connection: Connection, key_id: str) -> bytes:
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


def enter_order(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert an order unless its number is taken."""
    return insert_or_ignore(connection, Order, values)


def get_order(connection: Connection, number: str, *, lock: bool = False) -> Row | None:
    """Return an order."""
    statement = sa.select(*Order.__table__.columns).where(Order.number == number)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def has_unfinished_orders(connection: Connection) -> bool:
    """Tell whether any order is entered and not done."""
    return connection.execute(sa.select(Order.number).where(Order.state == ENTERED).limit(1)).first() is not None


def unfinished_orders(connection: Connection, entered_before: datetime, resumed_before: datetime) -> list[Row]:
    """Lock orders that were left half-way and not taken up again of late; those that somebody works on are left out."""
    statement = (
        sa.select(*Order.__table__.columns)
        .where(
            Order.state == ENTERED,
            Order.created_at < entered_before,
            sa.or_(Order.resumed_at.is_(None), Order.resumed_at < resumed_before),
        )
        .order_by(Order.created_at)
        .limit(20)
    )
    return list(connection.execute(statement.with_for_update(skip_locked=True)))


def note_resumed(connection: Connection, number: str, now: datetime) -> None:
    """Note when an order was taken up again."""
    connection.execute(sa.update(Order).where(Order.number == number).values(resumed_at=now))


def finish_order(connection: Connection, number: str, key_id: str | None) -> None:
    """Note that devices has the devices of an order and that its key is made."""
    connection.execute(sa.update(Order).where(Order.number == number).values(state=DONE, key_id=key_id))


def drop_order(connection: Connection, number: str) -> None:
    """Forget an order that devices refused, before anything came of it."""
    connection.execute(sa.delete(Order).where(Order.number == number, Order.state == ENTERED))


def list_orders(connection: Connection, *, limit: int, before: tuple[datetime, str] | None) -> list[Row]:
    """Return orders, newest first, after the last one of the page before."""
    statement = sa.select(*Order.__table__.columns).order_by(Order.created_at.desc(), Order.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(
            sa.or_(Order.created_at < before[0], sa.and_(Order.created_at == before[0], Order.number < before[1]))
        )
    return list(connection.execute(statement))
