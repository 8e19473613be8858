"""SQL for sessions, refresh tokens, API tokens, revocations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.accounts.domain import REFRESH_IDLE, digest
from services.accounts.models import ApiToken, RefreshToken, Revocation, Session
from services.chassis.data.db import Unit


def add(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert a session."""
    unit.execute(
        sa.insert(Session).values(
            created_at=unit.now,
            last_used_at=unit.now,
            authenticated_at=unit.now,
            company_since=unit.now,
            ended_at=None,
            end_reason=None,
            **values,
        )
    )


def by_id(connection: Connection, session_id: str) -> Row[Any] | None:
    """Return a session, ended or not."""
    table = Session.__table__
    return connection.execute(sa.select(*table.c).where(table.c.id == session_id)).first()


def living(
    connection: Connection, user_id: str, now: datetime, after: str | None, limit: int, *, company_id: str | None = None
) -> Sequence[Row[Any]]:
    """Return a user's sessions that live (in one company), newest first, one more than `limit` if there are more."""
    table = Session.__table__
    statement = (
        sa.select(*table.c)
        .where(table.c.user_id == user_id, table.c.ended_at.is_(None), table.c.expires_at > now)
        .order_by(table.c.id.desc())
        .limit(limit + 1)
    )
    if company_id is not None:
        statement = statement.where(table.c.company_id == company_id)
    if after is not None:
        statement = statement.where(table.c.id < after)
    return connection.execute(statement).all()


def all_of(connection: Connection, user_id: str, limit: int) -> Sequence[Row[Any]]:
    """Return a user's sessions, ended or not, newest first."""
    table = Session.__table__
    statement = sa.select(*table.c).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(limit)
    return connection.execute(statement).all()


def enter(unit: Unit, session_id: str, company_id: str | None) -> None:
    """Note that a session is in a company from now on; one that is there already came earlier."""
    moved = Session.company_id.is_distinct_from(company_id)
    unit.execute(
        sa.update(Session).where(Session.id == session_id, moved).values(company_id=company_id, company_since=unit.now)
    )


def change(unit: Unit, session_id: str, **values: Any) -> None:
    """Change columns of a session."""
    unit.execute(sa.update(Session).where(Session.id == session_id).values(**values))


def age_others(unit: Unit, user_id: str, session_id: str, until: datetime) -> None:
    """Let no session of a user but one have logged in later than a moment.

    Args:
        unit: the running transaction.
        user_id: whose sessions.
        session_id: the one to leave alone.
        until: the latest login that they may have.
    """
    others = sa.and_(Session.user_id == user_id, Session.id != session_id, Session.authenticated_at > until)
    unit.execute(sa.update(Session).where(others).values(authenticated_at=until))


def end(unit: Unit, session_id: str, reason: str) -> bool:
    """End a session; returns False when it had ended before."""
    result = unit.execute(
        sa.update(Session)
        .where(Session.id == session_id, Session.ended_at.is_(None))
        .values(ended_at=unit.now, end_reason=reason)
    )
    return result.rowcount == 1


def end_all(unit: Unit, user_id: str, reason: str, *, but: str | None = None) -> Sequence[Row[Any]]:
    """End a user's sessions and return those that ended by it.

    Args:
        unit: the running transaction.
        user_id: whose sessions.
        reason: why, for the table.
        but: a session id to leave alone.
    """
    table = Session.__table__
    same = sa.and_(table.c.user_id == user_id, table.c.ended_at.is_(None), table.c.id != (but or ""))
    rows = unit.execute(sa.select(*table.c).where(same, table.c.expires_at > unit.now)).all()
    unit.execute(sa.update(Session).where(same).values(ended_at=unit.now, end_reason=reason))
    return rows


def end_in_company(unit: Unit, user_id: str, company_id: str, reason: str) -> None:
    """End a user's sessions in one company."""
    same = sa.and_(Session.user_id == user_id, Session.company_id == company_id, Session.ended_at.is_(None))
    unit.execute(sa.update(Session).where(same).values(ended_at=unit.now, end_reason=reason))


def add_refresh_token(unit: Unit, session_id: str, secret: str) -> None:
    """Store a refresh token, hashed."""
    unit.execute(
        sa.insert(RefreshToken).values(
            token_hash=digest(secret),
            session_id=session_id,
            created_at=unit.now,
            expires_at=unit.now + REFRESH_IDLE,
            used_at=None,
            successor=None,
        )
    )


