"""Projects' own audit: names, choices, rights and events fit, and nothing belongs to an absorbed company (ACC-6).

Everything is streamed: memory stays the same however many projects there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.chassis.data import aliases
from services.chassis.data.audit.checks import Check, Flaws, Report, events, read_all, stream
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.audit.rows import check_rows
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.chassis.data.db import Database
from services.chassis.data.tables import metadata
from services.chassis.settings import Settings
from services.projects.domain import ARCHIVED
from services.projects.models import Base, FirstProject, Project, ProjectRight, Selection

_TOLD = ("project_created", "project_changed", "project_deleted")
_RIGHTS = ("project_right_granted", "project_right_passed", "project_right_removed")


def audit(settings: Settings) -> Report:
    """Audit projects' database against itself."""
    database = Database.from_settings(settings, "projects", pool_size=1)
    try:
        return read_all(database, report)
    finally:
        database.close()


def report(connection: Connection) -> Report:
    """Report all checks over one snapshot."""
    return outbox_report(
        connection,
        "projects",
        partial(check_rows, connection, Base.metadata, aliases.metadata, metadata),
        partial(check_projects, connection),
        partial(check_owners, connection),
    )


def check_projects(connection: Connection) -> list[Check]:
    """Return the checks of projects and of what refers to them."""
    return [_names(connection), _first_ones(connection), _references(connection), _told(connection)]


def _names(connection: Connection) -> Check:
    """Names are 1 to 64 characters and unique in their company, ignoring case and outer blanks (PRJ-1)."""
    flaws = Flaws()
    with Scratch() as names:
        for row in stream(connection, sa.select(Project.id, Project.company_id, Project.name, Project.name_normalized)):
            normalized = row.name.strip().casefold()
            if not 1 <= len(row.name.strip()) <= 64 or row.name_normalized != normalized:
                flaws.add(f"project {row.id} is called {row.name!r} and known as {row.name_normalized!r}")
            names.add(json.dumps([row.company_id, normalized]), row.id)
        for key, ids, _ in merged(names.items(), ()):
            if len(ids) > 1:
                company_id, name = json.loads(key)
                flaws.add(f"company {company_id} has {len(ids)} projects called {name!r}")
        return Check("names are unique in the company", names.count, flaws.told())


def _first_ones(connection: Connection) -> Check:
    """Whoever has projects was given a first one, by the row that makes sure of it."""
    flaws = Flaws()
    owners = sa.select(Project.company_id).distinct()
    without = owners.where(~sa.exists().where(FirstProject.company_id == Project.company_id))
    for row in stream(connection, without):
        flaws.add(f"company {row.company_id} has projects and was never given a first one")
    number = connection.scalar(sa.select(sa.func.count()).select_from(owners.subquery())) or 0
    return Check("companies have a first project", number, flaws.told())


def _references(connection: Connection) -> Check:
    """Rights and choices are of projects that are there; chosen are own ones and those with a right, none archived."""
    flaws, checked = Flaws(), 0
    rights = sa.select(ProjectRight.project_id, ProjectRight.company_id, Project.id, Project.closing_id)
    for row in stream(connection, rights.outerjoin(Project, Project.id == ProjectRight.project_id)):
        checked += 1
        if row.id is None:
            flaws.add(f"company {row.company_id} has a right in the project {row.project_id}, which is not there")
        elif row.closing_id is not None:
            flaws.add(f"company {row.company_id} has a right in the project {row.project_id}, which is being deleted")
    chosen = Selection
    has_right = sa.exists().where(
        ProjectRight.project_id == chosen.project_id, ProjectRight.company_id == chosen.company_id
    )
    choices = sa.select(chosen.user_id, chosen.company_id, chosen.project_id, has_right.label("has_right"))
    choices = choices.add_columns(Project.state, Project.company_id.label("owner_id"))
    for choice in stream(connection, choices.outerjoin(Project, Project.id == chosen.project_id)):
        checked += 1
        if choice.owner_id is None or choice.state == ARCHIVED:
            flaws.add(f"user {choice.user_id} chose the project {choice.project_id}, which is not there or archived")
        elif choice.owner_id != choice.company_id and not choice.has_right:
            flaws.add(f"user {choice.user_id} chose the project {choice.project_id}, in which the company has no right")
    return Check("rights and choices are of projects", checked, flaws.told())


