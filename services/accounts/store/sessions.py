"""SQL for sessions, refresh tokens, API tokens, revocations."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import REFRESH_IDLE, digest
from services.accounts.models import ApiToken, RefreshToken, Revocation, Session
from services.chassis.data.db import Unit
from services.chassis.data.rows import columns_of


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A login of a person, ended or not."""

    id: str
    user_id: str
    company_id: str | None
    company_since: datetime | None
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    authenticated_at: datetime | None
    expires_at: datetime
    ended_at: datetime | None
    end_reason: str | None

    def lives(self, now: datetime) -> bool:
        """Return whether its tokens are good."""
        return self.ended_at is None and self.expires_at > now


@dataclass(frozen=True, slots=True)
class StoredRefreshToken:
    """A refresh token, used or not; the successor is sealed."""

    token_hash: str
    session_id: str
    expires_at: datetime
    used_at: datetime | None
    successor: bytes | None


@dataclass(frozen=True, slots=True)
class StoredRevocation:
    """What the gateways must stop to believe."""

    kind: str
    subject_id: str
    company_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredApiToken:
    """An API token, whatever its state; its secret is not stored."""

    id: str
    user_id: str
    company_id: str | None
    name: str
    scopes: list[str]
    project_id: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


_sessions = Session.__table__
_api_tokens = ApiToken.__table__
_revocations = Revocation.__table__
_SESSION = columns_of(StoredSession, _sessions)
_REFRESH_TOKEN = columns_of(StoredRefreshToken, RefreshToken.__table__)
_REVOCATION = columns_of(StoredRevocation, _revocations)
_API_TOKEN = columns_of(StoredApiToken, _api_tokens)


def add(
    unit: Unit, session_id: str, user_id: str, *, company_id: str | None, user_agent: str | None, life: timedelta
) -> None:
    """Insert a session.

    Args:
        unit: the running transaction.
        session_id: of the new session.
        user_id: whose.
        company_id: where it begins.
        user_agent: what the browser calls itself.
        life: it ends after that, however busy it is.
    """
    unit.execute(
        sa.insert(Session).values(
            id=session_id,
            user_id=user_id,
            company_id=company_id,
            user_agent=user_agent,
            expires_at=unit.now + life,
            created_at=unit.now,
            last_used_at=unit.now,
            authenticated_at=unit.now,
            company_since=unit.now,
            ended_at=None,
            end_reason=None,
        )
    )


def by_id(connection: Connection, session_id: str) -> StoredSession | None:
    """Return a session, ended or not."""
    row = connection.execute(sa.select(*_SESSION).where(_sessions.c.id == session_id)).first()
    return None if row is None else StoredSession(*row)


def living(
    connection: Connection, user_id: str, now: datetime, after: str | None, limit: int, *, company_id: str | None = None
) -> list[StoredSession]:
    """Return a user's sessions that live (in one company), newest first, one more than `limit` if there are more."""
    table = _sessions
    statement = (
        sa.select(*_SESSION)
        .where(table.c.user_id == user_id, table.c.ended_at.is_(None), table.c.expires_at > now)
        .order_by(table.c.id.desc())
        .limit(limit + 1)
    )
    if company_id is not None:
        statement = statement.where(table.c.company_id == company_id)
    if after is not None:
        statement = statement.where(table.c.id < after)
    return [StoredSession(*row) for row in connection.execute(statement)]


def all_of(connection: Connection, user_id: str, limit: int) -> list[StoredSession]:
    """Return a user's sessions, ended or not, newest first."""
    table = _sessions
    statement = sa.select(*_SESSION).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(limit)
    return [StoredSession(*row) for row in connection.execute(statement)]


def enter(unit: Unit, session_id: str, company_id: str | None) -> None:
    """Note that a session is in a company from now on; one that is there already came earlier."""
    moved = Session.company_id.is_distinct_from(company_id)
    unit.execute(
        sa.update(Session).where(Session.id == session_id, moved).values(company_id=company_id, company_since=unit.now)
    )


def change(unit: Unit, session_id: str, **values: object) -> None:
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


