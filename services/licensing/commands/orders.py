"""Orders of the vendor: devices for production data, licenses for a new activation key (ACC-10).

The order's row is a small saga (L8): it is `entered` first, then devices gets its devices, then the key is made and the
row is `done`. Whatever is killed in between, the same request finishes it, and so does `resuming` by a timer: each step
does nothing the second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.accounts.api import SCOPE_ORDERS, SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.idempotency import canonical
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.faults import fail_point
from services.chassis.fields import write_moment
from services.devices.api import (
    DevicesClient,
    MalformedIdError,
    MalformedOrderNumberError,
    entered_order_number,
    ordered_hardware_id,
)
from services.licensing.commands.keys import create_key, reveal_key
from services.licensing.commands.naming import merged_lines, named
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import keys, ledger
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.keys import Row
from services.licensing.store.ledger import Entry


def enter_order(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Enter an order and return it with its activation key; the same order again gets the same answer.

    Raises: accounts.staff_needed, licensing.order_empty, licensing.order_exists, licensing.license_type_unknown,
        licensing.device_type_unknown, devices.malformed_order_number, devices.malformed_id,
        devices.repeated_in_request, devices.in_other_order.
    Emits: order_entered.
    """
    actor = Actor.of(call)
    actor.require_staff_or_service(SCOPE_WRITE, SCOPE_ORDERS)
    catalogue = get_catalogue(database)
    order = VendorOrder.of(catalogue, request)
    # Each step has a command id of its own (rule R2), so that a reused one is told before anything happens.
    database.command(call.derive("enter"), "enter_order", order.values, lambda unit: order.enter(unit, actor))
    if order.devices:
        _hand_to_devices(database, call, order, devices)
    fail_point("licensing.order.before_done")
    answer = database.command(
        call,
        "enter_order",
        order.values,
        lambda unit: order.finish(unit, database, catalogue, actor.user_id),
        sealed=True,
    )
    fail_point("licensing.order.after_done")
    return answer or {}


def order_answer(catalogue: Catalogue, row: Row, *, key: str | None, key_state: str | None) -> dict[str, Any]:
    """Return an order as answers carry it."""
    return {
        "number": row.number,
        "customer_name": row.customer_name,
        "customer_reference": row.customer_reference,
        "devices": row.devices,
        "licenses": named(catalogue, ((str(t), int(n)) for t, n in row.licenses)),
        "state": row.state,
        "activation_key": key,
        "activation_key_state": key_state,
        "created_at": write_moment(row.created_at),
    }


