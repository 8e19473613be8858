"""SQL for users, registrations and recovery codes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from services.accounts.domain import normalized_email
from services.accounts.models import KnownAddress, RecoveryCode, Registration, User
from services.chassis.data.db import Unit, insert_or_ignore

Person = Row[Any]
"""A row of `users` with all its columns."""


def by_email(connection: Connection, email_normalized: str) -> Person | None:
    """Return the user with this address."""
    return connection.execute(sa.select(*User.__table__.c).where(User.email_normalized == email_normalized)).first()


def by_id(connection: Connection, user_id: str) -> Person | None:
    """Return the user with this id who was not erased."""
    return connection.execute(sa.select(*User.__table__.c).where(User.id == user_id, User.erased_at.is_(None))).first()


def locked_by_id(unit: Unit, user_id: str) -> Person | None:
    """Return the user and hold the row until the transaction ends; SQLite has one writer anyway."""
    statement = sa.select(*User.__table__.c).where(User.id == user_id, User.erased_at.is_(None)).with_for_update()
    return unit.connection.execute(statement).first()


def add(unit: Unit, values: Mapping[str, Any]) -> bool:
    """Insert a user unless the address is taken; returns whether it was inserted."""
    row = {
        "locked": False,
        "staff": False,
        "account_rights": [],
        "last_company_id": None,
        "otp_secret": None,
        "otp_confirmed_at": None,
        "otp_last_step": 0,
        "version": 1,
        "created_at": unit.now,
        "erased_at": None,
        "vendor_customer_number": None,
        **values,
    }
    return insert_or_ignore(unit.connection, User, row)


def change(unit: Unit, user_id: str, **values: Any) -> None:
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


def touch(unit: Unit, user_id: str, **values: Any) -> None:
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


def add_registration(unit: Unit, values: Mapping[str, Any]) -> None:
    """Insert a registration."""
    unit.execute(sa.insert(Registration).values(**values))


def registration(connection: Connection, registration_id: str) -> Row[Any] | None:
    """Return a registration."""
    table = Registration.__table__
    return connection.execute(sa.select(*table.c).where(table.c.id == registration_id)).first()


def newest_registration(connection: Connection, email_normalized: str, now: datetime) -> Row[Any] | None:
    """Return the newest registration of an address whose time is not over."""
    table = Registration.__table__
    return connection.execute(
        sa.select(*table.c)
        .where(table.c.email_normalized == email_normalized, table.c.expires_at > now)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
        .limit(1)
    ).first()


def is_contested(connection: Connection, registration: Row[Any]) -> bool:
    """Return whether another registration of the same address was open at any time while this one was."""
    table = Registration.__table__
    statement = sa.select(table.c.id).where(
        table.c.email_normalized == registration.email_normalized,
        table.c.id != registration.id,
        table.c.created_at < registration.expires_at,
        table.c.expires_at > registration.created_at,
    )
    return connection.execute(statement.limit(1)).first() is not None


def last_registration(connection: Connection, email_normalized: str, since: datetime) -> Row[Any] | None:
    """Return the newest registration of an address since a time, also one that an account stood against."""
    table = Registration.__table__
    return connection.execute(
        sa.select(*table.c)
        .where(table.c.email_normalized == email_normalized, table.c.created_at > since)
        .order_by(table.c.created_at.desc(), table.c.id.desc())
        .limit(1)
    ).first()


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


def search(connection: Connection, text: str | None, after: str | None, limit: int) -> Sequence[Person]:
    """Return users by id whose address or name holds a text, one more than `limit` if there are more."""
    statement = sa.select(*User.__table__.c).where(User.erased_at.is_(None)).order_by(User.id).limit(limit + 1)
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
    return connection.execute(statement).all()


def contains(text: str) -> str:
    """Return a LIKE pattern for texts that hold this one, its own wildcards taken literally."""
    escaped = text.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
