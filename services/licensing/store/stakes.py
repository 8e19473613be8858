"""SQL of who ever had a stake in a device: the companies that paid for licenses that were on it at any time."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.licensing.models import DeviceLine, Project
from services.licensing.store import ledger
from services.licensing.store.lines import read_draws


def ever_paid(connection: Connection, hardware_id: str) -> set[str]:
    """Return the companies whose projects ever paid for licenses on a device, returned and removed ones too."""
    drawn = connection.scalars(sa.select(DeviceLine.draws).where(DeviceLine.hardware_id == hardware_id).distinct())
    payers = {payer for text in drawn for payer, _ in read_draws(text) if payer != ledger.ISSUED}
    return set(connection.scalars(sa.select(Project.company_id).where(Project.id.in_(payers))))
