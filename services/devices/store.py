"""The only SQL of devices. Reads of company records always take the companies they may come from (rule S8b).

What is allowed is decided elsewhere; the one reader without a company is `find_record`, whose caller checks access.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy import Connection, Row, Select

from services.chassis.data import aliases
from services.chassis.data.db import UtcDateTime, insert_or_ignore
from services.devices.models import Device, Lookup, Production, ProductionOrder, Project, Throttle
from services.projects.api import ProjectCopy

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row of columns that its reader names."""

LOOKUP_WINDOW = timedelta(hours=1)
# A sort key has to fit into a cursor, which is short.
_COMMENT_SORT_LENGTH = 60

_RECORD = (
    Device.id,
    Device.company_id,
    Device.project_id,
    Device.hardware_id,
    Device.order_number,
    Device.proven_by,
    Device.comment,
    Device.license_comment,
    Device.version,
    Device.added_at,
    Production.type,
    Production.shipped_on,
    Production.warranty_months,
    Production.extension_months,
    Production.ssa_ends_on,
    Production.rma,
)


def _records(*, buried: bool = False) -> Select[*tuple[Any, ...]]:
    statement = sa.select(*_RECORD).join(Production, Production.hardware_id == Device.hardware_id)
    return statement if buried else statement.where(Device.deleted_at.is_(None))


# --- projects ------------------------------------------------------------------------------------------------------


# A project that is being closed counts as closed, whatever its events have said so far.
_IS_CLOSING = sa.and_(
    Project.closing_id.is_not(None),
    sa.or_(
        Project.closing_until.is_(None),
        Project.closing_until > sa.bindparam("now", callable_=lambda: datetime.now(UTC), type_=UtcDateTime),
    ),
)
_PROJECT: tuple[Any, ...] = (
    Project.id,
    Project.company_id,
    Project.name,
    sa.case((_IS_CLOSING, "closed"), else_=Project.state).label("state"),
    Project.version,
)


def find_project(connection: Connection, project_id: str) -> ProjectCopy | None:
    """Return this room's copy of a project, None while it has none."""
    row = connection.execute(sa.select(*_PROJECT).where(Project.id == project_id)).one_or_none()
    return None if row is None else ProjectCopy(*row)


def keep_project(connection: Connection, project: ProjectCopy) -> None:
    """Store a copy of a project where there is none; one that events have kept up to date is newer and stays."""
    insert_or_ignore(connection, Project, _values_of_today(connection, project))


def put_project(connection: Connection, project: ProjectCopy) -> None:
    """Store a project as its owner tells it, unless a newer version is known.

    Waits for whoever is adding devices to it at this moment.
    """
    values = _values_of_today(connection, project)
    if not insert_or_ignore(connection, Project, values):
        not_newer = sa.update(Project).where(Project.id == project.id, Project.version <= project.version)
        connection.execute(not_newer.values(**values))


def _values_of_today(connection: Connection, project: ProjectCopy) -> dict[str, Any]:
    """Return a project under the company that stands for its owner today, which stays so until the transaction ends."""
    return {**asdict(project), "company_id": aliases.share(connection, project.company_id)}


def lock_projects(connection: Connection, project_ids: Collection[str]) -> dict[str, ProjectCopy]:
    """Return copies of projects, by id, whose state cannot change before this transaction ends."""
    rows = connection.execute(
        sa.select(*_PROJECT).where(Project.id.in_(project_ids)).order_by(Project.id).with_for_update(read=True)
    )
    return {row.id: ProjectCopy(*row) for row in rows}


def begin_closing(connection: Connection, project_id: str, closing_id: str, until: datetime | None) -> bool:
    """Close a project for what is under way; returns False when something else has it closed.

    Waits for whoever is adding devices to it at this moment.
    """
    free = sa.or_(Project.closing_id == closing_id, sa.not_(_IS_CLOSING))
    statement = sa.update(Project).where(Project.id == project_id, free)
    return connection.execute(statement.values(closing_id=closing_id, closing_until=until)).rowcount == 1


def end_closing(connection: Connection, closing_id: str) -> None:
    """Give the project that was closed for this its state back; nothing where it is closed for something else."""
    statement = sa.update(Project).where(Project.closing_id == closing_id)
    connection.execute(statement.values(closing_id=None, closing_until=None))


# --- production ----------------------------------------------------------------------------------------------------

_PRODUCED = (
    Production.hardware_id,
    Production.type,
    Production.order_number,
    Production.shipped_on,
    Production.warranty_months,
    Production.extension_months,
    Production.ssa_ends_on,
    Production.rma,
)


def find_production(connection: Connection, hardware_id: str) -> AnyRow | None:
    """Return what was built under this id."""
    return connection.execute(sa.select(*_PRODUCED).where(Production.hardware_id == hardware_id)).one_or_none()


