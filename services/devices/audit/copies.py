"""What other rooms copy of devices' rows, and what devices copies of others', for the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import stream
from services.devices.models import Device, Production, Project

_IS_RECORD: Final = sa.exists().where(Device.id == aliases.c.old_id)


def records(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield device and company of each living record."""
    columns = sa.select(Device.id, Device.hardware_id, Device.company_id)
    for row in stream(connection, columns.where(Device.deleted_at.is_(None))):
        yield row.id, json.dumps([row.hardware_id, row.company_id])


def marks(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the devices that are marked for repair."""
    for row in stream(connection, sa.select(Production.hardware_id).where(Production.rma)):
        yield row.hardware_id, "marked"


def built(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield type, order and day of each device that was built."""
    columns = (Production.type, Production.order_number, Production.shipped_on)
    for row in stream(connection, sa.select(Production.hardware_id, *columns)):
        yield row.hardware_id, json.dumps([row.type, row.order_number, str(row.shipped_on)])


def known_projects(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each project as it is known here."""
    for row in stream(
        connection, sa.select(Project.id, Project.company_id, Project.name, Project.state, Project.version)
    ):
        yield row.id, json.dumps(list(row[1:]))


def closings(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the deletion for which each project is closed; an archiving closes for a minute and ends by itself."""
    columns = sa.select(Project.id, Project.closing_id)
    for row in stream(connection, columns.where(Project.closing_id.is_not(None), Project.closing_until.is_(None))):
        yield row.id, row.closing_id


def absorbed(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each absorbed company the one that stands for it here."""
    for row in stream(connection, sa.select(aliases.c.old_id, aliases.c.new_id).where(~_IS_RECORD)):
        yield row.old_id, row.new_id


def joined(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each record that an import joined with another one that one."""
    for row in stream(connection, sa.select(aliases.c.old_id, aliases.c.new_id).where(_IS_RECORD)):
        yield row.old_id, row.new_id
