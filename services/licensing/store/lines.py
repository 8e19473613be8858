"""SQL of the license lines on devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from services.licensing.models import DeviceLine

INSTALLED = "installed"
TAKEN_BACK = "taken_back"
RETURNED = "returned"
REMOVED = "removed"

NO_FILE = "none"
ENCRYPTED = "encrypted"
PLAIN = "plain"

_INSERT = sa.insert(DeviceLine)
_LINES = (
    sa.select(
        DeviceLine.id,
        DeviceLine.license_type,
        DeviceLine.quantity,
        DeviceLine.file_issued,
        DeviceLine.company_id,
        DeviceLine.project_id,
        DeviceLine.draws,
        DeviceLine.assigned_at,
        DeviceLine.assigned_by,
        DeviceLine.transfer_id,
    )
    .where(DeviceLine.hardware_id == bindparam("hardware_id"), DeviceLine.state == INSTALLED)
    .order_by(DeviceLine.assigned_at, DeviceLine.id)
)


@dataclass(frozen=True, slots=True)
class InstalledLine:
    """Licenses that one assignment put on a device and that are still there.

    Args:
        file_issued: `none`, `encrypted` or `plain`, whatever ends more rights (LIC-5, LIC-13).
        company_id: whose assignment it is.
        project_id: of the device at that time.
        draws: JSON list of `[project id, quantity]`, or `["issued", quantity]`.
    """

    id: str
    license_type: str
    quantity: int
    file_issued: str
    company_id: str
    project_id: str
    draws: str
    assigned_at: datetime
    assigned_by: str
    transfer_id: str


def installed_lines(connection: Connection, hardware_id: str) -> list[InstalledLine]:
    """Return the lines on a device, oldest first. To rely on them, lock the device first (`ledger.lock_device`)."""
    return [InstalledLine(*tuple(row)) for row in connection.execute(_LINES, {"hardware_id": hardware_id})]


def insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert lines; all columns but the ending ones."""
    connection.execute(_INSERT, rows)


def end(connection: Connection, line_ids: Collection[str], *, state: str, now: datetime, transfer_id: str) -> int:
    """End installed lines with the transfer that took them off; returns how many were still installed."""
    return connection.execute(
        sa.update(DeviceLine)
        .where(DeviceLine.id.in_(line_ids), DeviceLine.state == INSTALLED)
        .values(state=state, ended_at=now, ended_by=transfer_id)
    ).rowcount


def latch_files(connection: Connection, line_ids: Collection[str], *, plain: bool) -> None:
    """Note that a real license file holds these lines (L9); `plain` is stronger than `encrypted` and stays for ever."""
    statement = sa.update(DeviceLine).where(DeviceLine.id.in_(line_ids))
    if plain:
        connection.execute(statement.values(file_issued=PLAIN))
    else:
        connection.execute(statement.where(DeviceLine.file_issued == NO_FILE).values(file_issued=ENCRYPTED))
