"""Rows of the store as the members of published answers. No decisions and no reads here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Final

from services.chassis.fields import write_moment
from services.devices.api import CLAIMED, MEANINGS, PROVEN
from services.devices.domain.actions import ACTIONS, ADMIN_NEEDED, PROJECT_ARCHIVED, RIGHT_NEEDED, refusal_of
from services.devices.domain.holders import holder_mark
from services.devices.domain.warranty import warranty_on
from services.devices.store import AnyRow

_MEANINGS: Final[dict[str, str]] = {
    **MEANINGS,
    RIGHT_NEEDED: "Your account needs the right {right}: ask the vendor for it.",
    ADMIN_NEEDED: "Only an administrator of your company may do this: ask one of them.",
    PROJECT_ARCHIVED: "The project is archived, so nothing in it can be changed: take it out of the archive first.",
}


def device(row: AnyRow, *, foreign: bool, today: date) -> dict[str, Any]:
    """Return a company's record as `Device`."""
    return {
        "id": row.id,
        "hardware_id": row.hardware_id,
        "type": row.type,
        "project_id": row.project_id,
        "company_id": row.company_id,
        "foreign": foreign,
        "comment": row.comment,
        "license_comment": row.license_comment,
        # The number is the secret that proves possession: a guest of the project does not learn it (DEV-15).
        "order_number": None if foreign else row.order_number,
        "possession": possession(row),
        "rma": row.rma,
        "warranty": _warranty(row, today),
        "ssa_ends_on": _day(row.ssa_ends_on),
        "added_at": write_moment(row.added_at),
        "version": row.version,
    }


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


def facts(row: AnyRow, *, access: str, powers: Collection[str], others: Collection[str]) -> dict[str, Any]:
    """Return a record as `DeviceFacts`; `others` are the ids of the other companies that have the device."""
    return {
        "device_id": row.id,
        "hardware_id": row.hardware_id,
        "type": row.type,
        "company_id": row.company_id,
        "project_id": row.project_id,
        "rma": row.rma,
        "possession": possession(row),
        "held_by_others": bool(others),
        "other_holders": sorted(holder_mark(row.hardware_id, company_id) for company_id in others),
        "access": access,
        "powers": list(powers),
        "comment": row.comment,
        "license_comment": row.license_comment,
    }


def possession_answer(row: AnyRow, *, proven: bool) -> dict[str, Any]:
    """Return a record as `PossessionAnswer`."""
    shown = PROVEN if proven else possession(row)
    return {"device_id": row.id, "hardware_id": row.hardware_id, "possession": shown}


def possession(row: AnyRow) -> str:
    """Return whether a record is proven or claimed."""
    return PROVEN if row.proven_by is not None else CLAIMED


def warranty_answer(row: AnyRow, today: date) -> dict[str, Any]:
    """Return a built device as `WarrantyAnswer`: the fixed minimum for anybody."""
    return {
        "hardware_id": row.hardware_id,
        "type": row.type,
        "warranty": _warranty(row, today),
        "ssa_ends_on": _day(row.ssa_ends_on),
        "rma": row.rma,
    }


def order_device(row: AnyRow) -> dict[str, Any]:
    """Return a built device as `OrderDevice`."""
    return {"hardware_id": row.hardware_id, "type": row.type, "shipped_on": _day(row.shipped_on)}


def production_device(row: AnyRow, today: date, *, rma: bool) -> dict[str, Any]:
    """Return a built device as `ProductionDevice`, for staff."""
    return {
        "hardware_id": row.hardware_id,
        "type": row.type,
        "order_number": row.order_number,
        "shipped_on": _day(row.shipped_on),
        "rma": rma,
        "warranty": _warranty(row, today),
    }


def _warranty(row: AnyRow, today: date) -> dict[str, Any]:
    return warranty_on(today, row.shipped_on, row.warranty_months, row.extension_months).answer()


def _day(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None
