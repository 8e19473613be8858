"""The only SQL of projects. Projects are found through an actor only: what is not theirs is not there (S8b)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from services.accounts.api import Actor
from services.chassis.data.db import Unit, insert_or_ignore
from services.projects.domain import ARCHIVED, CLOSED, GUEST, OWN, STAFF, normalized_name
from services.projects.models import Company, FirstProject, Project, ProjectRight, Selection

_projects = Project.__table__
_rights = ProjectRight.__table__
# Whatever the state of a project, while a deletion holds it it is closed.
_STATE = sa.case((_projects.c.closing_id.is_not(None), CLOSED), else_=_projects.c.state)
_COLUMNS = (*(column for column in _projects.c if column.name != "state"), _STATE.label("state"))


def find(connection: Connection, actor: Actor, project_id: str) -> tuple[Row[Any], str] | None:
    """Return a project and what the actor is to it: `own`, `guest` or `staff`; None for strangers and unknown ids."""
    if actor.project_id not in (None, project_id):
        return None
    row = connection.execute(sa.select(*_COLUMNS).where(_projects.c.id == project_id)).first()
    relation = None if row is None else _relation(connection, actor, row)
    return None if row is None or relation is None else (row, relation)


def hold(unit: Unit, project_id: str) -> Row[Any] | None:
    """Return a project and hold its row until the transaction ends."""
    return unit.execute(sa.select(*_COLUMNS).where(_projects.c.id == project_id).with_for_update()).first()


def visible(
    connection: Connection, actor: Actor, after: tuple[str, str] | None, limit: int, *, archived: bool
) -> Sequence[Any]:
    """Return the actor's own projects and then foreign ones, by name; one more than `limit` if there are more.

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
    return connection.execute(statement.limit(limit + 1)).all()


def add(unit: Unit, values: Mapping[str, Any]) -> bool:
    """Insert a project; returns False when the company has one of this name."""
    row = {"name_normalized": normalized_name(values["name"]), "version": 1, "created_at": unit.now, **values}
    return insert_or_ignore(unit.connection, Project, row)


def change(unit: Unit, project_id: str, **values: Any) -> bool:
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


def hold_closing(unit: Unit, closing_id: str) -> Row[Any] | None:
    """Return the project that a deletion has closed, and hold its row; None when it closed none, or not any more."""
    return unit.execute(sa.select(*_COLUMNS).where(_projects.c.closing_id == closing_id).with_for_update()).first()


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


def oldest(connection: Connection, company_id: str) -> Row[Any] | None:
    """Return the oldest project of a company."""
    statement = sa.select(*_COLUMNS).where(_projects.c.company_id == company_id).order_by(_projects.c.id).limit(1)
    return connection.execute(statement).first()


def count_rights(connection: Connection, project_id: str) -> int:
    """Return how many companies have a right in a project."""
    statement = sa.select(sa.func.count()).where(_rights.c.project_id == project_id)
    return int(connection.execute(statement).scalar_one())


def add_right(unit: Unit, project_id: str, company_id: str, created_by: str) -> bool:
    """Let a company work in a project; returns False when it may already."""
    values = {"project_id": project_id, "company_id": company_id, "created_at": unit.now, "created_by": created_by}
    return insert_or_ignore(unit.connection, ProjectRight, values)


def right(connection: Connection, project_id: str, company_id: str) -> Row[Any] | None:
    """Return the right of a company in a project."""
    statement = sa.select(*_rights.c).where(_rights.c.project_id == project_id, _rights.c.company_id == company_id)
    return connection.execute(statement).first()


def rights(connection: Connection, project_id: str, after: str | None, limit: int) -> Sequence[Any]:
    """Return the rights in a project by company id; one more than `limit` if there are more."""
    statement = sa.select(*_rights.c).where(_rights.c.project_id == project_id).order_by(_rights.c.company_id)
    if after is not None:
        statement = statement.where(_rights.c.company_id > after)
    return connection.execute(statement.limit(limit + 1)).all()


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


def of_companies(connection: Connection, company_ids: Sequence[str], *, lock: bool = False) -> Sequence[Row[Any]]:
    """Return all projects of companies as they are stored, by id; `lock` holds their rows."""
    statement = sa.select(*_projects.c).where(_projects.c.company_id.in_(company_ids)).order_by(_projects.c.id)
    return connection.execute(statement.with_for_update() if lock else statement).all()


def rights_around(connection: Connection, company_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Return every right in projects of these companies, or of these companies in others' projects.

    Rows of project_id, company_id (the guest), owner_id and name of the project.
    """
    statement = (
        sa.select(_rights.c.project_id, _rights.c.company_id, _projects.c.company_id.label("owner_id"))
        .add_columns(_projects.c.name)
        .join(_projects, _projects.c.id == _rights.c.project_id)
        .where(sa.or_(_rights.c.company_id.in_(company_ids), _projects.c.company_id.in_(company_ids)))
        .order_by(_rights.c.project_id, _rights.c.company_id)
    )
    return connection.execute(statement).all()


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


def _relation(connection: Connection, actor: Actor, row: Any) -> str | None:
    if actor.owns(row.company_id):
        return OWN
    if actor.company_ids:
        statement = sa.select(sa.func.count()).where(
            _rights.c.project_id == row.id, _rights.c.company_id.in_(actor.company_ids)
        )
        if connection.execute(statement).scalar_one():
            return GUEST
    return STAFF if actor.staff else None
