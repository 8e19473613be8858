"""The part of accounts' audit about people: memberships, administrators, living logins, secrets at rest, mails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, Table

from services.accounts.models import Base, Company, Mail, Membership, RefreshToken, Session, User
from services.chassis.data.audit.checks import Check, Flaws, stream
from services.chassis.keys.keystore import KeyStore

_PASSWORD = re.compile(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[\w+/]+\$[\w+/]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ROLES = ("admin", "member")


def check_people(connection: Connection, keys: KeyStore) -> list[Check]:
    """Return the checks of people.

    Args:
        connection: of a snapshot.
        keys: of accounts, to see that what is sealed can be opened.
    """
    return [
        _memberships(connection),
        _administrators(connection),
        _logins(connection),
        _chains(connection),
        _erased(connection),
        _secrets(connection),
        _sealed(connection, keys),
    ]


def _memberships(connection: Connection) -> Check:
    """Every membership is of a living account, not of staff, in a company that is there, once, with a known role."""
    flaws, checked = Flaws(), 0
    alive = sa.and_(Company.id == Membership.company_id, Company.absorbed_into.is_(None))
    statement = (
        sa.select(Membership.user_id, Membership.company_id, Membership.role, Company.id.label("there"))
        .add_columns(User.id.label("person"), User.erased_at, User.staff)
        .outerjoin(User, User.id == Membership.user_id)
        .outerjoin(Company, alive)
    )
    for row in stream(connection, statement):
        checked += 1
        if row.person is None or row.erased_at is not None:
            flaws.add(f"company {row.company_id} has the user {row.user_id}, who has no account")
        if row.staff:
            flaws.add(f"company {row.company_id} has the user {row.user_id}, who is staff of the vendor")
        if row.there is None:
            flaws.add(f"user {row.user_id} belongs to the company {row.company_id}, which is not there")
        if row.role not in _ROLES:
            flaws.add(f"user {row.user_id} has the role {row.role!r} in company {row.company_id}")
    counted = sa.select(Membership.company_id, Membership.user_id, sa.func.count().label("times"))
    counted = counted.group_by(Membership.company_id, Membership.user_id).having(sa.func.count() > 1)
    for row in stream(connection, counted):
        flaws.add(f"user {row.user_id} belongs to company {row.company_id} {row.times} times")
    return Check("memberships are of people in companies", checked, flaws.told())


def _administrators(connection: Connection) -> Check:
    """Every company that has users has an administrator who is not locked in it (ACC-4)."""
    flaws, checked = Flaws(), 0
    works = sa.case((sa.and_(Membership.role == "admin", ~Membership.locked), 1), else_=0)
    counted = sa.select(Membership.company_id, sa.func.count().label("users"), sa.func.sum(works).label("admins"))
    for row in stream(connection, counted.group_by(Membership.company_id)):
        checked += 1
        if not row.admins:
            flaws.add(f"company {row.company_id} has {row.users} users and no unlocked administrator")
    return Check("companies have an administrator", checked, flaws.told())


def _logins(connection: Connection) -> Check:
    """Every session that lives is of an unlocked account, in no company or in one where the user is not locked."""
    flaws, checked = Flaws(), 0
    may = sa.exists().where(
        Membership.company_id == Session.company_id, Membership.user_id == Session.user_id, ~Membership.locked
    )
    statement = (
        sa.select(Session.id, Session.user_id, Session.company_id, may.label("may"))
        .add_columns(User.id.label("person"), User.locked, User.erased_at)
        .outerjoin(User, User.id == Session.user_id)
        .where(Session.ended_at.is_(None))
    )
    for row in stream(connection, statement):
        checked += 1
        if row.person is None or row.locked or row.erased_at is not None:
            flaws.add(f"session {row.id} lives, but its user {row.user_id} is locked or gone")
        elif row.company_id is not None and not row.may:
            flaws.add(f"session {row.id} lives in company {row.company_id}, where user {row.user_id} may not work")
    return Check("living sessions are of people who may", checked, flaws.told())


def _chains(connection: Connection) -> Check:
    """Every session has at most one refresh token that was not used: a thief and the owner cannot both go on."""
    flaws = Flaws()
    unused = RefreshToken.used_at.is_(None)
    counted = sa.select(RefreshToken.session_id, sa.func.count().label("number")).where(unused)
    for row in stream(connection, counted.group_by(RefreshToken.session_id).having(sa.func.count() > 1)):
        flaws.add(f"session {row.session_id} has {row.number} chains of refresh tokens")
    number = connection.scalar(sa.select(sa.func.count(sa.distinct(RefreshToken.session_id))).where(unused)) or 0
    return Check("sessions have one chain", number, flaws.told())


def _erased(connection: Connection) -> Check:
    """Of an erased account only the id is left (ACC-12)."""
    flaws, checked = Flaws(), 0
    for row in stream(connection, sa.select(User.__table__).where(User.erased_at.is_not(None))):
        checked += 1
        left = (row.password_hash, row.forename, row.surname, row.vendor_customer_number, row.otp_secret)
        if any(left) or row.email != f"erased-{row.id}@erased.invalid" or row.staff or row.account_rights:
            flaws.add(f"user {row.id} was erased and something is left")
    return Check("erased accounts are empty", checked, flaws.told())


def _secrets(connection: Connection) -> Check:
    """No secret stands in the clear: passwords as argon2id, tokens as digests; whatever table has such a column."""
    flaws, checked = Flaws(), 0
    for table, column, value in _hashes(connection):
        checked += 1
        expected = _PASSWORD if column == "password_hash" else _DIGEST
        # An erased account has no password at all.
        if value != "" and not expected.fullmatch(value):
            flaws.add(f"{table}.{column} holds something that is no hash")
    return Check("secrets are hashed", checked, flaws.told())


def _hashes(connection: Connection) -> Iterator[tuple[str, str, str]]:
    for table in Base.metadata.sorted_tables:
        assert isinstance(table, Table)
        for column in table.columns:
            if column.name.endswith("_hash"):
                for (value,) in stream(connection, sa.select(column)):
                    yield table.name, column.name, str(value)


def _sealed(connection: Connection, keys: KeyStore) -> Check:
    """Mails that wait and second factors can be opened with accounts' keys, and mails that went out are emptied."""
    flaws, checked = Flaws(), 0
    for row in stream(connection, sa.select(Mail.id, Mail.sealed, Mail.next_at, Mail.parked_at, Mail.error)):
        checked += 1
        if row.parked_at is not None:
            flaws.add(
                f"mail {row.id} is parked: {row.error}; once that is mended, run: tessera-admin retry-parked-mails"
            )
        elif row.next_at is None and row.sealed is not None:
            flaws.add(f"mail {row.id} is not going to be sent and its content is still there")
        if row.next_at is not None and not _opens(keys, row.sealed, f"mails:{row.id}", is_json=True):
            flaws.add(f"mail {row.id} waits and cannot be opened")
    factors = sa.select(User.id, User.otp_secret).where(User.otp_secret.is_not(None))
    for row in stream(connection, factors):
        checked += 1
        if not _opens(keys, row.otp_secret, f"users:{row.id}:otp"):
            flaws.add(f"the second factor of user {row.id} cannot be opened")
    return Check("what is sealed can be opened", checked, flaws.told())


def _opens(keys: KeyStore, sealed: bytes | None, context: str, *, is_json: bool = False) -> bool:
    try:
        content = keys.unseal(bytes(sealed or b""), context)
        return not is_json or {"to", "values"} <= set(json.loads(content))
    except (InvalidTag, ValueError):
        return False
