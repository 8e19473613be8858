"""Warranty and service dates that licenses give a device, as licensing's events tell (DEV-7, DEV-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.declare import handler
from services.devices import store
from services.devices.domain.warranty import after_service_years

_SIGNS: Final = {"licenses_assigned": 1, "licenses_taken_back": -1}
_WARRANTY_YEAR: Final = "warranty-year"
_SERVICE_YEAR: Final = "ssa-year"


@handler()
def apply_license_events(unit: Unit, events: Sequence[Event]) -> None:
    """Lengthen or shorten warranty and service agreement by the years that were put on a device or taken back."""
    for event in events:
        sign = _SIGNS.get(event.type)
        # A guest's assignment is told to two companies; it lengthens the warranty once.
        if sign is None or event.hardwareid is None or event.data.get("copy"):
            continue
        warranty_years = sign * _count(event.data, _WARRANTY_YEAR)
        service_years = sign * _count(event.data, _SERVICE_YEAR)
        if warranty_years or service_years:
            _apply(unit, event, warranty_years, service_years)


def _apply(unit: Unit, event: Event, warranty_years: int, service_years: int) -> None:
    hardware_id = str(event.hardwareid)
    row = store.lock_production(unit.connection, [hardware_id]).get(hardware_id)
    if row is None:
        raise LookupError(f"{hardware_id} has licenses but is not in the production data")
    months = max(0, row.extension_months + 12 * warranty_years)
    ends_on = after_service_years(event.time.date(), row.ssa_ends_on, service_years)
    store.set_warranty(unit.connection, hardware_id, months, ends_on)


def _count(data: Mapping[str, Any], license_type: str) -> int:
    return sum(int(line["quantity"]) for line in data["licenses"] if line["license_type"] == license_type)
