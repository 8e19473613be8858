"""Writes of the vendor's staff: what was built and shipped, and the RMA mark (ACC-10, DEV-8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.accounts.api import SCOPE_ORDERS, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict, not_found
from services.chassis.faults import fail_point
from services.devices import answers, store
from services.devices.api import ERRORS, MalformedIdError, MalformedOrderNumberError, RegisterProductionRequest
from services.devices.commands.lookups import malformed, read_hardware_id
from services.devices.commands.possession import prove_by_staff
from services.devices.domain.hardware_ids import (
    canonical_order_number,
    entered_order_number,
    ordered_hardware_id,
    parse_hardware_id,
)
from services.devices.domain.warranty import BASE_MONTHS


def register_production(database: Database, call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Register the devices of an order; the same order again with the same devices changes nothing (ACC-10).

    Raises: accounts.staff_needed, devices.malformed_id, devices.malformed_order_number, devices.repeated_in_request,
        devices.order_changed, devices.in_other_order.
    Emits: production_registered per device, to no company.
    """
    # A service account's token goes on from licensing, like that of staff.
    Actor.of(call).require_staff_or_service("write", SCOPE_ORDERS)
    try:
        number = entered_order_number(request["order_number"])
    except MalformedOrderNumberError as error:
        raise malformed("/order_number", str(error), "devices.malformed_order_number") from error
    built = read_devices(request["devices"])

    def work(unit: Unit) -> dict[str, Any]:
        take_order(unit, number, built, rehearse=request["dry_run"])
        fail_point("devices.order.in_registering")
        return {"number": number, "items": [_order_device(built[hardware_id]) for hardware_id in sorted(built)]}

    if request["dry_run"]:
        return database.write(work, call=call)
    answer = database.command(call, "register_production", request, work)
    assert answer is not None
    return answer


def apply_order_events(unit: Unit, events: Sequence[Event]) -> None:
    """Register the devices of orders that licensing takes up again after they were left half-way; tell how it went.

    Emits: production_registered per device, order_devices_settled.
    """
    for event in events:
        if event.type != "order_resumed":
            continue
        refusal = None
        savepoint = unit.connection.begin_nested()
        told = len(unit.events)
        try:
            request = RegisterProductionRequest().load(
                {"order_number": event.subject, "devices": event.data["devices"]}
            )
            take_order(unit, canonical_order_number(event.subject), read_devices(request["devices"]), rehearse=False)
        except ServiceError as error:
            savepoint.rollback()
            del unit.events[told:]
            refusal = error.code
        else:
            savepoint.commit()
        unit.emit(
            "order_devices_settled",
            subject=event.subject,
            data={"number": event.subject, "fingerprint": event.data["fingerprint"], "refusal": refusal},
            actor_id=event.actorid,
        )
        fail_point("devices.order.in_settling")


def update_production_staff(database: Database, call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Set the RMA mark of a device or take it off, or vouch for a company's possession (DEV-8, DEV-15).

    A repetition changes nothing.

    Raises: accounts.staff_needed, devices.malformed_id, devices.not_found, devices.device_not_found.
    Emits: device_marked_rma or device_unmarked_rma, to every company that has the device and to the vendor;
        device_possession_proven to the company that is named.
    """
    actor = Actor.of(call)
    actor.require_staff()
    actor.require_scope("write")
    hardware_id = read_hardware_id(request["hardware_id"])

    def work(unit: Unit) -> dict[str, Any]:
        row = store.lock_production(unit.connection, [hardware_id]).get(hardware_id)
        if row is None:
            raise not_found("devices.not_found", ERRORS["devices.not_found"])
        rma = bool(request.get("rma", row.rma))
        if "proven_company_id" in request:
            prove_by_staff(unit, hardware_id, request["proven_company_id"])
        if row.rma != rma:
            store.set_rma(unit.connection, hardware_id, rma)
            tell_mark(unit, hardware_id, row.type, rma)
        return answers.production_device(row, unit.now.date(), rma=rma)

    answer = database.command(call, "update_production_staff", {**request, "hardware_id": hardware_id}, work)
    assert answer is not None
    return answer


def read_devices(devices: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the devices of a request by canonical id, as columns of `production`."""
    built: dict[str, dict[str, Any]] = {}
    for place, device in enumerate(devices):
        pointer = f"/devices/{place}/hardware_id"
        try:
            hardware_id = ordered_hardware_id(device["hardware_id"])
        except MalformedIdError as error:
            raise malformed(pointer, str(error)) from error
        if hardware_id in built:
            detail = f"{hardware_id} stands earlier in the list; name every device once."
            raise malformed(pointer, detail, "devices.repeated_in_request")
        built[hardware_id] = {
            "hardware_id": hardware_id,
            "kind": parse_hardware_id(hardware_id).kind,
            "type": device["type"],
            "shipped_on": device["shipped_on"],
            "warranty_months": device.get("warranty_months", BASE_MONTHS),
        }
    return built


def take_order(unit: Unit, number: str, built: dict[str, dict[str, Any]], *, rehearse: bool) -> None:
    """Register the devices of an order that is new, compare them with those of one that is there."""
    is_new = not store.order_exists(unit.connection, number)
    if not rehearse:
        is_new = store.insert_order(unit.connection, number, unit.now)
    if is_new:
        _register(unit, number, built, rehearse=rehearse)
    else:
        _compare(unit, number, built)


def _register(unit: Unit, number: str, built: dict[str, dict[str, Any]], *, rehearse: bool) -> None:
    known = store.find_productions(unit.connection, built.keys())
    if known:
        taken = sorted(known)
        named = ", ".join(taken[:3]) + (", …" if len(taken) > 3 else "")
        detail = f"Registered under another order already: {named}; correct the list."
        raise conflict("devices.in_other_order", detail, hardware_ids=taken)
    if rehearse:
        return
    common = {"order_number": number, "registered_at": unit.now, "rma": False}
    store.insert_production(unit.connection, [{**row, **common} for row in built.values()])
    for row in built.values():
        unit.emit(
            "production_registered",
            subject=row["hardware_id"],
            data={
                "hardware_id": row["hardware_id"],
                "type": row["type"],
                "order_number": number,
                "shipped_on": _day(row["shipped_on"]),
                "warranty_months": row["warranty_months"],
            },
            hardware_id=row["hardware_id"],
        )


def _compare(unit: Unit, number: str, built: dict[str, dict[str, Any]]) -> None:
    columns = ("hardware_id", "type", "shipped_on", "warranty_months")
    stored = {tuple(getattr(row, column) for column in columns) for row in store.order_devices(unit.connection, number)}
    if stored != {tuple(row[column] for column in columns) for row in built.values()}:
        raise conflict("devices.order_changed", ERRORS["devices.order_changed"], order_number=number)


def tell_mark(unit: Unit, hardware_id: str, type_name: str, rma: bool) -> None:
    """Tell the vendor, and every company that has the device, that it was marked for repair or is so no more."""
    event = "device_marked_rma" if rma else "device_unmarked_rma"
    data = {"hardware_id": hardware_id, "type": type_name}
    unit.emit(event, subject=hardware_id, data=data, hardware_id=hardware_id)
    for holder in store.holders(unit.connection, [hardware_id]):
        unit.emit(
            event,
            subject=holder.id,
            data=data,
            company_id=holder.company_id,
            project_id=holder.project_id,
            device_id=holder.id,
            hardware_id=hardware_id,
        )


def _order_device(row: dict[str, Any]) -> dict[str, Any]:
    return {"hardware_id": row["hardware_id"], "type": row["type"], "shipped_on": _day(row["shipped_on"])}


def _day(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None
