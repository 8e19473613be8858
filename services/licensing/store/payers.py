"""Who paid for what is on a device: the companies whose projects its lines were drawn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.licensing.models import LicenseType, Project
from services.licensing.store import ledger
from services.licensing.store.lines import InstalledLine, installed_lines

Paid = Mapping[str, Mapping[str, int]]
"""Company -> license type -> quantity."""


def payers(connection: Connection, hardware_id: str, *, before: datetime | None = None) -> Paid:
    """Return who paid for the licenses that are on a device now, and for how many.

    A company that another one imported appears under the importing one, because its projects are that one's now.

    Args:
        connection: of the running transaction.
        hardware_id: of the device.
        before: only what was assigned until then counts.
    """
    lines = installed_lines(connection, hardware_id)
    return payers_of(connection, [line for line in lines if before is None or line.assigned_at <= before])


def names(connection: Connection, license_types: Collection[str]) -> dict[str, str]:
    """Return the names of license types by id."""
    rows = connection.execute(sa.select(LicenseType.id, LicenseType.name).where(LicenseType.id.in_(license_types)))
    return {row.id: row.name for row in rows}


def paid_by(connection: Connection, lines: Collection[InstalledLine]) -> dict[str, set[str]]:
    """Return which companies paid for each of these lines, by its id; what nobody paid for is left out."""
    drawn = {line.id: {payer for payer, _ in line.paid if payer != ledger.ISSUED} for line in lines}
    asked = set().union(*drawn.values())
    if not asked:
        return {}
    rows = connection.execute(sa.select(Project.id, Project.company_id).where(Project.id.in_(asked)))
    owners = {row.id: row.company_id for row in rows}
    return {line_id: {owners[project] for project in projects} for line_id, projects in drawn.items() if projects}


def payers_of(connection: Connection, lines: Collection[InstalledLine]) -> Paid:
    """Return who paid for these lines, and for how many; what nobody paid for is left out."""
    drawn: dict[str, dict[str, int]] = {}
    for line in lines:
        for payer, quantity in line.paid:
            if payer != ledger.ISSUED:
                shares = drawn.setdefault(payer, {})
                shares[line.license_type] = shares.get(line.license_type, 0) + quantity
    if not drawn:
        return {}
    rows = connection.execute(sa.select(Project.id, Project.company_id).where(Project.id.in_(drawn)))
    paid: dict[str, dict[str, int]] = {}
    for row in rows:
        shares = paid.setdefault(row.company_id, {})
        for license_type, quantity in drawn[row.id].items():
            shares[license_type] = shares.get(license_type, 0) + quantity
    return paid
