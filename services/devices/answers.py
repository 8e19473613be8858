"""Rows of the store as the members of published answers. No decisions and no reads here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from services.chassis.fields import write_moment
from services.devices.api import CLAIMED, MEANINGS, PROVEN
from services.devices.domain.actions import ACTIONS, refusal_of
from services.devices.domain.warranty import warranty_on
from services.devices.store import AnyRow


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


def actions(powers: Collection[str], rma: bool) -> list[dict[str, Any]]:
    """Return what can be done with a device, and why not where it cannot (DEV-6)."""
    listed = []
    for name in ACTIONS:
        code = refusal_of(name, powers, rma)
        action: dict[str, Any] = {"name": name, "allowed": code is None}
        listed.append(action if code is None else {**action, "reason": code, "detail": MEANINGS[code]})
    return listed


def facts(row: AnyRow, *, access: str, powers: Collection[str], held_by_others: bool) -> dict[str, Any]:
    """Return a record as `DeviceFacts`."""
    return {
        "device_id": row.id,
        "hardware_id": row.hardware_id,
        "type": row.type,
        "company_id": row.company_id,
        "project_id": row.project_id,
        "rma": row.rma,
        "possession": possession(row),
        "held_by_others": held_by_others,
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