def take_refresh_token(unit: Unit, secret: str) -> tuple[Row[Any], bool] | None:
    """Mark a refresh token as used.

    Returns:
        The row as it was before, and whether this was its first use; None when it is unknown.
    """
    table = RefreshToken.__table__
    key = digest(secret)
    first = unit.execute(
        sa.update(RefreshToken).where(table.c.token_hash == key, table.c.used_at.is_(None)).values(used_at=unit.now)
    )
    row = unit.execute(sa.select(*table.c).where(table.c.token_hash == key)).first()
    return None if row is None else (row, first.rowcount == 1)


def keep_successor(unit: Unit, token_hash: str, sealed: bytes) -> None:
    """Keep the sealed successor of a used refresh token, for who lost the answer that named it."""
    unit.execute(sa.update(RefreshToken).where(RefreshToken.token_hash == token_hash).values(successor=sealed))


def revoke(unit: Unit, kind: str, subject_id: str, company_id: str | None = None) -> None:
    """Note what the gateways must stop to believe from now on."""
    unit.execute(sa.insert(Revocation).values(kind=kind, subject_id=subject_id, company_id=company_id, at=unit.now))


def revocations(connection: Connection, since: datetime) -> Sequence[Row[Any]]:
    """Return the revocations since a time."""
    table = Revocation.__table__
    return connection.execute(sa.select(*table.c).where(table.c.at >= since).order_by(table.c.number)).all()


def add_api_token(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert an API token."""
    unit.execute(sa.insert(ApiToken).values(created_at=unit.now, last_used_at=None, revoked_at=None, **values))


def api_token(connection: Connection, secret: str) -> Row[Any] | None:
    """Return an API token by its secret, whatever its state."""
    table = ApiToken.__table__
    return connection.execute(sa.select(*table.c).where(table.c.token_hash == digest(secret))).first()


def api_token_by_id(connection: Connection, token_id: str) -> Row[Any] | None:
    """Return an API token by its id, whatever its state."""
    table = ApiToken.__table__
    return connection.execute(sa.select(*table.c).where(table.c.id == token_id)).first()


def api_tokens(
    connection: Connection, user_id: str, after: str | None, limit: int, *, company_id: str | None = None
) -> Sequence[Row[Any]]:
    """Return a user's API tokens (for one company) that were not revoked, newest first.

    One more than `limit` if there are more.
    """
    table = ApiToken.__table__
    statement = (
        sa.select(*table.c)
        .where(table.c.user_id == user_id, table.c.revoked_at.is_(None))
        .order_by(table.c.id.desc())
        .limit(limit + 1)
    )
    if company_id is not None:
        statement = statement.where(table.c.company_id == company_id)
    if after is not None:
        statement = statement.where(table.c.id < after)
    return connection.execute(statement).all()


def count_api_tokens(unit: Unit, user_id: str) -> int:
    """Return how many API tokens of a user could be used now."""
    table = ApiToken.__table__
    usable = sa.or_(table.c.expires_at.is_(None), table.c.expires_at > unit.now)
    statement = sa.select(sa.func.count()).where(table.c.user_id == user_id, table.c.revoked_at.is_(None), usable)
    return int(unit.execute(statement).scalar_one())


def all_api_tokens_of(connection: Connection, user_id: str, limit: int) -> Sequence[Row[Any]]:
    """Return a user's API tokens, revoked or not, newest first."""
    table = ApiToken.__table__
    statement = sa.select(*table.c).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(limit)
    return connection.execute(statement).all()


def use_api_token(unit: Unit, token_id: str) -> None:
    """Note when an API token was last used."""
    unit.execute(sa.update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=unit.now))


def revoke_api_token(unit: Unit, user_id: str, token_id: str) -> bool:
    """Revoke one of a user's API tokens; returns False when there is none."""
    result = unit.execute(
        sa.update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=unit.now)
    )
    return result.rowcount == 1


def forget_names(unit: Unit, user_id: str) -> None:
    """Overwrite what a person's sessions and API tokens tell of the person: browsers, and names given by hand."""
    unit.execute(sa.update(Session).where(Session.user_id == user_id).values(user_agent=None))
    unit.execute(sa.update(ApiToken).where(ApiToken.user_id == user_id).values(name=""))


def revoke_api_tokens(unit: Unit, user_id: str, company_id: str | None = None) -> None:
    """Revoke all API tokens of a user, or those for one company."""
    statement = sa.update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
    if company_id is not None:
        statement = statement.where(ApiToken.company_id == company_id)
    unit.execute(statement.values(revoked_at=unit.now))
