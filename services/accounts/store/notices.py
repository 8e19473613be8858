"""SQL of the mails about devices that others do something with: whether a company wants them, at most one an hour."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.models import DeviceNotice, Membership, User
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of

PAUSE: Final = timedelta(hours=1)
"""So long after a mail the next one waits; what happens meanwhile is told by that one."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to, and in which language."""

    email: str
    language: str


_RECIPIENT = columns_of(Recipient, User.__table__)


def wanted(connection: Connection, company_id: str) -> bool:
    """Return whether a company wants the mails."""
    return bool(connection.scalar(sa.select(DeviceNotice.wanted).where(DeviceNotice.company_id == company_id)))


def want(unit: Unit, company_id: str, *, wanted: bool) -> None:
    """Store whether a company wants the mails; what was held back for one that does not is forgotten."""
    values = {"wanted": wanted, "held": False}
    if not insert_or_ignore(unit.connection, DeviceNotice, {"company_id": company_id, "sent_at": None, **values}):
        unit.execute(sa.update(DeviceNotice).where(DeviceNotice.company_id == company_id).values(**values))


def take_turn(unit: Unit, company_id: str) -> bool:
    """Return whether a mail goes out now; else it is held back until the pause is over, if the company wants mails."""
    mine = sa.and_(DeviceNotice.company_id == company_id, DeviceNotice.wanted)
    due = sa.or_(DeviceNotice.sent_at.is_(None), DeviceNotice.sent_at <= unit.now - PAUSE)
    if unit.execute(sa.update(DeviceNotice).where(mine, due).values(sent_at=unit.now, held=False)).rowcount:
        return True
    unit.execute(sa.update(DeviceNotice).where(mine).values(held=True))
    return False


def due(unit: Unit) -> list[str]:
    """Return the companies for which something was held back and whose pause is over."""
    statement = sa.select(DeviceNotice.company_id).where(
        DeviceNotice.wanted, DeviceNotice.held, DeviceNotice.sent_at <= unit.now - PAUSE
    )
    return list(unit.execute(statement.order_by(DeviceNotice.company_id)).scalars())


def admins(connection: Connection, company_id: str) -> list[Recipient]:
    """Return address and language of the administrators of a company who can work."""
    statement = (
        sa.select(*_RECIPIENT)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.company_id == company_id,
            Membership.role == "admin",
            Membership.locked.is_(False),
            User.locked.is_(False),
        )
        .order_by(User.id)
    )
    return [Recipient(*row) for row in connection.execute(statement)]
