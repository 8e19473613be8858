"""The SQL of devices for imports of companies, beside `store`: records by company, whoever asks (ACC-6)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.devices.models import Device, Project
from services.devices.store import LIVING_RECORDS, StoredRecord


def hold_projects_of(connection: Connection, company_ids: Collection[str]) -> None:
    """Hold all projects of companies, so that nobody adds, moves or counts devices there."""
    statement = sa.select(Project.id).where(Project.company_id.in_(company_ids)).order_by(Project.id)
    connection.execute(statement.with_for_update()).all()


def records_held_twice(connection: Connection, company_ids: Collection[str]) -> list[StoredRecord]:
    """Return the living records of companies that have a device several times among them, by device."""
    of_them = (Device.company_id.in_(company_ids), Device.deleted_at.is_(None))
    twice = sa.select(Device.hardware_id).where(*of_them).group_by(Device.hardware_id).having(sa.func.count() > 1)
    statement = LIVING_RECORDS.where(*of_them, Device.hardware_id.in_(twice))
    return [StoredRecord(*row) for row in connection.execute(statement.order_by(Device.hardware_id, Device.id))]


def count_records_of(connection: Connection, company_ids: Collection[str]) -> int:
    """Return how many living records companies have."""
    statement = sa.select(sa.func.count()).where(Device.company_id.in_(company_ids), Device.deleted_at.is_(None))
    return int(connection.execute(statement).scalar_one())


def bury_records(connection: Connection, device_ids: Collection[str], now: datetime) -> None:
    """Make records tombstones."""
    connection.execute(sa.update(Device).where(Device.id.in_(device_ids)).values(deleted_at=now))


def project_names(connection: Connection, project_ids: Collection[str]) -> dict[str, str]:
    """Return the names of projects by id."""
    return {
        row.id: row.name
        for row in connection.execute(sa.select(Project.id, Project.name).where(Project.id.in_(project_ids)))
    }


def pass_projects(connection: Connection, old_ids: Collection[str], company_id: str) -> None:
    """Give projects to another company, and with them their records, tombstones too (the foreign key cascades)."""
    connection.execute(sa.update(Project).where(Project.company_id.in_(old_ids)).values(company_id=company_id))