def _told(connection: Connection) -> Check:
    """Every project was told once when made, once when deleted, and is as told last: name, state, version, owner."""
    flaws, checked = Flaws(), 0
    names = partial(aliases.current, connection)
    columns = (Project.id, Project.name, Project.state, Project.version, Project.company_id)
    statement = sa.select(*columns, Project.created_by, Project.created_at)
    with Scratch() as told:
        for row, event in events(connection, _TOLD):
            told.add(event.subject, row.event)
        rows = stream(connection, statement.order_by(in_order(connection, Project.id)))
        for project_id, found, documents in merged(((row.id, row) for row in rows), told.items()):
            checked += len(found)
            with flaws.reading(f"what was told of project {project_id}"):
                for flaw in _project_flaws(found, [json.loads(document) for document in documents], names):
                    flaws.add(f"project {project_id} {flaw}")
    return Check("projects are as they were told", checked, flaws.told())


def _project_flaws(found: list[Row[Any]], told: list[Mapping[str, Any]], today: Any) -> Iterator[str]:
    made = [event for event in told if event["type"] == "project_created"]
    is_gone = any(event["type"] == "project_deleted" for event in told)
    if not found:
        if made and not is_gone:
            yield "was told, is not there and was never told as deleted"
        return
    (row,) = found
    if len(made) != 1 or is_gone:
        yield f"is there, was told {len(made)} times and {is_gone} as deleted"
        return
    # By version: events of one moment have no other order here.
    last = max((event["data"] for event in told), key=lambda data: data["version"])
    if (last["name"], last["state"], last["version"]) != (row.name, row.state, row.version):
        yield f"is {row.name!r}, {row.state}, version {row.version}; told was {dict(last)}"
    if "companyid" in made[0] and today(made[0]["companyid"]) != row.company_id:
        yield f"belongs to company {row.company_id}, and was told as one of {made[0]['companyid']}"
    said_at = datetime.fromisoformat(made[0]["time"])
    # Events say it in milliseconds.
    if not timedelta() <= row.created_at - said_at < timedelta(milliseconds=1):
        yield f"was made at {row.created_at:%Y-%m-%d %H:%M:%S}, and was told at {said_at:%Y-%m-%d %H:%M:%S}"
    if "actorid" in made[0] and made[0]["actorid"] != row.created_by:
        yield f"was made by {row.created_by}, and was told as made by {made[0]['actorid']}"


def check_owners(connection: Connection) -> list[Check]:
    """Return the checks of owners and rights."""
    columns = (Project.company_id, ProjectRight.company_id, Selection.company_id)
    return [
        aliases.check_unused(connection, columns),
        _no_right_in_own_projects(connection),
        _rights_told(connection),
    ]


def _no_right_in_own_projects(connection: Connection) -> Check:
    """A company has every right in its own projects and is no guest there."""
    flaws, checked = Flaws(), 0
    rows = stream(
        connection,
        sa.select(ProjectRight.project_id, ProjectRight.company_id, Project.company_id.label("owner_id")).join(
            Project, Project.id == ProjectRight.project_id
        ),
    )
    for row in rows:
        checked += 1
        if row.company_id == row.owner_id:
            flaws.add(f"company {row.company_id} is a guest in its own project {row.project_id}")
    return Check("guests are other companies", checked, flaws.told())


def _rights_told(connection: Connection) -> Check:
    """Every right was granted by the last event about it, and none that was granted last is missing (PRJ-3)."""
    flaws, checked = Flaws(), 0
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, _RIGHTS):
            with flaws.reading(f"event {row.id} about a right"):
                guest_id = event.data["guest_company_id"]
                # A right of a company that was imported since is the importing one's, or has ended with the import.
                told.add(f"{event.subject} {guest_id}", event.type)
        for right in stream(connection, sa.select(ProjectRight.project_id, ProjectRight.company_id)):
            stored.add(f"{right.project_id} {right.company_id}", "")
        for key, found, types in merged(stored.items(), told.items()):
            checked += len(found)
            project_id, company_id = key.split(" ", 1)
            is_granted = bool(types) and types[-1] != "project_right_removed"
            if found and not is_granted:
                flaws.add(f"company {company_id} has a right in project {project_id}, which was not told as granted")
            elif is_granted and not found and aliases.current(connection, company_id) == company_id:
                flaws.add(f"company {company_id} has no right in project {project_id}, which was told as granted")
    return Check("rights are as they were told", checked, flaws.told())
