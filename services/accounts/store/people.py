"""SQL for users, registrations and recovery codes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from services.accounts.domain import normalized_email
from services.accounts.models import KnownAddress, RecoveryCode, Registration, User
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of


@dataclass(frozen=True, slots=True)
class Person:
    """A user who was not erased."""

    id: str
    email: str
    email_normalized: str
    password_hash: str
    forename: str
    surname: str
    language: str
    vendor_customer_number: str | None
    locked: bool
    staff: bool
    account_rights: list[str]
    last_company_id: str | None
    otp_secret: bytes | None
    otp_confirmed_at: datetime | None
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What an account starts with."""

    id: str
    email: str
    email_normalized: str
    password_hash: str
    forename: str
    surname: str
    language: str
    vendor_customer_number: str | None = None
    staff: bool = False


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """A registration whose link was not used yet."""

    id: str
    email: str
    email_normalized: str
    password_hash: str
    forename: str
    surname: str
    language: str
    vendor_customer_number: str | None
    created_at: datetime
    expires_at: datetime


_users = User.__table__
_registrations = Registration.__table__
_PERSON = columns_of(Person, _users)
_REGISTRATION = columns_of(StoredRegistration, _registrations)


def by_email(connection: Connection, email_normalized: str) -> Person | None:
    """Return the user with this address."""
    return _person(connection, _users.c.email_normalized == email_normalized)


def by_id(connection: Connection, user_id: str) -> Person | None:
    """Return the user with this id who was not erased."""
    return _person(connection, _is_there(user_id))


def locked_by_id(unit: Unit, user_id: str) -> Person | None:
    """Return the user and hold the row until the transaction ends; SQLite has one writer anyway."""
    return _person(unit.connection, _is_there(user_id), lock=True)


def add(unit: Unit, person: NewPerson) -> bool:
    """Insert a user unless the address is taken; returns whether it was inserted."""
    row = {
        **asdict(person),
        "locked": False,
        "account_rights": [],
        "last_company_id": None,
        "otp_secret": None,
        "otp_confirmed_at": None,
        "otp_last_step": 0,
        "version": 1,
        "created_at": unit.now,
        "erased_at": None,
    }
    return insert_or_ignore(unit.connection, User, row)


def change(unit: Unit, user_id: str, **values: object) -> None:
    """Change columns of a user and count its version up."""
    unit.execute(sa.update(User).where(User.id == user_id).values(version=User.version + 1, **values))


def rename_email(unit: Unit, user_id: str, email: str) -> bool:
    """Give a user another address; returns False when somebody else has it."""
    try:
        with unit.connection.begin_nested():
            change(unit, user_id, email=email, email_normalized=normalized_email(email))
    except IntegrityError:
        return False
    return True


def erase(unit: Unit, user_id: str) -> None:
    """Overwrite the personal data of a user; the id stays, because histories and ledgers name it (ACC-12)."""
    unit.execute(sa.delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    unit.execute(sa.delete(KnownAddress).where(KnownAddress.user_id == user_id))
    address = f"erased-{user_id}@erased.invalid"
    change(
        unit,
        user_id,
        email=address,
        email_normalized=address,
        password_hash="",
        forename="",
        surname="",
        vendor_customer_number=None,
        staff=False,
        account_rights=[],
        last_company_id=None,
        otp_secret=None,
        otp_confirmed_at=None,
        erased_at=unit.now,
    )


def touch(unit: Unit, user_id: str, **values: object) -> None:
    """Change columns that are no part of the visible account: the version stays."""
    unit.execute(sa.update(User).where(User.id == user_id).values(**values))


def leave_company(unit: Unit, user_id: str, company_id: str) -> None:
    """Forget that a company was the one used last."""
    unit.execute(
        sa.update(User).where(User.id == user_id, User.last_company_id == company_id).values(last_company_id=None)
    )


def take_otp_step(unit: Unit, user_id: str, step: int) -> bool:
    """Mark the time step of a code as used; returns whether it was new, so that a code works once."""
    result = unit.execute(
        sa.update(User).where(User.id == user_id, User.otp_last_step < step).values(otp_last_step=step)
    )
    return result.rowcount == 1


def take_recovery_code(unit: Unit, user_id: str, code_hash: str) -> bool:
    """Use up a recovery code; returns whether it was there and unused."""
    result = unit.execute(
        sa.update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash, RecoveryCode.used_at.is_(None))
        .values(used_at=unit.now)
    )
    return result.rowcount == 1


