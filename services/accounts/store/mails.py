"""SQL for mail links and the mails to send."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection

from services.accounts.domain import digest, normalized_email
from services.accounts.models import Link, Mail
from services.chassis.data.db import Unit
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore

LOOKED_AT: Final = 500
"""So many waiting mails are opened in one transaction."""
T = TypeVar("T")


class Read(Protocol):
    """Runs reading work in a transaction."""

    def __call__(self, work: Callable[[Connection], T], /) -> T:
        """Return what the work returns."""


@dataclass(frozen=True, slots=True)
class StoredLink:
    """The token of a mail link, used or not."""

    subject_id: str
    email: str | None


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A mail to send; what it says is sealed, and gone once it was sent or given up."""

    id: str
    template: str
    language: str
    sealed: bytes | None
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _SealedMail:
    id: str
    sealed: bytes


_links = Link.__table__
_mails = Mail.__table__
_LINK = columns_of(StoredLink, _links)
_MAIL = columns_of(QueuedMail, _mails)
_SEALED = columns_of(_SealedMail, _mails)


def add_link(unit: Unit, purpose: str, secret: str, subject_id: str, life: timedelta, email: str | None = None) -> None:
    """Store the token of a mail link, hashed.

    Args:
        purpose: one of the domain's four.
        secret: the token as the mail carries it.
        subject_id: registration, user or invitation that it acts on.
        life: how long it works.
        email: the new address, for a change of address.
    """
    unit.execute(
        sa.insert(Link).values(
            id=new_id(),
            purpose=purpose,
            token_hash=digest(secret),
            subject_id=subject_id,
            email=email,
            created_at=unit.now,
            expires_at=unit.now + life,
            used_at=None,
        )
    )


def take_link(unit: Unit, purpose: str, secret: str) -> StoredLink | None:
    """Use up a link; returns None when it is unknown, for another purpose, used or expired."""
    table = _links
    same = sa.and_(table.c.token_hash == digest(secret), table.c.purpose == purpose)
    taken = unit.execute(
        sa.update(Link).where(same, table.c.used_at.is_(None), table.c.expires_at > unit.now).values(used_at=unit.now)
    )
    return _link(unit.connection, same) if taken.rowcount == 1 else None


def open_link(connection: Connection, purpose: str, secret: str, now: datetime) -> StoredLink | None:
    """Return a link that could be used now, without using it up."""
    table = _links
    same = sa.and_(table.c.token_hash == digest(secret), table.c.purpose == purpose)
    return _link(connection, sa.and_(same, table.c.used_at.is_(None), table.c.expires_at > now))


def void_links(unit: Unit, purpose: str, subject_id: str) -> None:
    """Make all unused links of one purpose and subject worthless."""
    unit.execute(
        sa.update(Link)
        .where(Link.purpose == purpose, Link.subject_id == subject_id, Link.used_at.is_(None))
        .values(used_at=unit.now)
    )


def pending_email(connection: Connection, purpose: str, user_id: str, now: datetime) -> str | None:
    """Return the address that an open change of address would set."""
    return connection.execute(
        sa.select(Link.email)
        .where(Link.purpose == purpose, Link.subject_id == user_id, Link.used_at.is_(None), Link.expires_at > now)
        .order_by(Link.id.desc())
        .limit(1)
    ).scalar()


def queue(
    unit: Unit,
    keys: KeyStore,
    template: str,
    language: str,
    to: str,
    values: Mapping[str, str],
    *,
    deliver: bool = True,
) -> None:
    """Put a mail into the outbox of mails; it is sent after the commit, again and again until it went out.

    Args:
        unit: the running transaction.
        keys: seal recipient and values.
        template: name of a text in `mails.texts`.
        language: of the recipient.
        to: address of the recipient.
        values: what the text needs, such as the link's token.
        deliver: False writes a row that is never sent, so that an unknown address costs what a known one does (S2).
    """
    identifier = new_id()
    sealed = keys.seal(json.dumps({"to": to, "values": dict(values)}).encode(), f"mails:{identifier}")
    unit.execute(
        sa.insert(Mail).values(
            id=identifier,
            template=template,
            language=language,
            sealed=sealed if deliver else None,
            attempts=0,
            created_at=unit.now,
            next_at=unit.now if deliver else None,
            sent_at=None if deliver else unit.now,
            error=None,
        )
    )


