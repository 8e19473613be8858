"""SQL for service accounts and their tokens."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from services.accounts.domain import digest
from services.accounts.models import ServiceAccount, ServiceToken
from services.chassis.data.db import Unit
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredServiceAccount:
    """A service account that was not ended."""

    id: str
    name: str
    scopes: list[str]
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredServiceToken:
    """A token of a service account, without its secret."""

    id: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A token that somebody came with, whatever its state, with its account's scopes and end."""

    id: str
    account_id: str
    scopes: list[str]
    expires_at: datetime
    revoked_at: datetime | None
    ended_at: datetime | None


_accounts = ServiceAccount.__table__
_tokens = ServiceToken.__table__
_ACCOUNT = columns_of(StoredServiceAccount, _accounts)
_TOKEN = columns_of(StoredServiceToken, _tokens)
_PRESENTED = columns_of(PresentedToken, _tokens, scopes=_accounts.c.scopes, ended_at=_accounts.c.ended_at)


def add(unit: Unit, name: str, scopes: list[str], created_by: str) -> StoredServiceAccount:
    """Insert a service account and return it."""
    account = StoredServiceAccount(new_id(), name, scopes, created_by, unit.now)
    unit.execute(sa.insert(ServiceAccount).values(ended_at=None, **asdict(account)))
    return account


def by_id(connection: Connection, account_id: str, *, lock: bool = False) -> StoredServiceAccount | None:
    """Return a service account that was not ended, held until the transaction ends if asked for."""
    statement = sa.select(*_ACCOUNT).where(_accounts.c.id == account_id, _accounts.c.ended_at.is_(None))
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else StoredServiceAccount(*row)


def page(connection: Connection, after: str | None, limit: int) -> list[StoredServiceAccount]:
    """Return service accounts that were not ended, newest first, one more than `limit` if there are more."""
    statement = sa.select(*_ACCOUNT).where(_accounts.c.ended_at.is_(None))
    statement = statement.order_by(_accounts.c.id.desc()).limit(limit + 1)
    rows = connection.execute(statement if after is None else statement.where(_accounts.c.id < after))
    return [StoredServiceAccount(*row) for row in rows]


def end(unit: Unit, account_id: str) -> None:
    """End a service account."""
    unit.execute(sa.update(ServiceAccount).where(ServiceAccount.id == account_id).values(ended_at=unit.now))


def names(connection: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """Return names by id, of ended accounts too."""
    rows = connection.execute(sa.select(ServiceAccount.id, ServiceAccount.name).where(ServiceAccount.id.in_(ids)))
    return {row.id: row.name for row in rows}


def add_token(unit: Unit, account_id: str, secret: str, created_by: str, expires_at: datetime) -> StoredServiceToken:
    """Insert a token and return it.

    Args:
        unit: the running transaction.
        account_id: whose it is.
        secret: only its digest is stored.
        created_by: id of the user.
        expires_at: when it ends by itself.
    """
    token = StoredServiceToken(new_id(), created_by, unit.now, expires_at, last_used_at=None)
    values = {**asdict(token), "account_id": account_id, "token_hash": digest(secret), "revoked_at": None}
    unit.execute(sa.insert(ServiceToken).values(**values))
    return token


def living_tokens(connection: Connection, account_id: str, now: datetime) -> list[str]:
    """Return the ids of the tokens of an account that could be used now."""
    statement = sa.select(ServiceToken.id).where(
        ServiceToken.account_id == account_id, ServiceToken.revoked_at.is_(None), ServiceToken.expires_at > now
    )
    return list(connection.execute(statement).scalars())


def tokens(connection: Connection, account_id: str, after: str | None, limit: int) -> list[StoredServiceToken]:
    """Return an account's tokens that were not revoked, newest first, one more than `limit` if there are more."""
    statement = (
        sa.select(*_TOKEN)
        .where(_tokens.c.account_id == account_id, _tokens.c.revoked_at.is_(None))
        .order_by(_tokens.c.id.desc())
        .limit(limit + 1)
    )
    rows = connection.execute(statement if after is None else statement.where(_tokens.c.id < after))
    return [StoredServiceToken(*row) for row in rows]


def token_by_secret(connection: Connection, secret: str) -> PresentedToken | None:
    """Return a token with its account's scopes and end, by its secret, whatever its state."""
    return _token(connection, _tokens.c.token_hash == digest(secret))


def token_by_id(connection: Connection, token_id: str) -> PresentedToken | None:
    """Return a token with its account's scopes and end, by its id, whatever its state."""
    return _token(connection, _tokens.c.id == token_id)


def _token(connection: Connection, condition: ColumnElement[bool]) -> PresentedToken | None:
    statement = sa.select(*_PRESENTED).join(_accounts, _accounts.c.id == _tokens.c.account_id).where(condition)
    row = connection.execute(statement).first()
    return None if row is None else PresentedToken(*row)


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
