"""Orders that nobody drives any more go on by a timer (L8): their devices are told by event, the answer comes by event.

No caller's token is at hand then, so devices is not called; whoever entered the order has been staff.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.faults import fail_point
from services.chassis.service.declare import handler
from services.licensing.commands.orders import VendorOrder
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import orders
from services.licensing.store.catalogue import get_catalogue

LEFT_AFTER: Final = timedelta(seconds=60)
"""Far longer than a call may last: whoever entered the order has given it up by then."""
TOLD_AGAIN_AFTER: Final = timedelta(minutes=10)
_log = structlog.get_logger(__name__)


@handler(emits=("order_entered", "order_resumed"))
def resume_orders(database: Database) -> int:
    """Let orders go on that were left half-way; returns how many."""
    if not database.read(orders.has_unfinished):
        return 0
    catalogue = get_catalogue(database)
    return database.write(partial(_resume_all, database=database, catalogue=catalogue))


@handler(emits=("order_entered", "order_refused"))
def apply_devices_events(database: Database, unit: Unit, events: Sequence[Event]) -> None:
    """Finish, or forget, orders whose devices were settled after an `order_resumed`; other events are not ours."""
    for event in events:
        if event.type != "order_devices_settled":
            continue
        row = orders.get(unit.connection, event.subject, lock=True)
        if row is None or row.state == orders.DONE or row.fingerprint != event.data["fingerprint"]:
            continue
        code = event.data["refusal"]
        if code is None:
            catalogue = get_catalogue(database)
            VendorOrder.of_row(catalogue, row).finish(unit, database, catalogue, row.created_by)
        else:
            orders.drop(unit.connection, row.number)
            data = {"number": row.number, "code": code}
            unit.emit("order_refused", subject=row.number, data=data, actor_id=row.created_by)


def _resume_all(unit: Unit, database: Database, catalogue: Catalogue) -> int:
    rows = orders.unfinished(unit.connection, unit.now - LEFT_AFTER, unit.now - TOLD_AGAIN_AFTER)
    for row in rows:
        order = VendorOrder.of_row(catalogue, row)
        _log.warning("an order goes on that was left half-way", number=row.number)
        if not order.devices:
            order.finish(unit, database, catalogue, row.created_by)
            continue
        orders.note_resumed(unit.connection, row.number, unit.now)
        unit.emit(
            "order_resumed",
            subject=row.number,
            data={"number": row.number, "fingerprint": order.fingerprint, "devices": order.for_devices()},
            actor_id=row.created_by,
        )
        fail_point("licensing.order.resuming")
    return len(rows)
