"""The only SQL of projects. Projects are found through an actor only: what is not theirs is not there (S8b)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from services.accounts.api import Actor
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of
from services.projects.api import ProjectCopy
from services.projects.domain import ARCHIVED, CLOSED, GUEST, OWN, STAFF, normalized_name
from services.projects.models import Company, FirstProject, Project, ProjectRight, Selection


@dataclass(frozen=True, slots=True)
class StoredProject:
    """A project; whatever state it is in, while a deletion holds it it reads as closed."""

    id: str
    company_id: str
    name: str
    description: str
    state: str
    version: int
    created_at: datetime
    created_by: str
    closing_id: str | None

    @property
    def copy(self) -> ProjectCopy:
        """What other rooms are told of it."""
        return ProjectCopy(self.id, self.company_id, self.name, self.state, self.version)


@dataclass(frozen=True, slots=True)
class StoredRight:
    """A company that may work in another company's project."""

    project_id: str
    company_id: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class RightAround:
    """A right with whose project it is in; `company_id` is the guest, `name` the project's."""

    project_id: str
    company_id: str
    owner_id: str
    name: str


_projects = Project.__table__
_rights = ProjectRight.__table__
_STATE = sa.case((_projects.c.closing_id.is_not(None), CLOSED), else_=_projects.c.state)
_COLUMNS = columns_of(StoredProject, _projects, state=_STATE)
_RIGHT = columns_of(StoredRight, _rights)
_AROUND = columns_of(RightAround, _rights, owner_id=_projects.c.company_id, name=_projects.c.name)


def find(connection: Connection, actor: Actor, project_id: str) -> tuple[StoredProject, str] | None:
    """Return a project and what the actor is to it: `own`, `guest` or `staff`; None for strangers and unknown ids."""
    if actor.project_id not in (None, project_id):
        return None
    project = _one(connection, sa.select(*_COLUMNS).where(_projects.c.id == project_id))
    relation = None if project is None else _relation(connection, actor, project)
    return None if project is None or relation is None else (project, relation)


def hold(unit: Unit, project_id: str) -> StoredProject | None:
    """Return a project and hold its row until the transaction ends."""
    return _one(unit.connection, sa.select(*_COLUMNS).where(_projects.c.id == project_id).with_for_update())


def visible(
    connection: Connection, actor: Actor, after: tuple[str, str] | None, limit: int, *, archived: bool
) -> list[tuple[StoredProject, str]]:
    """Return the actor's own projects and then foreign ones, by name, each with its order key.

    One more than `limit` if there are more.

    Args:
        connection: of the running transaction.
        actor: who asks.
        after: order key and id of the last project of the page before.
        limit: length of a page.
        archived: whether archived projects are among them.
    """
    own = _projects.c.company_id.in_(actor.company_ids)
    guest = _projects.c.id.in_(sa.select(_rights.c.project_id).where(_rights.c.company_id.in_(actor.company_ids)))
    order = (sa.case((own, "0"), else_="1") + _projects.c.name_normalized).label("order_key")
    statement = sa.select(*_COLUMNS, order).where(sa.or_(own, guest)).order_by(order, _projects.c.id)
    if not archived:
        statement = statement.where(_projects.c.state != ARCHIVED)
    if actor.project_id is not None:
        statement = statement.where(_projects.c.id == actor.project_id)
    if after is not None:
        statement = statement.where(sa.or_(order > after[0], sa.and_(order == after[0], _projects.c.id > after[1])))
    return [(StoredProject(*row[:-1]), row.order_key) for row in connection.execute(statement.limit(limit + 1))]


def add(unit: Unit, project: StoredProject) -> bool:
    """Insert a project; returns False when the company has one of this name."""
    row = {**asdict(project), "name_normalized": normalized_name(project.name)}
    return insert_or_ignore(unit.connection, Project, row)


def change(unit: Unit, project_id: str, **values: str) -> bool:
    """Change columns of a project and count its version up; returns False when the new name is taken."""
    if "name" in values:
        values["name_normalized"] = normalized_name(values["name"])
    statement = sa.update(Project).where(_projects.c.id == project_id)
    try:
        with unit.connection.begin_nested():
            unit.execute(statement.values(version=_projects.c.version + 1, **values))
    except IntegrityError:
        return False
    return True


