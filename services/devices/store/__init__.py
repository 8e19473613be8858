"""The only SQL of devices. Reads of company records always take the companies they may come from (rule S8b).

What is allowed is decided elsewhere; the one reader without a company is `find_record`, whose caller checks access.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy import Connection, Select

from services.chassis.data import aliases
from services.chassis.data.db import UtcDateTime, insert_or_ignore
from services.chassis.data.rows import columns_of
from services.devices.api import CLAIMED, PROVEN
from services.devices.domain.comments import COMMENTS
from services.devices.models import Device, Production, ProductionOrder, Project
from services.projects.api import ProjectCopy

# A sort key has to fit into a cursor, which is short.
_COMMENT_SORT_LENGTH = 60


@dataclass(frozen=True, slots=True)
class StoredProduction:
    """A device as the vendor built it."""

    hardware_id: str
    type: str
    order_number: str
    shipped_on: date | None
    warranty_months: int
    extension_months: int
    ssa_ends_on: date | None
    rma: bool


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A company's record of a device, with what was built; `order_number` is the one that the company knows."""

    id: str
    company_id: str
    project_id: str
    hardware_id: str
    order_number: str | None
    proven_by: str | None
    comment: str
    license_comment: str
    version: int
    added_at: datetime
    type: str
    shipped_on: date | None
    warranty_months: int
    extension_months: int
    ssa_ends_on: date | None
    rma: bool

    @property
    def possession(self) -> str:
        """Tell whether the record is proven or claimed (DEV-15)."""
        return PROVEN if self.proven_by is not None else CLAIMED


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a device: the living record of a company."""

    hardware_id: str
    company_id: str
    project_id: str
    id: str


_devices, _production = Device.__table__, Production.__table__
_PRODUCED = columns_of(StoredProduction, _production)
_BUILT = ("type", "shipped_on", "warranty_months", "extension_months", "ssa_ends_on", "rma")
_RECORD = columns_of(StoredRecord, _devices, **{name: _production.c[name] for name in _BUILT})


_ALL_RECORDS = sa.select(*_RECORD).join(Production, Production.hardware_id == Device.hardware_id)
LIVING_RECORDS = _ALL_RECORDS.where(Device.deleted_at.is_(None))
"""All records that are no tombstones; each row makes a `StoredRecord`."""


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


def find_production(connection: Connection, hardware_id: str) -> StoredProduction | None:
    """Return what was built under this id."""
    row = connection.execute(sa.select(*_PRODUCED).where(Production.hardware_id == hardware_id)).one_or_none()
    return None if row is None else StoredProduction(*row)


def find_productions(connection: Connection, hardware_ids: Collection[str]) -> dict[str, StoredProduction]:
    """Return built devices by id."""
    return _produced(connection, sa.select(*_PRODUCED).where(Production.hardware_id.in_(hardware_ids)))


def lock_production(connection: Connection, hardware_ids: Collection[str]) -> dict[str, StoredProduction]:
    """Return built devices by id; nobody else adds one of them before this transaction ends."""
    chosen = sa.select(*_PRODUCED).where(Production.hardware_id.in_(hardware_ids)).order_by(Production.hardware_id)
    return _produced(connection, chosen.with_for_update(key_share=True))


def _produced(connection: Connection, statement: Select[*tuple[Any, ...]]) -> dict[str, StoredProduction]:
    return {row.hardware_id: row for row in (StoredProduction(*each) for each in connection.execute(statement))}


def order_exists(connection: Connection, number: str) -> bool:
    """Tell whether devices are registered under an order's number."""
    statement = sa.select(sa.literal(1)).where(ProductionOrder.number == number)
    return connection.execute(statement).first() is not None


def order_devices(connection: Connection, number: str) -> list[StoredProduction]:
    """Return the devices of an order, by hardware id."""
    statement = sa.select(*_PRODUCED).where(Production.order_number == number).order_by(Production.hardware_id)
    return list(_produced(connection, statement).values())


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