def find_waiting(read: Read, keys: KeyStore, addresses: Collection[str], *, after: str = "") -> list[str]:
    """Return the ids of the mails to some addresses that wait to be sent.

    Args:
        read: runs reading work in a short transaction of its own; a backlog is gone through, a piece in each.
        keys: unseal the mails; recipients stand nowhere in the clear.
        addresses: normalized.
        after: only mails with ids behind this one.
    """
    found: list[str] = []
    while True:
        rows = read(_after(after))
        found += [row.id for row in rows if _recipient(keys, row) in addresses]
        if len(rows) < LOOKED_AT:
            return found
        after = rows[-1].id


def _after(mail_id: str) -> Callable[[Connection], Sequence[_SealedMail]]:
    def work(connection: Connection) -> Sequence[_SealedMail]:
        waiting = sa.select(*_SEALED).where(_mails.c.sealed.is_not(None), _mails.c.id > mail_id)
        return [_SealedMail(*row) for row in connection.execute(waiting.order_by(_mails.c.id).limit(LOOKED_AT))]

    return work


def forget(unit: Unit, keys: KeyStore, addresses: Collection[str], *, found: Collection[str], after: str) -> int:
    """Delete the mails to some addresses that wait to be sent; returns how many there were.

    Args:
        unit: the running transaction.
        keys: as for `find_waiting`.
        addresses: as for `find_waiting`.
        found: what that found before.
        after: mails with ids behind this one are looked through here.
    """

    def here(work: Callable[[Connection], T], /) -> T:
        return work(unit.connection)

    late = find_waiting(here, keys, addresses, after=after)
    gone = sorted({*found, *late})
    deleted = 0
    for place in range(0, len(gone), LOOKED_AT):
        # One that was sent meanwhile is empty already.
        deleted += unit.execute(sa.delete(Mail).where(Mail.id.in_(gone[place : place + LOOKED_AT]))).rowcount
    return deleted


def _recipient(keys: KeyStore, mail: _SealedMail) -> str | None:
    """Return the normalized recipient of a mail, None where the mail cannot be opened and so tells nobody."""
    try:
        return normalized_email(str(json.loads(keys.unseal(mail.sealed, f"mails:{mail.id}"))["to"]))
    except (InvalidTag, ValueError, KeyError):
        return None


def forget_links(unit: Unit, user_id: str) -> None:
    """Delete the links of a person, which hold the address of a change that was never confirmed."""
    unit.execute(sa.delete(Link).where(Link.subject_id == user_id))


def claim(unit: Unit, lease: timedelta) -> QueuedMail | None:
    """Take the mail that is due longest for the time of a lease; two processes never get the same one."""
    table = _mails
    row = unit.connection.execute(
        sa.select(*_MAIL)
        .where(table.c.next_at <= unit.now)
        .order_by(table.c.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    mail = QueuedMail(*row)
    unit.execute(
        sa.update(Mail).where(Mail.id == mail.id).values(attempts=table.c.attempts + 1, next_at=unit.now + lease)
    )
    return mail


def sent(unit: Unit, mail_id: str) -> None:
    """Note that a mail went out and forget its content."""
    unit.execute(
        sa.update(Mail).where(Mail.id == mail_id).values(sent_at=unit.now, next_at=None, sealed=None, error=None)
    )


def failed(unit: Unit, mail_id: str, error: str, wait: timedelta | None) -> None:
    """Note why a mail did not go out and when it is tried again; None gives it up and forgets its content."""
    noted = sa.update(Mail).where(Mail.id == mail_id).values(error=error[:500])
    again = noted.values(next_at=None, sealed=None) if wait is None else noted.values(next_at=unit.now + wait)
    unit.execute(again)


def park(unit: Unit, mail_id: str, error: str) -> None:
    """Note that a mail cannot be made; it is kept, and tried again only when somebody asks for it."""
    unit.execute(sa.update(Mail).where(Mail.id == mail_id).values(error=error[:500], next_at=None, parked_at=unit.now))


def release(unit: Unit) -> int:
    """Let all parked mails be tried again; returns how many there are."""
    parked = sa.update(Mail).where(Mail.parked_at.is_not(None))
    return unit.execute(parked.values(parked_at=None, next_at=unit.now)).rowcount


def is_due(connection: Connection) -> bool:
    """Return whether a mail waits to be sent now."""
    due = sa.select(Mail.id).where(Mail.next_at <= datetime.now(UTC)).limit(1)
    return connection.execute(due).first() is not None


def _link(connection: Connection, condition: sa.ColumnElement[bool]) -> StoredLink | None:
    row = connection.execute(sa.select(*_LINK).where(condition)).first()
    return None if row is None else StoredLink(*row)
