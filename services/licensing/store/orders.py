"""SQL of the vendor's orders."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.chassis.data.rows import columns_of
from services.licensing.models import Order
from services.licensing.store.keys import Contents

ENTERED = "entered"
DONE = "done"


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order of the vendor, a saga's row (L8).

    Args:
        fingerprint: of its contents as entered.
        state: `entered` until devices has its devices and the key is made, then `done`.
        resumed_at: when it was taken up again last, after whoever entered it had left it half-way.
    """

    number: str
    fingerprint: str
    state: str
    customer_name: str
    customer_reference: str
    devices: list[dict[str, str]]
    licenses: Contents
    key_id: str | None
    created_by: str
    created_at: datetime
    resumed_at: datetime | None = None


_COLUMNS = columns_of(StoredOrder, Order.__table__)


def enter(connection: Connection, order: StoredOrder) -> bool:
    """Insert an order unless its number is taken."""
    return insert_or_ignore(connection, Order, asdict(order))


def get(connection: Connection, number: str, *, lock: bool = False) -> StoredOrder | None:
    """Return an order."""
    statement = sa.select(*_COLUMNS).where(Order.number == number)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return None if row is None else StoredOrder(*row)


def has_unfinished(connection: Connection) -> bool:
    """Tell whether any order is entered and not done."""
    return connection.execute(sa.select(Order.number).where(Order.state == ENTERED).limit(1)).first() is not None


def unfinished(connection: Connection, entered_before: datetime, resumed_before: datetime) -> list[StoredOrder]:
    """Lock orders that were left half-way and not taken up again of late; those that somebody works on are left out."""
    statement = (
        sa.select(*_COLUMNS)
        .where(
            Order.state == ENTERED,
            Order.created_at < entered_before,
            sa.or_(Order.resumed_at.is_(None), Order.resumed_at < resumed_before),
        )
        .order_by(Order.created_at)
        .limit(20)
    )
    return [StoredOrder(*row) for row in connection.execute(statement.with_for_update(skip_locked=True))]


def note_resumed(connection: Connection, number: str, now: datetime) -> None:
    """Note when an order was taken up again."""
    connection.execute(sa.update(Order).where(Order.number == number).values(resumed_at=now))


def finish(connection: Connection, number: str, key_id: str | None) -> None:
    """Note that devices has the devices of an order and that its key is made."""
    connection.execute(sa.update(Order).where(Order.number == number).values(state=DONE, key_id=key_id))


def drop(connection: Connection, number: str) -> None:
    """Forget an order that devices refused, before anything came of it."""
    connection.execute(sa.delete(Order).where(Order.number == number, Order.state == ENTERED))


def finished(connection: Connection) -> list[StoredOrder]:
    """Return all orders that are done, by number."""
    statement = sa.select(*_COLUMNS).where(Order.state == DONE).order_by(Order.number)
    return [StoredOrder(*row) for row in connection.execute(statement)]


def newest(connection: Connection, *, limit: int, before: tuple[datetime, str] | None) -> list[StoredOrder]:
    """Return orders, newest first, after the last one of the page before."""
    statement = sa.select(*_COLUMNS).order_by(Order.created_at.desc(), Order.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(
            sa.or_(Order.created_at < before[0], sa.and_(Order.created_at == before[0], Order.number < before[1]))
        )
    return [StoredOrder(*row) for row in connection.execute(statement)]
