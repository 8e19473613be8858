"""SQL of the deletions of projects, and of what is in their way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.chassis.data.rows import columns_of
from services.licensing.models import ActivationKey, Balance, ProjectDeletion
from services.licensing.store.ledger import project_pool

COUNTING: Final = "counting"
CLOSING: Final = "closing"
DELETED: Final = "deleted"
REFUSED: Final = "refused"
ABANDONED: Final = "abandoned"
_LIVE: Final = (COUNTING, CLOSING)


@dataclass(frozen=True, slots=True)
class Deletion:
    """One deletion of a project, as its present attempt stands.

    Args:
        closing_id: name of the attempt, under which the rooms close the project.
        state: one of the words above.
        blockers: what was in the way, by kind.
        told: every room has learned how it was settled.
    """

    id: str
    project_id: str
    company_id: str
    closing_id: str
    state: str
    blockers: dict[str, int]
    created_by: str
    started_at: datetime
    settled_at: datetime | None
    told: bool


_COLUMNS = columns_of(Deletion, ProjectDeletion.__table__)


def begin(connection: Connection, deletion: Deletion) -> bool:
    """Insert a deletion unless one of the same project is under way."""
    return insert_or_ignore(connection, ProjectDeletion, asdict(deletion))


def unfinished(connection: Connection, project_id: str) -> list[Deletion]:
    """Return the deletions of a project that are under way, or settled and not told; the newest first."""
    statement = sa.select(*_COLUMNS).where(ProjectDeletion.project_id == project_id, sa.not_(ProjectDeletion.told))
    newest = statement.order_by(ProjectDeletion.started_at.desc(), ProjectDeletion.id.desc())
    return [Deletion(*row) for row in connection.execute(newest)]


def get(connection: Connection, deletion_id: str) -> Deletion:
    """Return a deletion."""
    return Deletion(*connection.execute(sa.select(*_COLUMNS).where(ProjectDeletion.id == deletion_id)).one())


def is_deleted(connection: Connection, project_id: str, company_ids: Collection[str]) -> bool:
    """Tell whether one of these companies deleted a project."""
    statement = sa.select(ProjectDeletion.id).where(
        ProjectDeletion.project_id == project_id,
        ProjectDeletion.company_id.in_(company_ids),
        ProjectDeletion.state == DELETED,
    )
    return connection.execute(statement).first() is not None


def change(connection: Connection, attempt: str, before: Collection[str], **values: object) -> bool:
    """Change an attempt that is in one of these states; returns False when it is not, or not the present one."""
    statement = sa.update(ProjectDeletion).where(
        ProjectDeletion.closing_id == attempt, ProjectDeletion.state.in_(before)
    )
    return connection.execute(statement.values(**values)).rowcount == 1


def untold(connection: Connection, started_before: datetime, settled_before: datetime) -> list[Deletion]:
    """Return deletions that nobody drives any more, locked: begun before the one time, or settled before the other."""
    begun = sa.and_(ProjectDeletion.state.in_(_LIVE), ProjectDeletion.started_at < started_before)
    settled = sa.and_(ProjectDeletion.state.not_in(_LIVE), ProjectDeletion.settled_at < settled_before)
    statement = (
        sa.select(*_COLUMNS)
        .where(sa.not_(ProjectDeletion.told), sa.or_(begun, settled))
        .order_by(ProjectDeletion.started_at)
        .limit(20)
    )
    return [Deletion(*row) for row in connection.execute(statement.with_for_update(skip_locked=True))]


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
