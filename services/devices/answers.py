"""Rows of the store as the members of published answers. No decisions and no reads here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Final

from services.chassis.answers import Shown, shown
from services.devices.api import MEANINGS, PROVEN
from services.devices.domain.actions import ACTIONS, ADMIN_NEEDED, PROJECT_ARCHIVED, RIGHT_NEEDED, refusal_of
from services.devices.domain.holders import holder_mark
from services.devices.domain.warranty import Warranty, warranty_on
from services.devices.store import StoredProduction, StoredRecord

_MEANINGS: Final[dict[str, str]] = {
    **MEANINGS,
    RIGHT_NEEDED: "Your account needs the right {right}: ask the vendor for it.",
    ADMIN_NEEDED: "Only administrators of your company may do this: ask one of them.",
    PROJECT_ARCHIVED: "The project is archived, so nothing in it can be changed: take it out of the archive first.",
}


def device(row: StoredRecord, *, foreign: bool, today: date) -> Shown:
    """Return a company's record as `Device`."""
    # The number is the secret that proves possession: a guest of the project does not learn it (DEV-15).
    number = None if foreign else row.order_number
    return shown(row, foreign=foreign, order_number=number, warranty=_warranty(row, today))


def actions(
    powers: Collection[str], rma: bool, others: Mapping[str, Collection[str]] | None = None
) -> list[dict[str, Any]]:
    """Return what can be done with a device, and why not where it cannot (DEV-6); arguments as for `refusal_of`."""
    listed = []
    for name in ACTIONS:
        refusal = refusal_of(name, powers, rma, others)
        action: dict[str, Any] = {"name": name, "allowed": refusal is None}
        if refusal is not None:
            code, told = refusal
            action |= {"reason": code, "detail": _MEANINGS[code].format_map(told), **told}
        listed.append(action)
    return listed


def facts(row: StoredRecord, *, access: str, powers: Collection[str], others: Collection[str]) -> Shown:
    """Return a record as `DeviceFacts`; `others` are the ids of the other companies that have the device."""
    marks = sorted(holder_mark(row.hardware_id, company_id) for company_id in others)
    return shown(
        row, device_id=row.id, held_by_others=bool(others), other_holders=marks, access=access, powers=list(powers)
    )


def possession_answer(row: StoredRecord, *, proven: bool) -> Shown:
    """Return a record as `PossessionAnswer`."""
    return shown(row, device_id=row.id, possession=PROVEN if proven else row.possession)


def built(row: StoredProduction, today: date) -> Shown:
    """Return a built device as `WarrantyAnswer` for anybody, or as `ProductionDevice` for staff."""
    return shown(row, warranty=_warranty(row, today))


def _warranty(row: StoredRecord | StoredProduction, today: date) -> Warranty:
    return warranty_on(today, row.shipped_on, row.warranty_months, row.extension_months)
