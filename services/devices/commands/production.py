"""Writes of the vendor's staff: what was built and shipped, and the RMA mark (ACC-10, DEV-8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from operator import attrgetter
from typing import Any, Final

from services.accounts.api import SCOPE_ORDERS, SCOPE_WRITE, Actor, needs
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict, not_found
from services.chassis.faults import fail_point
from services.chassis.service.declare import command, handler
from services.chassis.service.running import run
from services.devices import answers, api, store
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


@dataclass(frozen=True, slots=True)
class BuiltDevice:
    """A device of an order, as columns of `production`; `kind` is `mac` or `ipei`."""

    hardware_id: str
    kind: str
    type: str
    shipped_on: date | None
    warranty_months: int


_ORDER_REFUSALS: Final = (
    "devices.malformed_id",
    "devices.malformed_order_number",
    "devices.repeated_in_request",
    "devices.order_changed",
    "devices.in_other_order",
)


@command(
    request=api.RegisterProductionRequest,
    answer=api.RegisteredOrder,
    needs=(needs.LOGIN,),
    rehearsable=True,
    raises=(*needs.STAFF.raises, *needs.WRITE.raises, *_ORDER_REFUSALS),
    emits=("production_registered",),
)
def register_production(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Register the devices of an order; the same order again with the same devices changes nothing (ACC-10).

    Each is told to no company.
    """
    # A service account's token goes on from licensing, like that of staff.
    Actor.of(call).require_staff_or_service(SCOPE_WRITE, SCOPE_ORDERS)
    try:
        number = entered_order_number(request["order_number"])
    except MalformedOrderNumberError as error:
        raise malformed("/order_number", str(error), "devices.malformed_order_number") from error
    built = read_devices(request["devices"])

    def work(unit: Unit) -> Mapping[str, object]:
        take_order(unit, number, built)
        fail_point("devices.order.in_registering")
        return {"number": number, "items": [built[hardware_id] for hardware_id in sorted(built)]}

    return run(database, call, request, work)


@handler(emits=("production_registered", "order_devices_settled"))
def apply_order_events(unit: Unit, events: Sequence[Event]) -> None:
    """Register the devices of orders that licensing takes up again after they were left half-way; tell how it went."""
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
            take_order(unit, canonical_order_number(event.subject), read_devices(request["devices"]))
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


@command(
    request=api.UpdateProductionStaffRequest,
    answer=api.ProductionDevice,
    needs=(needs.STAFF, needs.WRITE),
    raises=("devices.malformed_id", "devices.not_found", "devices.device_not_found"),
    emits=("device_marked_rma", "device_unmarked_rma", "device_possession_proven"),
)
def update_production_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Set the RMA mark of a device or remove it, or vouch for a company's possession (DEV-8, DEV-15).

    A repetition changes nothing. A mark is told to every company that has the device and to the vendor, a possession
    to the company that is named.
    """
    hardware_id = read_hardware_id(request["hardware_id"])

    def work(unit: Unit) -> Shown:
        row = store.lock_production(unit.connection, [hardware_id]).get(hardware_id)
        if row is None:
            raise not_found("devices.not_found", ERRORS["devices.not_found"])
        rma = bool(request.get("rma", row.rma))
        if "proven_company_id" in request:
            prove_by_staff(unit, hardware_id, request["proven_company_id"])
        if row.rma != rma:
            store.set_rma(unit.connection, hardware_id, rma)
            tell_mark(unit, hardware_id, row.type, rma)
        return shown(answers.built(row, unit.now.date()), rma=rma)

    return run(database, call, {**request, "hardware_id": hardware_id}, work)


def read_devices(devices: Sequence[Mapping[str, Any]]) -> dict[str, BuiltDevice]:
    """Return the devices of a request by canonical id."""
    built: dict[str, BuiltDevice] = {}
    for place, device in enumerate(devices):
        pointer = f"/devices/{place}/hardware_id"
        try:
            hardware_id = ordered_hardware_id(device["hardware_id"])
        except MalformedIdError as error:
            raise malformed(pointer, str(error)) from error
        if hardware_id in built:
            detail = f"{hardware_id} appears earlier in the list; name each device once."
            raise malformed(pointer, detail, "devices.repeated_in_request")
        built[hardware_id] = BuiltDevice(
            hardware_id,
            parse_hardware_id(hardware_id).kind,
            device["type"],
            device["shipped_on"],
            device.get("warranty_months", BASE_MONTHS),
        )
    return built


def take_order(unit: Unit, number: str, built: Mapping[str, BuiltDevice]) -> None:
    """Register the devices of an order that is new, compare them with those of one that is there."""
    if store.insert_order(unit.connection, number, unit.now):
        _register(unit, number, built)
    else:
        _compare(unit, number, built)


def _register(unit: Unit, number: str, built: Mapping[str, BuiltDevice]) -> None:
    known = store.find_productions(unit.connection, built.keys())
    if known:
        taken = sorted(known)
        named = ", ".join(taken[:3]) + (", …" if len(taken) > 3 else "")
        detail = f"Already registered under another order: {named}; correct the list."
        raise conflict("devices.in_other_order", detail, hardware_ids=taken)
    common = {"order_number": number, "registered_at": unit.now, "rma": False}
    store.insert_production(unit.connection, [{**asdict(row), **common} for row in built.values()])
    for row in built.values():
        unit.emit(
            "production_registered",
            subject=row.hardware_id,
            data={
                "hardware_id": row.hardware_id,
                "type": row.type,
                "order_number": number,
                "shipped_on": row.shipped_on.isoformat() if row.shipped_on is not None else None,
                "warranty_months": row.warranty_months,
            },
            hardware_id=row.hardware_id,
        )


def _compare(unit: Unit, number: str, built: Mapping[str, BuiltDevice]) -> None:
    columns = attrgetter("hardware_id", "type", "shipped_on", "warranty_months")
    stored = {columns(row) for row in store.order_devices(unit.connection, number)}
    if stored != {columns(row) for row in built.values()}:
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