def set_closing(unit: Unit, project_id: str, closing_id: str | None) -> None:
    """Close a project for a deletion, or with None take it back to the state it had."""
    unit.execute(sa.update(Project).where(_projects.c.id == project_id).values(closing_id=closing_id))


def hold_closing(unit: Unit, closing_id: str) -> StoredProject | None:
    """Return the project that a deletion has closed, and hold its row; None when it closed none, or not any more."""
    return _one(unit.connection, sa.select(*_COLUMNS).where(_projects.c.closing_id == closing_id).with_for_update())


def remove(unit: Unit, project_id: str) -> None:
    """Delete a project that has no rights, and every choice of it."""
    unselect(unit, project_id)
    unit.execute(sa.delete(Project).where(_projects.c.id == project_id))


def unselect(unit: Unit, project_id: str) -> None:
    """Forget every choice of a project; whoever had chosen it sees all own projects."""
    unit.execute(sa.delete(Selection).where(Selection.project_id == project_id))


def claim_first(unit: Unit, company_id: str, project_id: str) -> bool:
    """Note the first project of a company; returns False when it was given one before."""
    return insert_or_ignore(unit.connection, FirstProject, {"company_id": company_id, "project_id": project_id})


def oldest(connection: Connection, company_id: str) -> StoredProject | None:
    """Return the oldest project of a company."""
    statement = sa.select(*_COLUMNS).where(_projects.c.company_id == company_id).order_by(_projects.c.id).limit(1)
    return _one(connection, statement)


def count_rights(connection: Connection, project_id: str) -> int:
    """Return how many companies have a right in a project."""
    statement = sa.select(sa.func.count()).where(_rights.c.project_id == project_id)
    return int(connection.execute(statement).scalar_one())


def add_right(unit: Unit, right: StoredRight) -> bool:
    """Let a company work in a project; returns False when it may already."""
    return insert_or_ignore(unit.connection, ProjectRight, asdict(right))


def right(connection: Connection, project_id: str, company_id: str) -> StoredRight | None:
    """Return the right of a company in a project."""
    statement = sa.select(*_RIGHT).where(_rights.c.project_id == project_id, _rights.c.company_id == company_id)
    row = connection.execute(statement).first()
    return None if row is None else StoredRight(*row)


def rights(connection: Connection, project_id: str, after: str | None, limit: int) -> list[StoredRight]:
    """Return the rights in a project by company id; one more than `limit` if there are more."""
    statement = sa.select(*_RIGHT).where(_rights.c.project_id == project_id).order_by(_rights.c.company_id)
    if after is not None:
        statement = statement.where(_rights.c.company_id > after)
    return [StoredRight(*row) for row in connection.execute(statement.limit(limit + 1))]


def remove_right(unit: Unit, project_id: str, company_id: str) -> bool:
    """End the right of a company and its users' choice of the project; returns False when there was none."""
    unit.execute(sa.delete(Selection).where(Selection.project_id == project_id, Selection.company_id == company_id))
    deleted = unit.execute(
        sa.delete(ProjectRight).where(_rights.c.project_id == project_id, _rights.c.company_id == company_id)
    )
    return deleted.rowcount == 1


def selected(connection: Connection, user_id: str, company_id: str) -> str | None:
    """Return the project that a user chose in a company."""
    statement = sa.select(Selection.project_id).where(Selection.user_id == user_id, Selection.company_id == company_id)
    return connection.execute(statement).scalar()


def select(unit: Unit, user_id: str, company_id: str, project_id: str | None) -> None:
    """Store the project that a user chose in a company, None for all own ones."""
    unit.execute(sa.delete(Selection).where(Selection.user_id == user_id, Selection.company_id == company_id))
    if project_id is not None:
        unit.execute(sa.insert(Selection).values(user_id=user_id, company_id=company_id, project_id=project_id))


