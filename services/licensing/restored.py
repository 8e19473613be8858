"""What licensing knows for rooms that were restored to an older state (rule R25); its copies: `audit.copies`."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import events
from services.chassis.data.unit import Unit
from services.licensing.commands.orders import OrderedDevice, VendorOrder
from services.licensing.domain.catalogue import Catalogue
from services.licensing.models import GuestRight, ProjectDeletion
from services.licensing.store import orders as store


def rights(connection: Connection) -> dict[tuple[str, str], bool]:
    """Return for each right of a company in a project whether its end was told."""
    rows = connection.execute(sa.select(GuestRight.project_id, GuestRight.company_id, GuestRight.ended))
    return {(row.project_id, row.company_id): row.ended for row in rows}


def orders(connection: Connection, catalogue: Catalogue) -> list[tuple[str, list[OrderedDevice]]]:
    """Return number and devices, as devices takes them, of each finished order."""
    return [(row.number, VendorOrder.of_row(catalogue, row).for_devices()) for row in store.finished(connection)]


def end_unknown_closings(unit: Unit, closings: Mapping[str, str]) -> list[str]:
    """Let other rooms open the projects that they keep closed for deletions that are not known here; a sentence each.

    Such a deletion was begun after the backup, and nobody drives it any more.

    Args:
        unit: of licensing's database.
        closings: closing id -> project, as other rooms know them.

    Emits: project_deletion_settled.
    """
    known = set(unit.execute(sa.select(ProjectDeletion.closing_id)).scalars())
    known |= {str(event.data["closing_id"]) for _, event in events(unit.connection, ("project_deletion_settled",))}
    told = []
    for closing_id, project_id in sorted(closings.items()):
        if closing_id in known:
            continue
        data = {"project_id": project_id, "closing_id": closing_id, "outcome": "abandoned"}
        unit.emit("project_deletion_settled", subject=project_id, data=data, project_id=project_id)
        told.append(
            f"project {project_id} was closed for a deletion that was lost: closed no more; where it is still there, "
            "its company may delete it again"
        )
    return told
