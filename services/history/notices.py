"""Passing on to accounts what a company may want a mail about: others do something with a device of its concern.

accounts listens to history alone, which hears everybody (decision 8), and need not read every event of every room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.accounts.api import DEVICE_NOTICE
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.declare import handler

NOTICED: Final = frozenset({"paid_device_used_elsewhere", "device_added_elsewhere"})


@handler(emits=(DEVICE_NOTICE,))
def pass_on(unit: Unit, events: Sequence[Event]) -> None:
    """Tell accounts of the lines that a company may want a mail about; never more than the line itself says."""
    for event in events:
        if event.type in NOTICED and event.companyid is not None:
            unit.emit(
                DEVICE_NOTICE,
                subject=event.subject,
                data={"action": event.type},
                company_id=event.companyid,
                hardware_id=event.hardwareid,
                anonymous=True,
            )
