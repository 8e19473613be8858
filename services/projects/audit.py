"""Projects' own audit: nothing belongs to a company that another one absorbed (ACC-6)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.aliases import check_unused
from services.chassis.audit import Check, Flaws, Report, outbox_report
from services.chassis.db import Database
from services.chassis.settings import Settings
from services.projects.models import Project, ProjectRight, Selection


def audit(settings: Settings) -> Report:
    """Audit projects' database against itself."""
    database = Database.from_settings(settings, "projects", pool_size=1)
    try:
        return database.read(lambda c: outbox_report(c, "projects", check_owners(c)), snapshot=True)
    finally:
        database.close()


def check_owners(connection: Connection) -> list[Check]:
    """Return the checks of owners and rights."""
    columns = (Project.company_id, ProjectRight.company_id, Selection.company_id)
    return [check_unused(connection, columns), _no_right_in_own_projects(connection)]


def _no_right_in_own_projects(connection: Connection) -> Check:
    """A company has every right in its own projects and is no guest there."""
    flaws = Flaws()
    rows = connection.execute(
        sa.select(ProjectRight.project_id, ProjectRight.company_id, Project.company_id.label("owner_id")).join(
            Project, Project.id == ProjectRight.project_id
        )
    ).all()
    for row in rows:
        if row.company_id == row.owner_id:
            flaws.add(f"company {row.company_id} is a guest in its own project {row.project_id}")
    return Check("guests are other companies", len(rows), flaws.told())
