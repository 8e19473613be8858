"""What licensing copies of other rooms' rows, and what they copy of its own, for the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.audit.checks import stream
from services.licensing.models import DeviceHolder, GuestRight, Order, Pool, Project, ProjectDeletion

_ALIASES = aliases.aliases
_CLOSES = ("counting", "closing", "deleted")


def known_projects(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each project as it is known here."""
    for row in stream(
        connection, sa.select(Project.id, Project.company_id, Project.name, Project.state, Project.version)
    ):
        yield row.id, json.dumps(list(row[1:]))


def rights(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each right that has not ended, for the company that stands for the guest today."""
    today = sa.func.coalesce(_ALIASES.c.new_id, GuestRight.company_id).label("company_id")
    statement = sa.select(GuestRight.project_id, today).outerjoin(_ALIASES, _ALIASES.c.old_id == GuestRight.company_id)
    for row in stream(connection, statement.where(~GuestRight.ended).distinct()):
        yield f"{row.project_id} {row.company_id}", "a right"


def holders(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield device and company, as it is called today, of each record that is known here."""
    today = sa.func.coalesce(_ALIASES.c.new_id, DeviceHolder.company_id).label("company_id")
    statement = sa.select(DeviceHolder.device_id, DeviceHolder.hardware_id, today)
    for row in stream(connection, statement.outerjoin(_ALIASES, _ALIASES.c.old_id == DeviceHolder.company_id)):
        yield row.device_id, json.dumps([row.hardware_id, row.company_id])


def marks(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the devices that are known as marked for repair."""
    for row in stream(connection, sa.select(Pool.id).where(Pool.kind == "device", Pool.rma)):
        yield row.id.removeprefix("device:"), "marked"


def closings(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the deletions that close their projects."""
    deletion = ProjectDeletion
    for row in stream(
        connection, sa.select(deletion.project_id, deletion.closing_id).where(deletion.state.in_(_CLOSES))
    ):
        yield row.project_id, row.closing_id


def ordered(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield type, order and day of each device of the orders that are done."""
    for row in stream(connection, sa.select(Order.number, Order.devices).where(Order.state == "done")):
        for device in row.devices:
            yield device["hardware_id"], json.dumps([device["type"], row.number, device["shipped_on"]])
