"""SQL for imports of companies: what companies have here, and the change of its owner (ACC-6).

Only copies of projects and activation keys follow; ledger, lines on devices, files and certificates keep their ids.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from services.licensing.models import ActivationKey, Balance, Project


def balance_of(connection: Connection, company_ids: Collection[str]) -> dict[str, int]:
    """Return what all projects of companies hold, archived ones too, by license type."""
    rows = connection.execute(
        sa.select(Balance.license_type, sa.func.sum(Balance.n).label("n"))
        .join(Project, Project.pool_id == Balance.pool_id)
        .where(Project.company_id.in_(company_ids), Balance.n > 0)
        .group_by(Balance.license_type)
    )
    return {row.license_type: int(row.n) for row in rows}


def count_keys(connection: Connection, company_ids: Collection[str]) -> tuple[int, int]:
    """Return how many keys are in projects of companies, and how many keys they created from their balance."""
    added = (
        sa.select(sa.func.count())
        .select_from(ActivationKey)
        .join(Project, Project.id == ActivationKey.used_project_id)
        .where(Project.company_id.in_(company_ids))
    )
    created = sa.select(sa.func.count()).where(ActivationKey.company_id.in_(company_ids))
    return int(connection.execute(added).scalar_one()), int(connection.execute(created).scalar_one())


def pass_projects(connection: Connection, old_ids: Collection[str], company_id: str) -> int:
    """Give projects, and with them their balances, to another company; returns how many."""
    statement = sa.update(Project).where(Project.company_id.in_(old_ids)).values(company_id=company_id)
    return connection.execute(statement).rowcount


def pass_keys(connection: Connection, old_ids: Collection[str], company_id: str) -> None:
    """Give keys that companies created or added to another one."""
    for column in (ActivationKey.company_id, ActivationKey.used_company_id):
        connection.execute(sa.update(ActivationKey).where(column.in_(old_ids)).values({column: company_id}))
