"""SQL of the copies of guests' rights in projects, as projects tells of them."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.db import insert_or_ignore
from services.licensing.models import GuestRight


def keep(connection: Connection, project_id: str, company_id: str, *, ended: bool) -> None:
    """Note that a company has a right in a project, or that it has ended, also of companies that it imported."""
    for identifier in aliases.group(connection, company_id) if ended else [company_id]:
        values = {"project_id": project_id, "company_id": identifier, "ended": ended}
        if not insert_or_ignore(connection, GuestRight, values):
            here = sa.and_(GuestRight.project_id == project_id, GuestRight.company_id == identifier)
            connection.execute(sa.update(GuestRight).where(here).values(ended=ended))


def has_ended(connection: Connection, project_id: str, company_ids: Collection[str]) -> bool:
    """Tell whether these companies had a right in a project and none of them has one; unknown is not ended."""
    found = connection.scalars(
        sa.select(GuestRight.ended).where(GuestRight.project_id == project_id, GuestRight.company_id.in_(company_ids))
    ).all()
    return bool(found) and all(found)
