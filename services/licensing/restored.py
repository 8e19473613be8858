"""What licensing knows for rooms that were restored to an older state (rule R25); its copies: `audit.copies`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from services.licensing.commands.orders import OrderedDevice, VendorOrder
from services.licensing.domain.catalogue import Catalogue
from services.licensing.models import GuestRight
from services.licensing.store import orders as store


def rights(connection: Connection) -> dict[tuple[str, str], bool]:
    """Return for each right of a company in a project whether its end was told."""
    rows = connection.execute(sa.select(GuestRight.project_id, GuestRight.company_id, GuestRight.ended))
    return {(row.project_id, row.company_id): row.ended for row in rows}


def orders(connection: Connection, catalogue: Catalogue) -> list[tuple[str, list[OrderedDevice]]]:
    """Return number and devices, as devices takes them, of each finished order."""
    return [(row.number, VendorOrder.of_row(catalogue, row).for_devices()) for row in store.finished(connection)]