def find_productions(connection: Connection, hardware_ids: Collection[str]) -> dict[str, AnyRow]:
    """Return built devices by id."""
    rows = connection.execute(sa.select(*_PRODUCED).where(Production.hardware_id.in_(hardware_ids)))
    return {row.hardware_id: row for row in rows}


def lock_production(connection: Connection, hardware_ids: Collection[str]) -> dict[str, AnyRow]:
    """Return built devices by id; nobody else adds one of them before this transaction ends."""
    rows = connection.execute(
        sa.select(*_PRODUCED)
        .where(Production.hardware_id.in_(hardware_ids))
        .order_by(Production.hardware_id)
        .with_for_update(key_share=True)
    )
    return {row.hardware_id: row for row in rows}


def order_exists(connection: Connection, number: str) -> bool:
    """Tell whether devices are registered under an order's number."""
    statement = sa.select(sa.literal(1)).where(ProductionOrder.number == number)
    return connection.execute(statement).first() is not None


def order_devices(connection: Connection, number: str) -> Sequence[AnyRow]:
    """Return the devices of an order, by hardware id."""
    return connection.execute(
        sa.select(*_PRODUCED).where(Production.order_number == number).order_by(Production.hardware_id)
    ).all()


def insert_order(connection: Connection, number: str, now: datetime) -> bool:
    """Insert an order; returns whether it was not there."""
    return insert_or_ignore(connection, ProductionOrder, {"number": number, "registered_at": now})


