"""SQL of the deletions of projects, and of what is in their way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.licensing.models import ActivationKey, Balance, ProjectDeletion
from services.licensing.store.ledger import project_pool

COUNTING: Final = "counting"
CLOSING: Final = "closing"
DELETED: Final = "deleted"
REFUSED: Final = "refused"
ABANDONED: Final = "abandoned"
_LIVE: Final = (COUNTING, CLOSING)

_COLUMNS = tuple(ProjectDeletion.__table__.columns)
Row = sa.Row[Any]


def begin(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a deletion unless one of the same project is under way."""
    return insert_or_ignore(connection, ProjectDeletion, values)


def unfinished(connection: Connection, project_id: str) -> list[Row]:
    """Return the deletions of a project that are under way, or settled and not told; the newest first."""
    statement = sa.select(*_COLUMNS).where(ProjectDeletion.project_id == project_id, sa.not_(ProjectDeletion.told))
    return list(connection.execute(statement.order_by(ProjectDeletion.started_at.desc(), ProjectDeletion.id.desc())))


def get(connection: Connection, deletion_id: str) -> Row:
    """Return a deletion."""
    return connection.execute(sa.select(*_COLUMNS).where(ProjectDeletion.id == deletion_id)).one()


def is_deleted(connection: Connection, project_id: str, company_ids: Collection[str]) -> bool:
    """Tell whether one of these companies deleted a project."""
    statement = sa.select(ProjectDeletion.id).where(
        ProjectDeletion.project_id == project_id,
        ProjectDeletion.company_id.in_(company_ids),
        ProjectDeletion.state == DELETED,
    )
    return connection.execute(statement).first() is not None


def change(connection: Connection, closing_id: str, before: Collection[str], values: Mapping[str, Any]) -> bool:
    """Change an attempt that is in one of these states; returns False when it is not, or not the present one."""
    statement = sa.update(ProjectDeletion).where(
        ProjectDeletion.closing_id == closing_id, ProjectDeletion.state.in_(before)
    )
    return connection.execute(statement.values(**values)).rowcount == 1


def untold(connection: Connection, started_before: datetime, settled_before: datetime) -> list[Row]:
    """Return deletions that nobody drives any more, locked: begun before the one time, or settled before the other."""
    begun = sa.and_(ProjectDeletion.state.in_(_LIVE), ProjectDeletion.started_at < started_before)
    settled = sa.and_(ProjectDeletion.state.not_in(_LIVE), ProjectDeletion.settled_at < settled_before)
    statement = (
        sa.select(*_COLUMNS)
        .where(sa.not_(ProjectDeletion.told), sa.or_(begun, settled))
        .order_by(ProjectDeletion.started_at)
        .limit(20)
    )
    return list(connection.execute(statement.with_for_update(skip_locked=True)))


def blockers(connection: Connection, project_id: str) -> dict[str, int]:
    """Return what is in the way of a project's deletion in this room, by kind: keys and licenses in the balance.

    Keys that were added to it count, and open keys that were created from it, because their contents may come back.
    """
    key = ActivationKey
    created = sa.and_(key.project_id == project_id, key.state == "open")
    keys = sa.select(sa.func.count()).where(sa.or_(key.used_project_id == project_id, created))
    held = sa.select(sa.func.coalesce(sa.func.sum(Balance.n), 0)).where(Balance.pool_id == project_pool(project_id))
    return {
        "activation_keys": int(connection.execute(keys).scalar_one()),
        "balance": int(connection.execute(held).scalar_one()),
    }
