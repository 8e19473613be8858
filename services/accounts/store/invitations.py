"""SQL for invitations: open until they are answered, withdrawn or expired."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import normalized_email
from services.accounts.models import Company, Invitation
from services.chassis.data.db import Unit
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredInvitation:
    """An address that was asked to join a company."""

    id: str
    company_id: str
    email: str
    email_normalized: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ReceivedInvitation:
    """An invitation as whoever has the address sees it, with the company's name."""

    id: str
    company_id: str
    company_name: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


_table = Invitation.__table__
_COLUMNS = columns_of(StoredInvitation, _table)
_RECEIVED = columns_of(ReceivedInvitation, _table, company_name=Company.__table__.c.name)


def invite(unit: Unit, company_id: str, email: str, invited_by: str, expires_at: datetime) -> str:
    """Store an invitation, or renew the one that this address has; returns its id.

    Args:
        unit: the running transaction.
        company_id: which company.
        email: the address as it was typed.
        invited_by: id of the user.
        expires_at: when it ends by itself.
    """
    normalized = normalized_email(email)
    given = {"email": email, "invited_by": invited_by, "expires_at": expires_at}
    same = sa.and_(_table.c.company_id == company_id, _table.c.email_normalized == normalized)
    old = unit.execute(sa.select(_table.c.id).where(same)).scalar()
    if old is not None:
        unit.execute(sa.update(Invitation).where(same).values(**given))
        return str(old)
    identifier = new_id()
    own = {"id": identifier, "company_id": company_id, "email_normalized": normalized, "created_at": unit.now}
    unit.execute(sa.insert(Invitation).values(**own, **given))
    return identifier


def by_id(connection: Connection, invitation_id: str, now: datetime) -> StoredInvitation | None:
    """Return an invitation that is open."""
    statement = sa.select(*_COLUMNS).where(_table.c.id == invitation_id, _table.c.expires_at > now)
    row = connection.execute(statement).first()
    return None if row is None else StoredInvitation(*row)


def of_company(
    connection: Connection, company_id: str, now: datetime, after: str | None, limit: int
) -> list[StoredInvitation]:
    """Return the open invitations of a company by id, one more than `limit` if there are more."""
    statement = (
        sa.select(*_COLUMNS)
        .where(_table.c.company_id == company_id, _table.c.expires_at > now)
        .order_by(_table.c.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(_table.c.id > after)
    return [StoredInvitation(*row) for row in connection.execute(statement)]


def of_address(
    connection: Connection, email_normalized: str, now: datetime, after: str | None, limit: int
) -> list[ReceivedInvitation]:
    """Return the open invitations of an address with the company's name, one more than `limit` if there are more."""
    statement = (
        sa.select(*_RECEIVED)
        .join(Company, Company.id == Invitation.company_id)
        .where(_table.c.email_normalized == email_normalized, _table.c.expires_at > now)
        .order_by(_table.c.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(_table.c.id > after)
    return [ReceivedInvitation(*row) for row in connection.execute(statement)]


def forget(unit: Unit, email_normalized: str) -> None:
    """Delete all invitations of an address."""
    unit.execute(sa.delete(Invitation).where(Invitation.email_normalized == email_normalized))


def withdraw(unit: Unit, invitation_id: str) -> None:
    """Delete an invitation."""
    unit.execute(sa.delete(Invitation).where(Invitation.id == invitation_id))