def company_names(connection: Connection, company_ids: Collection[str]) -> dict[str, str]:
    """Return the names of companies that are known here."""
    rows = connection.execute(sa.select(Company.id, Company.name).where(Company.id.in_(company_ids)))
    return {row.id: row.name for row in rows}


def add_company_names(unit: Unit, names: Mapping[str, str]) -> None:
    """Store names that were asked for; one that an event told meanwhile is newer and stays."""
    for company_id, name in sorted(names.items()):
        insert_or_ignore(unit.connection, Company, {"id": company_id, "name": name, "sequence": 0})


def set_company_name(unit: Unit, company_id: str, name: str, sequence: int) -> None:
    """Store a name that an event told, unless a later event was applied before."""
    if not insert_or_ignore(unit.connection, Company, {"id": company_id, "name": name, "sequence": sequence}):
        older = sa.and_(Company.id == company_id, Company.sequence < sequence)
        unit.execute(sa.update(Company).where(older).values(name=name, sequence=sequence))


def of_companies(connection: Connection, company_ids: Sequence[str], *, lock: bool = False) -> list[StoredProject]:
    """Return all projects of companies as they are stored, by id; `lock` holds their rows."""
    as_stored = sa.select(*columns_of(StoredProject, _projects))
    statement = as_stored.where(_projects.c.company_id.in_(company_ids)).order_by(_projects.c.id)
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return [StoredProject(*row) for row in rows]


def rights_around(connection: Connection, company_ids: Sequence[str]) -> list[RightAround]:
    """Return every right in projects of these companies, or of these companies in others' projects."""
    statement = (
        sa.select(*_AROUND)
        .join(_projects, _projects.c.id == _rights.c.project_id)
        .where(sa.or_(_rights.c.company_id.in_(company_ids), _projects.c.company_id.in_(company_ids)))
        .order_by(_rights.c.project_id, _rights.c.company_id)
    )
    return [RightAround(*row) for row in connection.execute(statement)]


def drop_right(unit: Unit, project_id: str, company_id: str) -> None:
    """Delete a right alone; whoever chose the project goes on seeing it."""
    unit.execute(sa.delete(ProjectRight).where(_rights.c.project_id == project_id, _rights.c.company_id == company_id))


def pass_right(unit: Unit, project_id: str, old_id: str, new_id: str) -> bool:
    """Give a company's right to another one; returns False when that has it already, and the old one is gone then."""
    mine = sa.and_(_rights.c.project_id == project_id, _rights.c.company_id == old_id)
    if right(unit.connection, project_id, new_id) is not None:
        unit.execute(sa.delete(ProjectRight).where(mine))
        return False
    unit.execute(sa.update(ProjectRight).where(mine).values(company_id=new_id))
    return True


def pass_selections(unit: Unit, old_id: str, new_id: str) -> None:
    """Keep what users of one company chose as their choice in another; who chose there already keeps that."""
    there = sa.select(Selection.user_id).where(Selection.company_id == new_id)
    unit.execute(sa.delete(Selection).where(Selection.company_id == old_id, Selection.user_id.in_(there)))
    unit.execute(sa.update(Selection).where(Selection.company_id == old_id).values(company_id=new_id))


def pass_project(unit: Unit, project_id: str, company_id: str, name: str) -> None:
    """Give a project to another company, under a name that is free there; its version counts up."""
    unit.execute(
        sa.update(Project)
        .where(_projects.c.id == project_id)
        .values(
            company_id=company_id, name=name, name_normalized=normalized_name(name), version=_projects.c.version + 1
        )
    )


def _one(connection: Connection, statement: sa.Select[*tuple[Any, ...]]) -> StoredProject | None:
    row = connection.execute(statement).first()
    return None if row is None else StoredProject(*row)


def _relation(connection: Connection, actor: Actor, project: StoredProject) -> str | None:
    if actor.owns(project.company_id):
        return OWN
    if actor.company_ids:
        statement = sa.select(sa.func.count()).where(
            _rights.c.project_id == project.id, _rights.c.company_id.in_(actor.company_ids)
        )
        if connection.execute(statement).scalar_one():
            return GUEST
    return STAFF if actor.staff else None
