"""SQL of the license lines on devices."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from services.chassis.data.rows import columns_of
from services.licensing.models import DeviceLine

INSTALLED = "installed"
TAKEN_BACK = "taken_back"
RETURNED = "returned"
REMOVED = "removed"

NO_FILE = "none"
ENCRYPTED = "encrypted"
PLAIN = "plain"

Payment = tuple[str, int]
"""The id of a project, or `issued`, and how much it paid."""


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

    @property
    def paid(self) -> list[Payment]:
        """Which pools paid how much: ids of projects, or `issued`."""
        return read_draws(self.draws)


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line as an assignment puts it on a device; it is installed, and in no file.

    Args:
        paid: which pools paid how much.
        project_id: of the device.
    """

    id: str
    hardware_id: str
    license_type: str
    quantity: int
    transfer_id: str
    company_id: str
    project_id: str
    paid: Sequence[Payment]
    assigned_by: str
    assigned_at: datetime


_INSERT = sa.insert(DeviceLine)
_LINES = (
    sa.select(*columns_of(InstalledLine, DeviceLine.__table__))
    .where(DeviceLine.hardware_id == bindparam("hardware_id"), DeviceLine.state == INSTALLED)
    .order_by(DeviceLine.assigned_at, DeviceLine.id)
)


def installed_lines(connection: Connection, hardware_id: str) -> list[InstalledLine]:
    """Return the lines on a device, oldest first. To rely on them, lock the device first (`ledger.lock_device`)."""
    return [InstalledLine(*tuple(row)) for row in connection.execute(_LINES, {"hardware_id": hardware_id})]


def insert(connection: Connection, lines: Sequence[NewLine]) -> None:
    """Insert lines."""
    connection.execute(
        _INSERT,
        [
            {
                "id": line.id,
                "hardware_id": line.hardware_id,
                "license_type": line.license_type,
                "quantity": line.quantity,
                "state": INSTALLED,
                "file_issued": NO_FILE,
                "transfer_id": line.transfer_id,
                "company_id": line.company_id,
                "project_id": line.project_id,
                "draws": json.dumps(line.paid, separators=(",", ":")),
                "assigned_by": line.assigned_by,
                "assigned_at": line.assigned_at,
            }
            for line in lines
        ],
    )


def read_draws(text: str) -> list[Payment]:
    """Return which pools paid how much, as a line's `draws` tell it."""
    return [(str(payer), int(quantity)) for payer, quantity in json.loads(text)]


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