def insert_production(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert built devices."""
    if rows:
        connection.execute(sa.insert(Production), [dict(row) for row in rows])


def set_rma(connection: Connection, hardware_id: str, rma: bool) -> None:
    """Set the RMA mark or take it off."""
    connection.execute(sa.update(Production).where(Production.hardware_id == hardware_id).values(rma=rma))


def set_warranty(connection: Connection, hardware_id: str, extension_months: int, ssa_ends_on: date | None) -> None:
    """Store what warranty and service licenses add to a device's dates."""
    connection.execute(
        sa.update(Production)
        .where(Production.hardware_id == hardware_id)
        .values(extension_months=extension_months, ssa_ends_on=ssa_ends_on)
    )


# --- records of companies --------------------------------------------------------------------------------------------


def find_record(connection: Connection, device_id: str, *, lock: bool = False, buried: bool = False) -> AnyRow | None:
    """Return a record by its id, of any company, with `buried` also a tombstone: the caller has to check the access.

    The id of a record that an import joined with another one finds that one.
    """
    statement = _records(buried=buried)
    statement = statement.with_for_update(of=Device) if lock else statement
    row = None
    if not buried:
        row = connection.execute(statement.where(Device.id == device_id)).one_or_none()
    if row is None:
        present = aliases.current(connection, device_id)
        if buried or present != device_id:
            row = connection.execute(statement.where(Device.id == present)).one_or_none()
    return row


_OTHER = sqlalchemy.orm.aliased(Device)
_IN_PROJECT = (
    sa.select(
        *_RECORD,
        Project.company_id.label("project_company_id"),
        Project.name.label("project_name"),
        sa.case((_IS_CLOSING, "closed"), else_=Project.state).label("project_state"),
        Project.version.label("project_version"),
        sa.select(sa.func.count())
        .where(_OTHER.hardware_id == Device.hardware_id, _OTHER.deleted_at.is_(None))
        .scalar_subquery()
        .label("holders"),
    )
    .join(Production, Production.hardware_id == Device.hardware_id)
    .outerjoin(Project, Project.id == Device.project_id)
    .where(Device.id == sa.bindparam("device_id"), Device.deleted_at.is_(None))
)


def find_in_project(connection: Connection, device_id: str) -> tuple[AnyRow | None, ProjectCopy | None]:
    """Return a living record together with the copy of its project; the record also tells the number of `holders`.

    One statement, prepared once: licensing asks for it before each spend.
    """
    row = connection.execute(_IN_PROJECT, {"device_id": device_id}).one_or_none()
    if row is None and (present := aliases.current(connection, device_id)) != device_id:
        row = connection.execute(_IN_PROJECT, {"device_id": present}).one_or_none()
    if row is None or row.project_company_id is None:
        return row, None
    return row, ProjectCopy(
        row.project_id, row.project_company_id, row.project_name, row.project_state, row.project_version
    )


def find_own_records(
    connection: Connection, company_ids: Collection[str], device_ids: Collection[str]
) -> dict[str, AnyRow]:
    """Return the records with these ids that belong to these companies, locked, by id."""
    rows = connection.execute(
        _records()
        .where(Device.id.in_(device_ids), Device.company_id.in_(company_ids))
        .order_by(Device.id)
        .with_for_update(of=Device)
    )
    return {row.id: row for row in rows}


def holders(connection: Connection, hardware_ids: Collection[str]) -> Sequence[AnyRow]:
    """Return who has these devices: hardware id, company, project and id of every living record."""
    return connection.execute(
        sa.select(Device.hardware_id, Device.company_id, Device.project_id, Device.id)
        .where(Device.hardware_id.in_(hardware_ids), Device.deleted_at.is_(None))
        .order_by(Device.hardware_id, Device.id)
    ).all()


def records_of(connection: Connection, hardware_id: str) -> Sequence[AnyRow]:
    """Return every company's record of a device: the caller has to check the access to each."""
    return connection.execute(_records().where(Device.hardware_id == hardware_id).order_by(Device.id)).all()


def insert_record(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a company's record; returns False where the company has the device already."""
    defaults = {"comment": "", "license_comment": "", "version": 1}
    return insert_or_ignore(connection, Device, {**defaults, **values})


def update_record(connection: Connection, device_id: str, values: Mapping[str, Any]) -> None:
    """Change a record and count its version up."""
    connection.execute(sa.update(Device).where(Device.id == device_id).values(**values, version=Device.version + 1))


def bury_record(connection: Connection, device_id: str, now: datetime) -> None:
    """Make a record a tombstone."""
    connection.execute(sa.update(Device).where(Device.id == device_id).values(deleted_at=now))


def count_records(connection: Connection, project_id: str) -> int:
    """Return how many living records a project has."""
    statement = sa.select(sa.func.count()).where(Device.project_id == project_id, Device.deleted_at.is_(None))
    return int(connection.execute(statement).scalar_one())


_SORT_COLUMNS: dict[str, Any] = {
    "hardware_id": Device.hardware_id,
    "type": Production.type,
    "added_at": Device.added_at,
    "comment": sa.func.substr(Device.comment, 1, _COMMENT_SORT_LENGTH),
}


def list_records(
    connection: Connection,
    company_ids: Collection[str],
    *,
    project_id: str | None,
    text: str,
    id_part: str,
    orders: bool,
    type_name: str,
    sort: str,
    after: tuple[Any, str] | None,
    limit: int,
) -> list[tuple[AnyRow, Any]]:
    """Return records of these companies with their sort values, one more than `limit` where there are more.

    Args:
        connection: of the transaction.
        company_ids: whose records.
        project_id: only of this project; None for all.
        text: part of type or comments; empty for all.
        id_part: the same text as part of an id, without separators; may be empty where there is none in it.
        orders: whether the text is searched in order numbers too, which only their companies know.
        type_name: exact type in any case; empty for all.
        sort: column, with `-` in front for descending.
        after: sort value and id of the last row of the page before.
        limit: rows of a page.
    """
    column = _SORT_COLUMNS[sort.lstrip("-")]
    statement = _records().add_columns(column.label("sort_value")).where(Device.company_id.in_(company_ids))
    if project_id is not None:
        statement = statement.where(Device.project_id == project_id)
    if type_name:
        statement = statement.where(sa.func.lower(Production.type) == type_name.lower())
    if text:
        statement = statement.where(_matches(text, id_part, orders=orders))
    descending = sort.startswith("-")
    if after is not None:
        pair = sa.tuple_(column, Device.id)
        bound = sa.tuple_(sa.literal(after[0], column.type), sa.literal(after[1]))
        statement = statement.where(pair < bound if descending else pair > bound)
    order = (column.desc(), Device.id.desc()) if descending else (column, Device.id)
    rows = connection.execute(statement.order_by(*order).limit(limit + 1)).all()
    return [(row, row.sort_value) for row in rows]


def _matches(text: str, id_part: str, *, orders: bool) -> sa.ColumnElement[bool]:
    low = text.lower()
    columns: list[Any] = [Production.type, Device.comment, Device.license_comment]
    if orders:
        columns.append(Device.order_number)
    choices = [sa.func.lower(column).contains(low, autoescape=True) for column in columns]
    if id_part:
        choices.append(sa.func.replace(Device.hardware_id, "-", "").contains(id_part, autoescape=True))
    return sa.or_(*choices)


# --- counted look-ups ------------------------------------------------------------------------------------------------


def lock_lookups(connection: Connection, user_id: str, kind: str, now: datetime) -> dict[str, datetime]:
    """Return what a person looked up within the last hour, by key; others of theirs wait for this one."""
    insert_or_ignore(connection, Throttle, {"user_id": user_id, "kind": kind})
    connection.execute(
        sa.select(Throttle.user_id).where(Throttle.user_id == user_id, Throttle.kind == kind).with_for_update()
    )
    mine = sa.and_(Lookup.user_id == user_id, Lookup.kind == kind)
    connection.execute(sa.delete(Lookup).where(mine, Lookup.at <= now - LOOKUP_WINDOW))
    return {row.key: row.at for row in connection.execute(sa.select(Lookup.key, Lookup.at).where(mine))}


def record_lookups(connection: Connection, user_id: str, kind: str, keys: Iterable[str], now: datetime) -> None:
    """Remember what a person looked up just now; `lock_lookups` came before in the same transaction."""
    rows = [{"user_id": user_id, "kind": kind, "key": key, "at": now} for key in keys]
    if rows:
        connection.execute(sa.insert(Lookup), rows)
