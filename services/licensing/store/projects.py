"""SQL of the copies of projects: filled from projects' events and, when one is needed earlier, from its answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.db import insert_or_ignore
from services.chassis.data.rows import columns_of
from services.licensing.models import Balance, Project
from services.licensing.store.ledger import ensure_pool, project_pool
from services.projects.api import ProjectCopy


@dataclass(frozen=True, slots=True)
class Stock:
    """What a project holds of a license type; `id` and `name` are the project's."""

    id: str
    name: str
    license_type: str
    quantity: int


# A project that is being deleted counts as closed, whatever its events have said so far.
STATE: sa.ColumnElement[str] = sa.case((Project.closing_id.is_not(None), "closed"), else_=Project.state)
_COLUMNS = columns_of(ProjectCopy, Project.__table__, state=STATE)
_GET = sa.select(*_COLUMNS).where(Project.id == sa.bindparam("id"))

_GET_BESIDE_POOL = (
    sa.select(*_COLUMNS, Balance.license_type, Balance.n)
    .select_from(Project)
    .outerjoin(Balance, sa.and_(Balance.pool_id == sa.bindparam("pool_id"), Balance.n > 0))
    .where(Project.id == sa.bindparam("id"))
)


def save(connection: Connection, project: ProjectCopy) -> None:
    """Insert a copy, with its pool, or update one that is not newer."""
    # What comes late still names the company that another one imported since.
    company_id = aliases.share(connection, project.company_id)
    pool_id = project_pool(project.id)
    ensure_pool(connection, pool_id)
    values = {
        "company_id": company_id,
        "name": project.name,
        "state": project.state,
        "version": project.version,
    }
    if not insert_or_ignore(connection, Project, {"id": project.id, "pool_id": pool_id, **values}):
        older = sa.update(Project).where(Project.id == project.id, Project.version <= project.version)
        connection.execute(older.values(**values))


def get(connection: Connection, project_id: str, *, lock: bool = False) -> ProjectCopy | None:
    """Return a copy, None if it was never heard of; `lock` keeps it from being closed until the transaction ends."""
    statement = _GET.with_for_update(read=True) if lock else _GET
    row = connection.execute(statement, {"id": project_id}).one_or_none()
    return None if row is None else ProjectCopy(*row)


def get_beside_pool(connection: Connection, project_id: str, pool_id: str) -> tuple[ProjectCopy | None, dict[str, int]]:
    """Return the copy of a project and what another pool holds, such as a device's, in one statement."""
    project: ProjectCopy | None = None
    contents: dict[str, int] = {}
    for row in connection.execute(_GET_BESIDE_POOL, {"id": project_id, "pool_id": pool_id}):
        project = project or ProjectCopy(row.id, row.company_id, row.name, row.state, row.version)
        if row.license_type is not None:
            contents[row.license_type] = row.n
    return project, contents


def get_many(connection: Connection, project_ids: Collection[str], *, lock: bool = False) -> dict[str, ProjectCopy]:
    """Return the copies that there are, by id; `lock` keeps them from being closed until the transaction ends."""
    if not project_ids:
        return {}
    statement = sa.select(*_COLUMNS).where(Project.id.in_(project_ids)).order_by(Project.id)
    rows = connection.execute(statement.with_for_update(read=True) if lock else statement)
    return {row.id: ProjectCopy(*row) for row in rows}


def oldest_open(connection: Connection, company_id: str) -> ProjectCopy | None:
    """Return the oldest open project of a company, kept open until the transaction ends."""
    statement = sa.select(*_COLUMNS).where(Project.company_id == company_id, STATE == "open").order_by(Project.id)
    row = connection.execute(statement.limit(1).with_for_update(read=True)).one_or_none()
    return None if row is None else ProjectCopy(*row)


def begin_closing(connection: Connection, project_id: str, closing_id: str) -> bool:
    """Close a project for a deletion; returns False when another one has it closed.

    Waits for whoever is adding keys or licenses to it at this moment.
    """
    free = sa.or_(Project.closing_id.is_(None), Project.closing_id == closing_id)
    statement = sa.update(Project).where(Project.id == project_id, free).values(closing_id=closing_id)
    return connection.execute(statement).rowcount == 1


def end_closing(connection: Connection, closing_id: str) -> None:
    """Give the project that this deletion closed its state back."""
    connection.execute(sa.update(Project).where(Project.closing_id == closing_id).values(closing_id=None))


def stock(
    connection: Connection,
    *,
    company_ids: Collection[str] = (),
    project_ids: Collection[str] | None = None,
    license_types: Collection[str] | None = None,
) -> list[Stock]:
    """Return what projects hold, by name of the project.

    Args:
        company_ids: the owners, where no projects are named.
        project_ids: the projects, whoever owns them.
        license_types: only these; all when absent.
    """
    parameters: dict[str, list[str]] = {"owners": list(company_ids if project_ids is None else project_ids)}
    if license_types is not None:
        parameters["types"] = list(license_types)
    statement = _stock_statement(by_company=project_ids is None, by_type=license_types is not None)
    return [Stock(*row) for row in connection.execute(statement, parameters)]


@cache
def _stock_statement(*, by_company: bool, by_type: bool) -> sa.Select[str, str, str, int]:
    # Built once for each way to ask: to put it together costs a fifth of the read of a balance.
    statement = (
        sa.select(Project.id, Project.name, Balance.license_type, Balance.n.label("quantity"))
        .join(Balance, Balance.pool_id == Project.pool_id)
        .where(Balance.n > 0)
        .order_by(Project.name, Project.id)
    )
    owners: sa.BindParameter[str] = sa.bindparam("owners", expanding=True)
    if by_company:
        statement = statement.where(Project.company_id.in_(owners), STATE == "open")
    else:
        statement = statement.where(Project.id.in_(owners))
    if by_type:
        statement = statement.where(Balance.license_type.in_(sa.bindparam("types", expanding=True)))
    return statement