class VendorOrder:
    """One order as entered, checked by itself and against the catalogue."""

    def __init__(self, values: dict[str, Any], months: Mapping[str, int], fingerprint: str | None = None) -> None:
        self.values = values
        self.number: str = values["number"]
        self.devices: list[dict[str, str]] = values["devices"]
        self.licenses: dict[str, int] = dict(values["licenses"])
        self.months = months
        self.fingerprint = fingerprint or hashlib.sha256(canonical(values).encode()).hexdigest()

    @classmethod
    def of(cls, catalogue: Catalogue, request: Mapping[str, Any]) -> VendorOrder:
        """Read a request."""
        if not request["devices"] and not request["licenses"]:
            raise invalid("licensing.order_empty", "The order names neither a device nor a license; add at least one.")
        devices = [_device(catalogue, place, line) for place, line in enumerate(request["devices"])]
        seen: set[str] = set()
        for place, device in enumerate(devices):
            if device["hardware_id"] in seen:
                raise _wrong(
                    "devices.repeated_in_request",
                    f"/devices/{place}/hardware_id",
                    f"{device['hardware_id']} stands in the order twice; name each device once.",
                )
            seen.add(device["hardware_id"])
        licenses = merged_lines(catalogue, request["licenses"])
        return cls(
            {
                "number": _number(request["number"]),
                "customer_name": request["customer_name"],
                "customer_reference": request["customer_reference"],
                "devices": devices,
                "licenses": [[license_type.id, n] for license_type, n in licenses.items()],
            },
            {model: row.warranty_months for model, row in catalogue.device_types.items()},
        )

    @classmethod
    def of_row(cls, catalogue: Catalogue, row: Row) -> VendorOrder:
        """Read an order that was entered before."""
        values = {"number": row.number, "devices": row.devices, "licenses": row.licenses}
        return cls(
            values, {model: kind.warranty_months for model, kind in catalogue.device_types.items()}, row.fingerprint
        )

    def for_devices(self) -> list[dict[str, Any]]:
        """Return the order's devices as devices takes them."""
        return [{**device, "warranty_months": self.months[device["type"]]} for device in self.devices]

    def enter(self, unit: Unit, actor: Actor) -> None:
        """Reserve the number for this very order."""
        fresh = keys.enter_order(
            unit.connection,
            {
                **self.values,
                "fingerprint": self.fingerprint,
                "state": keys.ENTERED,
                "created_by": actor.user_id,
                "created_at": unit.now,
            },
        )
        if not fresh:
            self._get(unit)

    def finish(self, unit: Unit, database: Database, catalogue: Catalogue, user_id: str) -> dict[str, Any]:
        """Make the key with its contents, or return what the first entry made."""
        row = self._get(unit)
        if row.state == keys.DONE:
            key = reveal_key(unit, database, row.key_id) if row.key_id is not None else None
            state = keys.key_states(unit.connection, [row.key_id]).get(row.key_id) if row.key_id is not None else None
            return order_answer(catalogue, row, key=key, key_state=state)
        key_id, text = None, None
        if self.licenses:
            key_id, text = self._make_key(unit, database, user_id)
        keys.finish_order(unit.connection, self.number, key_id)
        fail_point("licensing.order.in_done")
        unit.emit(
            "order_entered",
            subject=self.number,
            data={
                "number": self.number,
                "devices": [device["hardware_id"] for device in self.devices],
                "licenses": named(catalogue, self.licenses.items()),
                "activation_key_id": key_id,
            },
            actor_id=user_id,
        )
        answer = order_answer(catalogue, row, key=text, key_state=keys.OPEN if key_id is not None else None)
        return {**answer, "state": keys.DONE}

    def _make_key(self, unit: Unit, database: Database, user_id: str) -> tuple[str, str]:
        key_id, text = create_key(unit, database, self.licenses, {"order_number": self.number, "created_by": user_id})
        target = ledger.key_pool(key_id)
        ledger.post(
            unit,
            f"order:{key_id}",
            "order",
            [e for t, n in self.licenses.items() for e in (Entry(ledger.ISSUED, t, -n), Entry(target, t, n))],
            company_id=None,
            reason=f"Order {self.number}",
            actor_id=user_id,
        )
        return key_id, text

    def _get(self, unit: Unit) -> Row:
        row = keys.get_order(unit.connection, self.number, lock=True)
        if row is None or row.fingerprint != self.fingerprint:
            raise conflict(
                "licensing.order_exists",
                f"The order {self.number} exists with other contents; use another number, or send it unchanged.",
                number=self.number,
            )
        return row


def _hand_to_devices(database: Database, call: Call, order: VendorOrder, devices: DevicesClient) -> None:
    # The command id comes from the order, not from the request: whoever repeats the order repeats this very step.
    step = replace(call, command_id=f"order:{order.fingerprint[:32]}:devices")
    fail_point("licensing.order.entered")
    try:
        devices.register_production(step, order_number=order.number, devices=order.for_devices())
    except ServiceError as refusal:
        if refusal.is_final:
            database.write(lambda unit: keys.drop_order(unit.connection, order.number), call=call)
        raise


def _number(text: str) -> str:
    try:
        return entered_order_number(text)
    except MalformedOrderNumberError as error:
        raise _wrong("devices.malformed_order_number", "/number", str(error)) from None


def _device(catalogue: Catalogue, place: int, line: Mapping[str, Any]) -> dict[str, str]:
    try:
        hardware_id = ordered_hardware_id(line["hardware_id"])
    except MalformedIdError as error:
        raise _wrong("devices.malformed_id", f"/devices/{place}/hardware_id", str(error)) from None
    if line["type"] not in catalogue.device_types:
        raise _wrong(
            "licensing.device_type_unknown",
            f"/devices/{place}/type",
            f"The catalogue has no device type {line['type']!r}; list the device types.",
        )
    return {"hardware_id": hardware_id, "type": line["type"], "shipped_on": line["shipped_on"].isoformat()}


def _wrong(code: str, pointer: str, detail: str) -> ServiceError:
    return invalid(code, detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])