def end_all(unit: Unit, user_id: str, reason: str, *, but: str | None = None) -> list[StoredSession]:
    """End a user's sessions and return those that ended by it.

    Args:
        unit: the running transaction.
        user_id: whose sessions.
        reason: why, for the table.
        but: a session id to leave alone.
    """
    table = _sessions
    same = sa.and_(table.c.user_id == user_id, table.c.ended_at.is_(None), table.c.id != (but or ""))
    rows = unit.connection.execute(sa.select(*_SESSION).where(same, table.c.expires_at > unit.now)).all()
    unit.execute(sa.update(Session).where(same).values(ended_at=unit.now, end_reason=reason))
    return [StoredSession(*row) for row in rows]


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


def take_refresh_token(unit: Unit, secret: str) -> tuple[StoredRefreshToken, bool] | None:
    """Mark a refresh token as used.

    Returns:
        The row as it was before, and whether this was its first use; None when it is unknown.
    """
    table = RefreshToken.__table__
    key = digest(secret)
    first = unit.execute(
        sa.update(RefreshToken).where(table.c.token_hash == key, table.c.used_at.is_(None)).values(used_at=unit.now)
    )
    row = unit.connection.execute(sa.select(*_REFRESH_TOKEN).where(table.c.token_hash == key)).first()
    return None if row is None else (StoredRefreshToken(*row), first.rowcount == 1)


def keep_successor(unit: Unit, token_hash: str, sealed: bytes) -> None:
    """Keep the sealed successor of a used refresh token, for somebody who lost the answer that named it."""
    unit.execute(sa.update(RefreshToken).where(RefreshToken.token_hash == token_hash).values(successor=sealed))


def revoke(unit: Unit, kind: str, subject_id: str, company_id: str | None = None) -> None:
    """Note what the gateways must stop to believe from now on."""
    unit.execute(sa.insert(Revocation).values(kind=kind, subject_id=subject_id, company_id=company_id, at=unit.now))


def revocations(connection: Connection, since: datetime) -> list[StoredRevocation]:
    """Return the revocations since a time."""
    statement = sa.select(*_REVOCATION).where(_revocations.c.at >= since).order_by(_revocations.c.number)
    return [StoredRevocation(*row) for row in connection.execute(statement)]


def add_api_token(unit: Unit, token: StoredApiToken, secret: str) -> None:
    """Insert an API token; its secret is stored as a hash."""
    unit.execute(sa.insert(ApiToken).values(token_hash=digest(secret), **asdict(token)))


def api_token(connection: Connection, secret: str) -> StoredApiToken | None:
    """Return an API token by its secret, whatever its state."""
    row = connection.execute(sa.select(*_API_TOKEN).where(_api_tokens.c.token_hash == digest(secret))).first()
    return None if row is None else StoredApiToken(*row)


def api_token_by_id(connection: Connection, token_id: str) -> StoredApiToken | None:
    """Return an API token by its id, whatever its state."""
    row = connection.execute(sa.select(*_API_TOKEN).where(_api_tokens.c.id == token_id)).first()
    return None if row is None else StoredApiToken(*row)


def api_tokens(
    connection: Connection, user_id: str, after: str | None, limit: int, *, company_id: str | None = None
) -> list[StoredApiToken]:
    """Return a user's API tokens (for one company) that were not revoked, newest first.

    One more than `limit` if there are more.
    """
    table = _api_tokens
    statement = (
        sa.select(*_API_TOKEN)
        .where(table.c.user_id == user_id, table.c.revoked_at.is_(None))
        .order_by(table.c.id.desc())
        .limit(limit + 1)
    )
    if company_id is not None:
        statement = statement.where(table.c.company_id == company_id)
    if after is not None:
        statement = statement.where(table.c.id < after)
    return [StoredApiToken(*row) for row in connection.execute(statement)]


def count_api_tokens(unit: Unit, user_id: str) -> int:
    """Return how many API tokens of a user could be used now."""
    table = _api_tokens
    usable = sa.or_(table.c.expires_at.is_(None), table.c.expires_at > unit.now)
    statement = sa.select(sa.func.count()).where(table.c.user_id == user_id, table.c.revoked_at.is_(None), usable)
    return int(unit.execute(statement).scalar_one())


def all_api_tokens_of(connection: Connection, user_id: str, limit: int) -> list[StoredApiToken]:
    """Return a user's API tokens, revoked or not, newest first."""
    table = _api_tokens
    statement = sa.select(*_API_TOKEN).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(limit)
    return [StoredApiToken(*row) for row in connection.execute(statement)]


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
