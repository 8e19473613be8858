"""SQL for companies and memberships."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import Membership as Member
from services.accounts.models import Company, Membership, User
from services.accounts.store.people import contains
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredCompany:
    """A company that was not absorbed."""

    id: str
    name: str
    vendor_customer_number: str | None
    otp_demanded_at: datetime | None
    version: int
    created_at: datetime

    @property
    def otp_demanded(self) -> bool:
        """Whether its users need a second factor to log in."""
        return self.otp_demanded_at is not None


@dataclass(frozen=True, slots=True)
class CompanyFound:
    """A company in a list, with the number of its users."""

    id: str
    name: str
    vendor_customer_number: str | None
    created_at: datetime
    users: int


@dataclass(frozen=True, slots=True)
class JoinedCompany:
    """A company that a user belongs to, and since when."""

    company_id: str
    name: str
    role: str
    locked: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CompanyMember:
    """A user of a company, by whose membership the list is ordered; `locked` is the company's lock."""

    membership_id: str
    id: str
    email: str
    forename: str
    surname: str
    role: str
    locked: bool


_companies = Company.__table__
_memberships = Membership.__table__
_USERS = (
    sa.select(sa.func.count()).where(_memberships.c.company_id == _companies.c.id).correlate(_companies)
).scalar_subquery()
_COMPANY = columns_of(StoredCompany, _companies)
_FOUND = columns_of(CompanyFound, _companies, users=_USERS)
_JOINED = columns_of(JoinedCompany, _memberships, name=_companies.c.name)
_MEMBER = columns_of(Member, _memberships, company_name=_companies.c.name, otp_demanded_at=_companies.c.otp_demanded_at)
_COMPANY_MEMBER = columns_of(
    CompanyMember, User.__table__,
    membership_id=_memberships.c.id, role=_memberships.c.role, locked=_memberships.c.locked,
)  # fmt: skip


def add(unit: Unit, company_id: str, name: str, vendor_customer_number: str | None) -> None:
    """Insert a company."""
    values = {"id": company_id, "name": name, "vendor_customer_number": vendor_customer_number}
    unit.execute(
        sa.insert(Company).values(version=1, created_at=unit.now, absorbed_into=None, otp_demanded_at=None, **values)
    )


def by_id(connection: Connection, company_id: str) -> StoredCompany | None:
    """Return a company that was not absorbed."""
    statement = sa.select(*_COMPANY).where(_companies.c.id == company_id, _companies.c.absorbed_into.is_(None))
    row = connection.execute(statement).first()
    return None if row is None else StoredCompany(*row)


def known_names(connection: Connection) -> dict[str, str]:
    """Return the names of all companies by id, absorbed ones too."""
    return {row.id: row.name for row in connection.execute(sa.select(Company.id, Company.name))}


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


def change(unit: Unit, company_id: str, **values: object) -> None:
    """Change columns of a company and count its version up."""
    unit.execute(sa.update(Company).where(Company.id == company_id).values(version=Company.version + 1, **values))


def names(connection: Connection, company_ids: Sequence[str]) -> dict[str, str]:
    """Return names by id; an absorbed company is called by its last own name."""
    rows = connection.execute(sa.select(Company.id, Company.name).where(Company.id.in_(company_ids)))
    return {row.id: row.name for row in rows}


def search(connection: Connection, text: str | None, after: str | None, limit: int) -> list[CompanyFound]:
    """Return companies with the number of their users, one more than `limit` if there are more."""
    statement = sa.select(*_FOUND).where(Company.absorbed_into.is_(None)).order_by(Company.id).limit(limit + 1)
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
    return [CompanyFound(*row) for row in connection.execute(statement)]


def memberships(connection: Connection, user_id: str) -> list[Member]:
    """Return a user's memberships, oldest first."""
    return memberships_of(connection, [user_id])[user_id]


def memberships_of(connection: Connection, user_ids: Collection[str]) -> dict[str, list[Member]]:
    """Return the memberships of each of these users, oldest first, by one statement."""
    rows = connection.execute(
        sa.select(Membership.user_id, *_MEMBER)
        .join(Company, Company.id == Membership.company_id)
        .where(Membership.user_id.in_(user_ids))
        .order_by(Membership.created_at, Membership.id)
    )
    found: dict[str, list[Member]] = {user_id: [] for user_id in user_ids}
    for owner_id, *member in rows:
        found[owner_id].append(Member(*member))
    return found


def members(connection: Connection, company_id: str, after: str | None, limit: int) -> list[CompanyMember]:
    """Return the users of a company by membership id, one more than `limit` if there are more."""
    statement = (
        sa.select(*_COMPANY_MEMBER)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.company_id == company_id)
        .order_by(Membership.id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(Membership.id > after)
    return [CompanyMember(*row) for row in connection.execute(statement)]


def joined_by(connection: Connection, user_id: str) -> list[JoinedCompany]:
    """Return the companies that a user belongs to with the time of joining, oldest first."""
    rows = connection.execute(
        sa.select(*_JOINED)
        .join(Company, Company.id == Membership.company_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Membership.id)
    )
    return [JoinedCompany(*row) for row in rows]


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


def change_membership(unit: Unit, company_id: str, user_id: str, **values: object) -> None:
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
