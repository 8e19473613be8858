"""SQL for invitations: open until they are answered, withdrawn or expired."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.accounts.models import Company, Invitation
from services.chassis.data.db import Unit
from services.chassis.ids import new_id

_table = Invitation.__table__


def invite(unit: Unit, values: Mapping[str, Any]) -> str:
    """Store an invitation, or renew the one that this address has; returns its id."""
    same = sa.and_(_table.c.company_id == values["company_id"], _table.c.email_normalized == values["email_normalized"])
    old = unit.execute(sa.select(_table.c.id).where(same)).scalar()
    if old is not None:
        renewed = {name: values[name] for name in ("expires_at", "email", "invited_by")}
        unit.execute(sa.update(Invitation).where(same).values(**renewed))
        return str(old)
    identifier = new_id()
    unit.execute(sa.insert(Invitation).values(id=identifier, created_at=unit.now, **values))
    return identifier


def by_id(connection: Connection, invitation_id: str, now: datetime) -> Row[Any] | None:
    """Return an invitation that is open."""
    return connection.execute(
        sa.select(*_table.c).where(_table.c.id == invitation_id, _table.c.expires_at > now)
    ).first()


def of_company(
    connection: Connection, company_id: str, now: datetime, after: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the open invitations of a company by id, one more than `limit` if there are more."""
    statement = (
        sa.select(*_table.c)
        .where(_table.c.company_id == company_id, _table.c.expires_at > now)
        .order_by(_table.c.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(_table.c.id > after)
    return connection.execute(statement).all()


def of_address(
    connection: Connection, email_normalized: str, now: datetime, after: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the open invitations of an address with the company's name, one more than `limit` if there are more."""
    statement = (
        sa.select(*_table.c)
        .add_columns(Company.name.label("company_name"))
        .join(Company, Company.id == Invitation.company_id)
        .where(_table.c.email_normalized == email_normalized, _table.c.expires_at > now)
        .order_by(_table.c.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(_table.c.id > after)
    return connection.execute(statement).all()


def forget(unit: Unit, email_normalized: str) -> None:
    """Delete all invitations of an address."""
    unit.execute(sa.delete(Invitation).where(Invitation.email_normalized == email_normalized))


def withdraw(unit: Unit, invitation_id: str) -> None:
    """Delete an invitation."""
    unit.execute(sa.delete(Invitation).where(Invitation.id == invitation_id))