def find_record(
    connection: Connection, device_id: str, *, lock: bool = False, buried: bool = False
) -> StoredRecord | None:
    """Return a record by its id, of any company, with `buried` also a tombstone: the caller has to check the access.

    The id of a record that an import joined with another one finds that one.
    """
    statement = _ALL_RECORDS if buried else LIVING_RECORDS
    statement = statement.with_for_update(of=Device) if lock else statement
    row = None
    if not buried:
        row = connection.execute(statement.where(Device.id == device_id)).one_or_none()
    if row is None:
        present = aliases.current(connection, device_id)
        if buried or present != device_id:
            row = connection.execute(statement.where(Device.id == present)).one_or_none()
    return None if row is None else StoredRecord(*row)


@dataclass(frozen=True, slots=True)
class Placed:
    """A living record with this room's copy of its project, if it has one, and how many companies have the device."""

    record: StoredRecord
    project: ProjectCopy | None
    holders: int


_OTHER = sqlalchemy.orm.aliased(Device)
_HOLDERS = sa.select(sa.func.count()).where(_OTHER.hardware_id == Device.hardware_id, _OTHER.deleted_at.is_(None))
_IN_PROJECT = (
    sa.select(*_RECORD, *(column.label(f"project_{column.name}") for column in _PROJECT), _HOLDERS.scalar_subquery())
    .join(Production, Production.hardware_id == Device.hardware_id)
    .outerjoin(Project, Project.id == Device.project_id)
    .where(Device.id == sa.bindparam("device_id"), Device.deleted_at.is_(None))
)


def find_in_project(connection: Connection, device_id: str) -> Placed | None:
    """Return a living record together with its project.

    One statement, prepared once: licensing asks for it before each spend.
    """
    row = connection.execute(_IN_PROJECT, {"device_id": device_id}).one_or_none()
    if row is None and (present := aliases.current(connection, device_id)) != device_id:
        row = connection.execute(_IN_PROJECT, {"device_id": present}).one_or_none()
    if row is None:
        return None
    *project, holders = row[len(_RECORD) :]
    record = StoredRecord(*row[: len(_RECORD)])
    # What a deleted project left behind, or one that was not heard of yet, has no company.
    return Placed(record, ProjectCopy(*project) if project[1] is not None else None, holders)


def find_own_records(
    connection: Connection, company_ids: Collection[str], device_ids: Collection[str]
) -> dict[str, StoredRecord]:
    """Return the records with these ids that belong to these companies, locked, by id."""
    rows = connection.execute(
        LIVING_RECORDS.where(Device.id.in_(device_ids), Device.company_id.in_(company_ids))
        .order_by(Device.id)
        .with_for_update(of=Device)
    )
    return {row.id: row for row in (StoredRecord(*each) for each in rows)}


_HOLDER = columns_of(Holder, _devices)


def holders(connection: Connection, hardware_ids: Collection[str]) -> list[Holder]:
    """Return who has these devices."""
    rows = connection.execute(
        sa.select(*_HOLDER)
        .where(Device.hardware_id.in_(hardware_ids), Device.deleted_at.is_(None))
        .order_by(Device.hardware_id, Device.id)
    )
    return [Holder(*row) for row in rows]


def records_of(connection: Connection, hardware_id: str) -> list[StoredRecord]:
    """Return every company's record of a device: the caller has to check the access to each."""
    rows = connection.execute(LIVING_RECORDS.where(Device.hardware_id == hardware_id).order_by(Device.id))
    return [StoredRecord(*row) for row in rows]


def insert_record(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a company's record; returns False where the company has the device already."""
    defaults = {**dict.fromkeys(COMMENTS, ""), "version": 1}
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
) -> list[tuple[StoredRecord, Any]]:
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
    statement = LIVING_RECORDS.add_columns(column.label("sort_value")).where(Device.company_id.in_(company_ids))
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
    rows = connection.execute(statement.order_by(*order).limit(limit + 1))
    return [(StoredRecord(*row[:-1]), row[-1]) for row in rows]


def _matches(text: str, id_part: str, *, orders: bool) -> sa.ColumnElement[bool]:
    low = text.lower()
    columns = [_production.c.type, *(_devices.c[name] for name in COMMENTS)]
    if orders:
        columns.append(_devices.c.order_number)
    choices = [sa.func.lower(column).contains(low, autoescape=True) for column in columns]
    if id_part:
        choices.append(sa.func.replace(Device.hardware_id, "-", "").contains(id_part, autoescape=True))
    return sa.or_(*choices)
