"""The part of accounts' audit about people: memberships, administrators, living logins, secrets at rest, mails."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, Table

from services.accounts.models import Base, Company, Mail, Membership, RefreshToken, Session, User
from services.chassis.audit import Check, Flaws
from services.chassis.keystore import KeyStore

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
    flaws = Flaws()
    erased = {row.id: row.erased_at for row in connection.execute(sa.select(User.id, User.erased_at))}
    staff = set(connection.scalars(sa.select(User.id).where(User.staff)))
    companies = set(connection.scalars(sa.select(Company.id).where(Company.absorbed_into.is_(None))))
    rows = connection.execute(sa.select(Membership.__table__)).all()
    for row in rows:
        if row.user_id not in erased or erased[row.user_id] is not None:
            flaws.add(f"company {row.company_id} has the user {row.user_id}, who has no account")
        if row.user_id in staff:
            flaws.add(f"company {row.company_id} has the user {row.user_id}, who is staff of the vendor")
        if row.company_id not in companies:
            flaws.add(f"user {row.user_id} belongs to the company {row.company_id}, which is not there")
        if row.role not in _ROLES:
            flaws.add(f"user {row.user_id} has the role {row.role!r} in company {row.company_id}")
    for (company_id, user_id), count in Counter((row.company_id, row.user_id) for row in rows).items():
        if count > 1:
            flaws.add(f"user {user_id} belongs to company {company_id} {count} times")
    return Check("memberships are of people in companies", len(rows), flaws.told())


def _administrators(connection: Connection) -> Check:
    """Every company that has users has an administrator who is not locked in it (ACC-4)."""
    flaws = Flaws()
    users: dict[str, list[bool]] = defaultdict(list)
    for row in connection.execute(sa.select(Membership.company_id, Membership.role, Membership.locked)):
        users[row.company_id].append(row.role == "admin" and not row.locked)
    for company_id, is_admin in users.items():
        if not any(is_admin):
            flaws.add(f"company {company_id} has {len(is_admin)} users and no unlocked administrator")
    return Check("companies have an administrator", len(users), flaws.told())


def _logins(connection: Connection) -> Check:
    """Every session that lives is of an unlocked account, in no company or in one where the user is not locked."""
    flaws = Flaws()
    people = {row.id: row for row in connection.execute(sa.select(User.id, User.locked, User.erased_at))}
    unlocked = {
        (row.company_id, row.user_id)
        for row in connection.execute(sa.select(Membership.company_id, Membership.user_id, Membership.locked))
        if not row.locked
    }
    rows = connection.execute(
        sa.select(Session.id, Session.user_id, Session.company_id).where(Session.ended_at.is_(None))
    ).all()
    for row in rows:
        user = people.get(row.user_id)
        if user is None or user.locked or user.erased_at is not None:
            flaws.add(f"session {row.id} lives, but its user {row.user_id} is locked or gone")
        elif row.company_id is not None and (row.company_id, row.user_id) not in unlocked:
            flaws.add(f"session {row.id} lives in company {row.company_id}, where user {row.user_id} may not work")
    return Check("living sessions are of people who may", len(rows), flaws.told())


def _chains(connection: Connection) -> Check:
    """Every session has at most one refresh token that was not used: a thief and the owner cannot both go on."""
    flaws = Flaws()
    statement = (
        sa.select(RefreshToken.session_id, sa.func.count().label("number"))
        .where(RefreshToken.used_at.is_(None))
        .group_by(RefreshToken.session_id)
    )
    rows = connection.execute(statement).all()
    for row in rows:
        if row.number > 1:
            flaws.add(f"session {row.session_id} has {row.number} chains of refresh tokens")
    return Check("sessions have one chain", len(rows), flaws.told())


def _erased(connection: Connection) -> Check:
    """Of an erased account only the id is left (ACC-12)."""
    flaws = Flaws()
    rows = connection.execute(sa.select(User.__table__).where(User.erased_at.is_not(None))).all()
    for row in rows:
        left = (row.password_hash, row.forename, row.surname, row.vendor_customer_number, row.otp_secret)
        if any(left) or row.email != f"erased-{row.id}@erased.invalid" or row.staff or row.account_rights:
            flaws.add(f"user {row.id} was erased and something is left")
    return Check("erased accounts are empty", len(rows), flaws.told())


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
                for value in connection.scalars(sa.select(column)):
                    yield table.name, column.name, str(value)


def _sealed(connection: Connection, keys: KeyStore) -> Check:
    """Mails that wait and second factors can be opened with accounts' keys, and mails that went out are emptied."""
    flaws, checked = Flaws(), 0
    for row in connection.execute(sa.select(Mail.id, Mail.sealed, Mail.next_at, Mail.parked_at, Mail.error)):
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
    for user_id, secret in connection.execute(factors):
        checked += 1
        if not _opens(keys, secret, f"users:{user_id}:otp"):
            flaws.add(f"the second factor of user {user_id} cannot be opened")
    return Check("what is sealed can be opened", checked, flaws.told())


def _opens(keys: KeyStore, sealed: bytes | None, context: str, *, is_json: bool = False) -> bool:
    try:
        content = keys.unseal(bytes(sealed or b""), context)
        return not is_json or {"to", "values"} <= set(json.loads(content))
    except (InvalidTag, ValueError):
        return False
