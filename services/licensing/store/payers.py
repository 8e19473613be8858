"""Who paid for what is on a device: the companies whose projects its lines were drawn from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from services.licensing.models import Project
from services.licensing.store import ledger
from services.licensing.store.lines import InstalledLine, installed_lines

Paid = Mapping[str, Mapping[str, int]]
"""Company -> license type -> quantity."""


def payers(connection: Connection, hardware_id: str) -> Paid:
    """Return who paid for the licenses that are on a device now, and for how many.

    A company that another one imported appears under the importing one, because its projects are that one's now.
    """
    return payers_of(connection, installed_lines(connection, hardware_id))


def payers_of(connection: Connection, lines: Collection[InstalledLine]) -> Paid:
    """Return who paid for these lines, and for how many; what nobody paid for is left out."""
    drawn: dict[str, dict[str, int]] = {}
    for line in lines:
        for payer, quantity in json.loads(line.draws):
            if payer != ledger.ISSUED:
                shares = drawn.setdefault(str(payer), {})
                shares[line.license_type] = shares.get(line.license_type, 0) + int(quantity)
    if not drawn:
        return {}
    rows = connection.execute(sa.select(Project.id, Project.company_id).where(Project.id.in_(drawn)))
    paid: dict[str, dict[str, int]] = {}
    for row in rows:
        shares = paid.setdefault(row.company_id, {})
        for license_type, quantity in drawn[row.id].items():
            shares[license_type] = shares.get(license_type, 0) + quantity
    return paid
