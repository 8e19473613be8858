"""SQL of the copies of devices' records: which company has which device."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.licensing.models import DeviceHolder


def keep(connection: Connection, device_id: str, hardware_id: str, company_id: str) -> None:
    """Note that a company has a device."""
    values = {"device_id": device_id, "hardware_id": hardware_id, "company_id": company_id}
    insert_or_ignore(connection, DeviceHolder, values)


def drop(connection: Connection, device_id: str) -> None:
    """Note that a record of a device is gone."""
    connection.execute(sa.delete(DeviceHolder).where(DeviceHolder.device_id == device_id))


def companies(connection: Connection, hardware_id: str) -> set[str]:
    """Return the companies that have a device, by the ids of the time when they added it."""
    return set(connection.scalars(sa.select(DeviceHolder.company_id).where(DeviceHolder.hardware_id == hardware_id)))
