"""SQL for the links that give an account its former address back (ACC-7)."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import UNDO_LIFE, digest
from services.accounts.models import EmailUndo
from services.chassis.data.db import Unit
from services.chassis.data.rows import columns_of
from services.chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class StoredUndo:
    """A link that gives an account its former address back."""

    user_id: str
    email: str
    created_at: datetime
    expires_at: datetime


_table = EmailUndo.__table__
_UNDO = columns_of(StoredUndo, _table)


def add(unit: Unit, user_id: str, secret: str, email: str) -> None:
    """Store the token of a link, hashed, with the address that it gives back."""
    unit.execute(
        sa.insert(EmailUndo).values(
            id=new_id(),
            user_id=user_id,
            token_hash=digest(secret),
            email=email,
            created_at=unit.now,
            expires_at=unit.now + UNDO_LIFE,
            used_at=None,
        )
    )


def take(unit: Unit, secret: str) -> StoredUndo | None:
    """Use up a link; returns None when it is unknown, used, voided or expired."""
    same = _table.c.token_hash == digest(secret)
    taken = unit.execute(
        sa.update(EmailUndo)
        .where(same, _table.c.used_at.is_(None), _table.c.expires_at > unit.now)
        .values(used_at=unit.now)
    )
    if taken.rowcount != 1:
        return None
    return StoredUndo(*unit.connection.execute(sa.select(*_UNDO).where(same)).one())


def void_since(unit: Unit, user_id: str, undone: StoredUndo) -> None:
    """Make the links of later changes worthless: they lead to addresses that the undone change had led to."""
    unit.execute(
        sa.update(EmailUndo)
        .where(
            _table.c.user_id == user_id, _table.c.created_at >= undone.created_at, _table.c.used_at.is_(None),
        )
        .values(used_at=unit.now)
    )  # fmt: skip


def open_ones(connection: Connection, user_id: str, now: datetime) -> list[StoredUndo]:
    """Return the links of a user that could be used now, oldest first; there are few."""
    open_now = sa.and_(_table.c.user_id == user_id, _table.c.used_at.is_(None), _table.c.expires_at > now)
    statement = sa.select(*_UNDO).where(open_now).order_by(_table.c.id).limit(1000)
    return [StoredUndo(*row) for row in connection.execute(statement)]


def addresses(connection: Connection, user_id: str) -> list[str]:
    """Return the former addresses of a user."""
    return list(connection.execute(sa.select(_table.c.email).where(_table.c.user_id == user_id)).scalars())


def forget(unit: Unit, user_id: str) -> None:
    """Delete all links of a user, which hold former addresses."""
    unit.execute(sa.delete(EmailUndo).where(EmailUndo.user_id == user_id))
