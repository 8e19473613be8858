"""Reads that are counted, and so are writes: warranties of devices of others, and devices of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer, Page, Shown, dump, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import invalid, not_found
from services.chassis.paging import Listing
from services.chassis.service.declare import command, query
from services.devices import answers, api, store
from services.devices.api import ERRORS, MalformedIdError, MalformedOrderNumberError
from services.devices.commands import throttles
from services.devices.domain.hardware_ids import canonical_hardware_id, canonical_order_number
from services.devices.store import Holder, StoredProduction


@command(
    request=api.HardwareRequest,
    answer=api.WarrantyAnswer,
    needs=(needs.READ,),
    raises=("devices.malformed_id", "devices.not_found", "devices.throttled"),
    emits=("warranty_checked", "warranty_checked_elsewhere"),
)
def check_warranty(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Tell type, warranty and RMA mark of any built device, never whose it is (DEV-7, S9).

    The asker's company is told, and every other that has the device.
    """
    actor = Actor.of(call)
    hardware_id = read_hardware_id(request["hardware_id"])

    def work(unit: Unit) -> Answer:
        holders = store.holders(unit.connection, [hardware_id])
        own = any(actor.owns(holder.company_id) for holder in holders)
        if not own:
            new = throttles.check(unit.connection, actor.user_id, throttles.WARRANTY, [hardware_id], unit.now)
            throttles.record(unit.connection, actor.user_id, throttles.WARRANTY, new, unit.now)
        produced = store.find_production(unit.connection, hardware_id)
        if produced is None:
            return Answer()
        if not own:
            _tell_of_check(unit, actor, produced, holders)
        return dump(api.WarrantyAnswer, answers.built(produced, unit.now.date()))

    answer = database.command(call, "check_warranty", {"hardware_id": hardware_id}, work)
    # Refused only now: a look-up of nothing counts too, and a refusal inside would undo the counting.
    if not answer:
        raise not_found("devices.not_found", ERRORS["devices.not_found"])
    return Answer(answer)


@query(
    request=api.ListOrderDevicesRequest,
    answer=api.OrderDevices,
    needs=(needs.READ,),
    raises=("devices.malformed_order_number", "devices.order_not_found", "devices.throttled"),
)
def list_order_devices(database: Database, call: Call, request: Mapping[str, Any]) -> Shown:
    """List the devices of an order; who knows its number may see them, wrong numbers are counted (DEV-2)."""
    number = find_order(database, Actor.of(call), request["number"])
    listing = Listing(call, "list_order_devices", request)
    rows = database.read(lambda connection: store.order_devices(connection, number))
    return shown(Page(*listing.cut(rows, lambda row: row.hardware_id)), number=number)


def find_order(database: Database, actor: Actor, text: str) -> str:
    """Return the canonical number of an order that is there.

    Raises: devices.malformed_order_number, devices.order_not_found, devices.throttled.
    """
    try:
        number = canonical_order_number(text)
    except MalformedOrderNumberError as error:
        raise invalid("devices.malformed_order_number", str(error)) from error

    def work(unit: Unit) -> bool:
        new = throttles.check(unit.connection, actor.user_id, throttles.ORDER, [number], unit.now)
        if store.order_exists(unit.connection, number):
            return True
        throttles.record(unit.connection, actor.user_id, throttles.ORDER, new, unit.now)
        return False

    if not database.write(work):
        raise not_found("devices.order_not_found", ERRORS["devices.order_not_found"])
    return number


def read_hardware_id(text: str, pointer: str = "/hardware_id") -> str:
    """Return the canonical id of a field.

    Raises: devices.malformed_id with the field's pointer.
    """
    try:
        return canonical_hardware_id(text)
    except MalformedIdError as error:
        raise malformed(pointer, str(error)) from error


def malformed(pointer: str, detail: str, code: str = "devices.malformed_id") -> Exception:
    """Make the error for a wrong field, with its pointer."""
    return invalid(code, detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])


def _tell_of_check(unit: Unit, actor: Actor, produced: StoredProduction, holders: Sequence[Holder]) -> None:
    data = {"hardware_id": produced.hardware_id, "type": produced.type}
    unit.emit(
        "warranty_checked",
        subject=produced.hardware_id,
        data=data,
        company_id=actor.company_id,
        hardware_id=produced.hardware_id,
    )
    for holder in holders:
        unit.emit(
            "warranty_checked_elsewhere",
            subject=holder.id,
            data=data,
            company_id=holder.company_id,
            project_id=holder.project_id,
            device_id=holder.id,
            hardware_id=produced.hardware_id,
            anonymous=True,
        )
