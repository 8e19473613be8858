"""Projects' own audit: names, choices and events fit, and nothing belongs to an absorbed company (ACC-6)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.aliases import check_unused
from services.chassis.audit import Check, Flaws, Report, outbox_report, read_all
from services.chassis.db import Database
from services.chassis.outbox import Event
from services.chassis.settings import Settings
from services.chassis.tables import outbox
from services.projects.domain import ARCHIVED
from services.projects.models import FirstProject, Project, ProjectRight, Selection


def audit(settings: Settings) -> Report:
    """Audit projects' database against itself."""
    database = Database.from_settings(settings, "projects", pool_size=1)
    try:
        return read_all(database, report)
    finally:
        database.close()


def report(connection: Connection) -> Report:
    """Report all checks over one snapshot."""
    return outbox_report(connection, "projects", [*check_projects(connection), *check_owners(connection)])


def check_projects(connection: Connection) -> list[Check]:
    """Return the checks of projects and of what refers to them."""
    projects = connection.execute(sa.select(Project.__table__).order_by(Project.id)).all()
    return [
        _names(projects),
        _first_ones(connection, projects),
        _references(connection, projects),
        _told(connection, projects),
    ]


def _names(projects: Sequence[Any]) -> Check:
    """Names are 1 to 64 characters and unique in their company, ignoring case and outer blanks (PRJ-1)."""
    flaws = Flaws()
    for row in projects:
        if not 1 <= len(row.name.strip()) <= 64 or row.name_normalized != row.name.strip().casefold():
            flaws.add(f"project {row.id} is called {row.name!r} and known as {row.name_normalized!r}")
    for (company_id, name), count in Counter((row.company_id, row.name.strip().casefold()) for row in projects).items():
        if count > 1:
            flaws.add(f"company {company_id} has {count} projects called {name!r}")
    return Check("names are unique in the company", len(projects), flaws.told())


def _first_ones(connection: Connection, projects: Sequence[Any]) -> Check:
    """Whoever has projects was given a first one, by the row that makes sure of it."""
    flaws = Flaws()
    given = set(connection.scalars(sa.select(FirstProject.company_id)))
    owners = {row.company_id for row in projects}
    for company_id in owners - given:
        flaws.add(f"company {company_id} has projects and was never given a first one")
    return Check("companies have a first project", len(owners), flaws.told())


def _references(connection: Connection, projects: Sequence[Any]) -> Check:
    """Rights and choices are of projects that are there; chosen are own ones and those with a right, none archived."""
    flaws, checked = Flaws(), 0
    known = {row.id: row for row in projects}
    rights = {(row.project_id, row.company_id) for row in connection.execute(sa.select(ProjectRight.__table__))}
    for project_id, company_id in sorted(rights):
        checked += 1
        if project_id not in known:
            flaws.add(f"company {company_id} has a right in the project {project_id}, which is not there")
        elif known[project_id].closing_id is not None:
            flaws.add(f"company {company_id} has a right in the project {project_id}, which is being deleted")
    for row in connection.execute(sa.select(Selection.__table__)):
        checked += 1
        project = known.get(row.project_id)
        if project is None or project.state == ARCHIVED:
            flaws.add(f"user {row.user_id} chose the project {row.project_id}, which is not there or archived")
        elif project.company_id != row.company_id and (project.id, row.company_id) not in rights:
            flaws.add(f"user {row.user_id} chose the project {row.project_id}, in which the company has no right")
    return Check("rights and choices are of projects", checked, flaws.told())


def _told(connection: Connection, projects: Sequence[Any]) -> Check:
    """Every project was told once when it was made, once when it was deleted, and is as its last event says."""
    flaws = Flaws()
    made: Counter[str] = Counter()
    gone: set[str] = set()
    last: dict[str, Mapping[str, Any]] = {}
    for event in _events(connection):
        if event.type == "project_created":
            made[event.subject] += 1
        elif event.type == "project_deleted":
            gone.add(event.subject)
        if event.type in ("project_created", "project_changed"):
            # By version: events of one moment have no other order here.
            last[event.subject] = max(last.get(event.subject, event.data), event.data, key=lambda data: data["version"])
    for row in projects:
        told = last.get(row.id, {})
        if made[row.id] != 1 or row.id in gone:
            flaws.add(f"project {row.id} is there, was told {made[row.id]} times and {row.id in gone} as deleted")
        elif (told["name"], told["state"], told["version"]) != (row.name, row.state, row.version):
            flaws.add(f"project {row.id} is {row.name!r}, {row.state}, version {row.version}; told was {dict(told)}")
    for project_id in made.keys() - gone - {row.id for row in projects}:
        flaws.add(f"project {project_id} was told, is not there and was never told as deleted")
    return Check("projects are as they were told", len(projects), flaws.told())


def _events(connection: Connection) -> Iterator[Event]:
    # All rows, also those without a sequence yet: an event counts from its transaction on, published or not.
    for document in connection.execute(sa.select(outbox.c.event)).scalars():
        yield Event.from_document({"sequence": 0, **json.loads(document)})


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