def replace_recovery_codes(unit: Unit, user_id: str, hashes: Sequence[str]) -> None:
    """Put new recovery codes in place of all old ones."""
    unit.execute(sa.delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    if hashes:
        unit.execute(sa.insert(RecoveryCode), [{"user_id": user_id, "code_hash": code} for code in hashes])


def add_registration(unit: Unit, registration: StoredRegistration) -> None:
    """Insert a registration."""
    unit.execute(sa.insert(Registration).values(**asdict(registration)))


def registration(connection: Connection, registration_id: str) -> StoredRegistration | None:
    """Return a registration."""
    return _registration(connection, _registrations.c.id == registration_id)


def newest_registration(connection: Connection, email_normalized: str, now: datetime) -> StoredRegistration | None:
    """Return the newest registration of an address whose time is not over."""
    table = _registrations
    return _registration(connection, table.c.email_normalized == email_normalized, table.c.expires_at > now)


def is_contested(connection: Connection, registration: StoredRegistration) -> bool:
    """Return whether another registration of the same address was open at any time while this one was."""
    table = _registrations
    statement = sa.select(table.c.id).where(
        table.c.email_normalized == registration.email_normalized,
        table.c.id != registration.id,
        table.c.created_at < registration.expires_at,
        table.c.expires_at > registration.created_at,
    )
    return connection.execute(statement.limit(1)).first() is not None


def last_registration(connection: Connection, email_normalized: str, since: datetime) -> StoredRegistration | None:
    """Return the newest registration of an address since a time, also one that an account stood against."""
    table = _registrations
    return _registration(connection, table.c.email_normalized == email_normalized, table.c.created_at > since)


def forget_registrations(unit: Unit, email_normalized: str) -> None:
    """Delete all registrations of an address, because one of them became an account."""
    unit.execute(sa.delete(Registration).where(Registration.email_normalized == email_normalized))


def names(connection: Connection, user_ids: Sequence[str]) -> dict[str, str | None]:
    """Return `Forename Surname` by id, None for erased persons; unknown ids are left out."""
    rows = connection.execute(
        sa.select(User.id, User.forename, User.surname, User.erased_at).where(User.id.in_(user_ids))
    )
    return {row.id: f"{row.forename} {row.surname}" if row.erased_at is None else None for row in rows}


def known_addresses(connection: Connection, user_id: str) -> list[datetime]:
    """Return when a user was last seen at each source address that is remembered, newest first."""
    statement = sa.select(KnownAddress.seen_at).where(KnownAddress.user_id == user_id)
    return list(connection.execute(statement.order_by(KnownAddress.seen_at.desc())).scalars())


def search(connection: Connection, text: str | None, after: str | None, limit: int) -> list[Person]:
    """Return users by id whose address or name holds a text, one more than `limit` if there are more."""
    statement = sa.select(*_PERSON).where(User.erased_at.is_(None)).order_by(User.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(User.id > after)
    if text:
        pattern = contains(text)
        statement = statement.where(
            sa.or_(
                User.email_normalized.like(pattern, escape="\\"),
                sa.func.lower(User.forename + " " + User.surname).like(pattern, escape="\\"),
            )
        )
    return [Person(*row) for row in connection.execute(statement)]


def contains(text: str) -> str:
    """Return a LIKE pattern for texts that hold this one, its own wildcards taken literally."""
    escaped = text.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _is_there(user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(_users.c.id == user_id, _users.c.erased_at.is_(None))


def _person(connection: Connection, condition: sa.ColumnElement[bool], *, lock: bool = False) -> Person | None:
    statement = sa.select(*_PERSON).where(condition)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else Person(*row)


def _registration(connection: Connection, *conditions: sa.ColumnElement[bool]) -> StoredRegistration | None:
    """Return the newest one."""
    table = _registrations
    statement = sa.select(*_REGISTRATION).where(*conditions)
    row = connection.execute(statement.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(1)).first()
    return None if row is None else StoredRegistration(*row)
