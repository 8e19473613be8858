"""SQL for service accounts and their tokens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.accounts.domain import digest
from services.accounts.models import ServiceAccount, ServiceToken
from services.chassis.data.db import Unit


def add(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert a service account."""
    unit.execute(sa.insert(ServiceAccount).values(created_at=unit.now, ended_at=None, **values))


def by_id(connection: Connection, account_id: str, *, lock: bool = False) -> Row[Any] | None:
    """Return a service account that was not ended, held until the transaction ends if asked for."""
    table = ServiceAccount.__table__
    statement = sa.select(*table.c).where(table.c.id == account_id, table.c.ended_at.is_(None))
    return connection.execute(statement.with_for_update() if lock else statement).first()


def page(connection: Connection, after: str | None, limit: int) -> Sequence[Row[Any]]:
    """Return service accounts that were not ended, newest first, one more than `limit` if there are more."""
    table = ServiceAccount.__table__
    statement = sa.select(*table.c).where(table.c.ended_at.is_(None)).order_by(table.c.id.desc()).limit(limit + 1)
    return connection.execute(statement if after is None else statement.where(table.c.id < after)).all()


def end(unit: Unit, account_id: str) -> None:
    """End a service account."""
    unit.execute(sa.update(ServiceAccount).where(ServiceAccount.id == account_id).values(ended_at=unit.now))


def names(connection: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """Return names by id, of ended accounts too."""
    rows = connection.execute(sa.select(ServiceAccount.id, ServiceAccount.name).where(ServiceAccount.id.in_(ids)))
    return {row.id: row.name for row in rows}


def add_token(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert a token."""
    unit.execute(sa.insert(ServiceToken).values(created_at=unit.now, last_used_at=None, revoked_at=None, **values))


def living_tokens(connection: Connection, account_id: str, now: datetime) -> Sequence[Row[Any]]:
    """Return the tokens of an account that could be used now."""
    table = ServiceToken.__table__
    statement = sa.select(*table.c).where(
        table.c.account_id == account_id, table.c.revoked_at.is_(None), table.c.expires_at > now
    )
    return connection.execute(statement).all()


def tokens(connection: Connection, account_id: str, after: str | None, limit: int) -> Sequence[Row[Any]]:
    """Return an account's tokens that were not revoked, newest first, one more than `limit` if there are more."""
    table = ServiceToken.__table__
    statement = (
        sa.select(*table.c)
        .where(table.c.account_id == account_id, table.c.revoked_at.is_(None))
        .order_by(table.c.id.desc())
        .limit(limit + 1)
    )
    return connection.execute(statement if after is None else statement.where(table.c.id < after)).all()


def token_by_secret(connection: Connection, secret: str) -> Row[Any] | None:
    """Return a token with its account's scopes and end, by its secret, whatever its state."""
    return _token(connection, ServiceToken.__table__.c.token_hash == digest(secret))


def token_by_id(connection: Connection, token_id: str) -> Row[Any] | None:
    """Return a token with its account's scopes and end, by its id, whatever its state."""
    return _token(connection, ServiceToken.__table__.c.id == token_id)


def _token(connection: Connection, condition: Any) -> Row[Any] | None:
    token, account = ServiceToken.__table__, ServiceAccount.__table__
    columns: list[Any] = [*token.c, account.c.scopes, account.c.ended_at]
    statement = sa.select(*columns).join(account, account.c.id == token.c.account_id).where(condition)
    return connection.execute(statement).first()


def use_token(unit: Unit, token_id: str) -> None:
    """Note when a token was last used."""
    unit.execute(sa.update(ServiceToken).where(ServiceToken.id == token_id).values(last_used_at=unit.now))


def revoke_token(unit: Unit, account_id: str, token_id: str) -> bool:
    """Revoke a token of an account; returns False when there is none."""
    result = unit.execute(
        sa.update(ServiceToken)
        .where(ServiceToken.id == token_id, ServiceToken.account_id == account_id, ServiceToken.revoked_at.is_(None))
        .values(revoked_at=unit.now)
    )
    return result.rowcount == 1
