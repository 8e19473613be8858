"""SQL for companies and memberships."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.accounts.domain import Membership as Member
from services.accounts.models import Company, Membership, User
from services.accounts.store.people import contains
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.ids import new_id


def add(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert a company."""
    unit.execute(
        sa.insert(Company).values(version=1, created_at=unit.now, absorbed_into=None, otp_demanded_at=None, **values)
    )


def by_id(connection: Connection, company_id: str) -> Row[Any] | None:
    """Return a company that was not absorbed."""
    table = Company.__table__
    return connection.execute(
        sa.select(*table.c).where(table.c.id == company_id, table.c.absorbed_into.is_(None))
    ).first()


def absorbed_ids(connection: Connection, company_id: str) -> list[str]:
    """Return the ids of all companies that this one absorbed, which stay its aliases for ever (ACC-6)."""
    statement = sa.select(Company.id).where(Company.absorbed_into == company_id).order_by(Company.id)
    return list(connection.execute(statement).scalars())


def current_id(connection: Connection, company_id: str) -> str:
    """Return the company that an id stands for today: the one that absorbed it, else itself."""
    found: str | None = connection.scalar(sa.select(Company.absorbed_into).where(Company.id == company_id))
    return found or company_id


def share(unit: Unit, company_id: str | None) -> str | None:
    """Return the company that an id stands for until the transaction ends; an import of it waits for that.

    A token in hand names the company for as long as it lives, also when that was absorbed since (ACC-6).
    """
    if company_id is None:
        return None
    statement = sa.select(Company.absorbed_into).where(Company.id == company_id).with_for_update(read=True)
    absorbed_into: str | None = unit.execute(statement).scalar_one_or_none()
    return absorbed_into or company_id


def hold(unit: Unit, company_id: str) -> bool:
    """Hold the company's row until the transaction ends, so that changes of its people come one after the other.

    Returns:
        Whether there is such a company.
    """
    result = unit.execute(
        sa.update(Company)
        .where(Company.id == company_id, Company.absorbed_into.is_(None))
        .values(version=Company.version)
    )
    return result.rowcount == 1


def change(unit: Unit, company_id: str, **values: Any) -> None:
    """Change columns of a company and count its version up."""
    unit.execute(sa.update(Company).where(Company.id == company_id).values(version=Company.version + 1, **values))


def names(connection: Connection, company_ids: Sequence[str]) -> dict[str, str]:
    """Return names by id; an absorbed company is called by its last own name."""
    rows = connection.execute(sa.select(Company.id, Company.name).where(Company.id.in_(company_ids)))
    return {row.id: row.name for row in rows}


def search(connection: Connection, text: str | None, after: str | None, limit: int) -> Sequence[Row[Any]]:
    """Return companies with the number of their users, one more than `limit` if there are more."""
    users = sa.select(sa.func.count()).where(Membership.company_id == Company.id).correlate(Company).scalar_subquery()
    statement = (
        sa.select(Company.id, Company.name, Company.vendor_customer_number, Company.created_at, users.label("users"))
        .where(Company.absorbed_into.is_(None))
        .order_by(Company.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(Company.id > after)
    if text:
        pattern = contains(text)
        statement = statement.where(
            sa.or_(
                sa.func.lower(Company.name).like(pattern, escape="\\"),
                sa.func.lower(Company.vendor_customer_number).like(pattern, escape="\\"),
            )
        )
    return connection.execute(statement).all()


def memberships(connection: Connection, user_id: str) -> list[Member]:
    """Return a user's memberships, oldest first."""
    return memberships_of(connection, [user_id])[user_id]


def memberships_of(connection: Connection, user_ids: Collection[str]) -> dict[str, list[Member]]:
    """Return the memberships of each of these users, oldest first, by one statement."""
    rows = connection.execute(
        sa.select(
            Membership.user_id,
            Membership.company_id,
            Company.name,
            Membership.role,
            Membership.locked,
            Company.otp_demanded_at,
        )
        .join(Company, Company.id == Membership.company_id)
        .where(Membership.user_id.in_(user_ids))
        .order_by(Membership.created_at, Membership.id)
    )
    found: dict[str, list[Member]] = {user_id: [] for user_id in user_ids}
    for row in rows:
        found[row.user_id].append(Member(row.company_id, row.name, row.role, row.locked, row.otp_demanded_at))
    return found


def memberships_whole(connection: Connection, user_id: str) -> Sequence[Any]:
    """Return a user's memberships with the company's name and the time of joining, oldest first."""
    return connection.execute(
        sa.select(Membership.company_id, Company.name, Membership.role, Membership.locked, Membership.created_at)
        .join(Company, Company.id == Membership.company_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Membership.id)
    ).all()


def membership(connection: Connection, company_id: str, user_id: str) -> Member | None:
    """Return the membership of a user in a company."""
    return next((member for member in memberships(connection, user_id) if member.company_id == company_id), None)


def add_membership(unit: Unit, company_id: str, user_id: str, role: str) -> bool:
    """Put a user into a company; returns False when they are in it already."""
    values = {
        "id": new_id(),
        "company_id": company_id,
        "user_id": user_id,
        "role": role,
        "locked": False,
        "created_at": unit.now,
    }
    return insert_or_ignore(unit.connection, Membership, values)


def change_membership(unit: Unit, company_id: str, user_id: str, **values: Any) -> None:
    """Change role or lock of a user in a company."""
    unit.execute(
        sa.update(Membership).where(Membership.company_id == company_id, Membership.user_id == user_id).values(**values)
    )


def remove_membership(unit: Unit, company_id: str, user_id: str) -> None:
    """Take a user out of a company."""
    unit.execute(sa.delete(Membership).where(Membership.company_id == company_id, Membership.user_id == user_id))


def working_admins(connection: Connection, company_id: str) -> int:
    """Return the number of administrators of a company who can work: locked neither there nor by the vendor."""
    statement = (
        sa.select(sa.func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.company_id == company_id,
            Membership.role == "admin",
            Membership.locked.is_(False),
            User.locked.is_(False),
        )
    )
    return int(connection.execute(statement).scalar_one())


def has_users(connection: Connection, company_id: str) -> bool:
    """Return whether anybody belongs to a company."""
    statement = sa.select(sa.func.count()).where(Membership.company_id == company_id)
    return bool(connection.execute(statement).scalar_one())
