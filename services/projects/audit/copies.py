"""What other rooms copy of projects' rows, and what projects copies of others', for the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import stream
from services.projects.models import Company, Project, ProjectRight


def projects(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield owner, name, state and version of each project."""
    for row in stream(
        connection, sa.select(Project.id, Project.company_id, Project.name, Project.state, Project.version)
    ):
        yield row.id, json.dumps(list(row[1:]))


def rights(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each right that somebody has in a project of another company."""
    for row in stream(connection, sa.select(ProjectRight.project_id, ProjectRight.company_id)):
        yield f"{row.project_id} {row.company_id}", "a right"


def closings(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the deletion for which each project is closed."""
    columns = sa.select(Project.id, Project.closing_id)
    for row in stream(connection, columns.where(Project.closing_id.is_not(None))):
        yield row.id, row.closing_id


def known_names(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the name by which each company is known here."""
    for row in stream(connection, sa.select(Company.id, Company.name)):
        yield row.id, row.name
