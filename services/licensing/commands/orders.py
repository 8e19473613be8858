"""Orders of the vendor: devices for production data, licenses for a new activation key (ACC-10).

The order's row is a small saga (L8): it is `entered` first, then devices gets its devices, then the key is made and the
row is `done`. Whatever is killed in between, the same request finishes it, and so does `resuming` by a timer: each step
does nothing the second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from services.accounts.api import SCOPE_ORDERS, SCOPE_WRITE, Actor, needs
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.idempotency import canonical
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.faults import fail_point
from services.chassis.fields import AnswerSchema
from services.chassis.service.declare import command
from services.chassis.service.running import run
from services.devices.api import (
    DevicesClient,
    MalformedIdError,
    MalformedOrderNumberError,
    entered_order_number,
    ordered_hardware_id,
)
from services.licensing import api
from services.licensing.commands.keys import create_key, reveal_key
from services.licensing.commands.naming import merged_lines, named
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import keys, ledger, orders
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.licensing.store.orders import StoredOrder


class _Reserved(AnswerSchema):
    """The first step says nothing: the number is this order's now."""


@command(
    request=api.EnterOrderRequest,
    answer=api.Order,
    needs=(needs.staff_or_service(SCOPE_WRITE, SCOPE_ORDERS),),
    raises=(
        "licensing.order_empty",
        "licensing.order_exists",
        "licensing.license_type_unknown",
        "licensing.device_type_unknown",
        "devices.malformed_order_number",
        "devices.malformed_id",
        "devices.repeated_in_request",
        "devices.order_changed",
        "devices.in_other_order",
    ),
    emits=("order_entered",),
)
def enter_order(database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient) -> Answer:
    """Enter an order of the vendor and make its activation key, by staff (ACC-10).

    The same order again gets the same answer.
    """
    actor = Actor.of(call)
    catalogue = get_catalogue(database)
    order = VendorOrder.of(catalogue, request)
    # Each step has a command id of its own (rule R2), so that a reused one is told before anything happens.
    run(database, call.derive("enter"), order.values, lambda unit: order.enter(unit, actor), step=_Reserved)
    if order.devices:
        _hand_to_devices(database, call, order, devices)
    fail_point("licensing.order.before_done")
    answer = run(
        database,
        call,
        order.values,
        lambda unit: order.finish(unit, database, catalogue, actor.user_id),
        sealed=True,
    )
    fail_point("licensing.order.after_done")
    return answer


def order_answer(catalogue: Catalogue, row: StoredOrder, *, key: str | None, key_state: str | None) -> Shown:
    """Return an order as answers carry it."""
    return shown(row, licenses=named(catalogue, row.licenses), activation_key=key, activation_key_state=key_state)


class OrderedDevice(TypedDict):
    """A device as devices registers it for an order."""

    hardware_id: str
    type: str
    shipped_on: str
    warranty_months: int


class VendorOrder:
    """One order as entered, checked by itself and against the catalogue."""

    def __init__(
        self,
        number: str,
        customer_name: str,
        customer_reference: str,
        devices: list[dict[str, str]],
        licenses: Mapping[str, int],
        months: Mapping[str, int],
        fingerprint: str | None = None,
    ) -> None:
        self.number = number
        self.customer_name = customer_name
        self.customer_reference = customer_reference
        self.devices = devices
        self.licenses = licenses
        self.months = months
        self.fingerprint = fingerprint or hashlib.sha256(canonical(self.values).encode()).hexdigest()

    @property
    def values(self) -> dict[str, object]:
        """What the order says, as its fingerprint and the claims of its steps know it."""
        return {
            "number": self.number,
            "customer_name": self.customer_name,
            "customer_reference": self.customer_reference,
            "devices": self.devices,
            "licenses": [[license_type, quantity] for license_type, quantity in self.licenses.items()],
        }

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
                    f"{device['hardware_id']} appears in the order twice; name each device once.",
                )
            seen.add(device["hardware_id"])
        licenses = merged_lines(catalogue, request["licenses"])
        return cls(
            _number(request["number"]),
            request["customer_name"],
            request["customer_reference"],
            devices,
            {license_type.id: quantity for license_type, quantity in licenses.items()},
            _warranty_months(catalogue),
        )

    @classmethod
    def of_row(cls, catalogue: Catalogue, row: StoredOrder) -> VendorOrder:
        """Read an order that was entered before."""
        return cls(
            row.number,
            row.customer_name,
            row.customer_reference,
            row.devices,
            dict(row.licenses),
            _warranty_months(catalogue),
            row.fingerprint,
        )

    def for_devices(self) -> list[OrderedDevice]:
        """Return the order's devices as devices takes them."""
        return [
            {
                "hardware_id": device["hardware_id"],
                "type": device["type"],
                "shipped_on": device["shipped_on"],
                "warranty_months": self.months[device["type"]],
            }
            for device in self.devices
        ]

    def enter(self, unit: Unit, actor: Actor) -> Mapping[str, object]:
        """Reserve the number for this very order."""
        fresh = orders.enter(
            unit.connection,
            StoredOrder(
                number=self.number,
                fingerprint=self.fingerprint,
                state=orders.ENTERED,
                customer_name=self.customer_name,
                customer_reference=self.customer_reference,
                devices=self.devices,
                licenses=list(self.licenses.items()),
                key_id=None,
                created_by=actor.user_id,
                created_at=unit.now,
            ),
        )
        if not fresh:
            self._get(unit)
        return {}

    def finish(self, unit: Unit, database: Database, catalogue: Catalogue, user_id: str) -> Shown:
        """Make the key with its contents, or return what the first entry made."""
        row = self._get(unit)
        if row.state == orders.DONE:
            key = reveal_key(unit, database, row.key_id) if row.key_id is not None else None
            state = keys.key_states(unit.connection, [row.key_id]).get(row.key_id) if row.key_id is not None else None
            return order_answer(catalogue, row, key=key, key_state=state)
        key_id, text = None, None
        if self.licenses:
            key_id, text = self._make_key(unit, database, user_id)
        orders.finish(unit.connection, self.number, key_id)
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
        done = replace(row, state=orders.DONE, key_id=key_id)
        return order_answer(catalogue, done, key=text, key_state=keys.OPEN if key_id is not None else None)

    def _make_key(self, unit: Unit, database: Database, user_id: str) -> tuple[str, str]:
        key_id, text = create_key(unit, database, self.licenses, order_number=self.number, created_by=user_id)
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

    def _get(self, unit: Unit) -> StoredOrder:
        row = orders.get(unit.connection, self.number, lock=True)
        if row is None or row.fingerprint != self.fingerprint:
            raise conflict(
                "licensing.order_exists",
                f"The order {self.number} already exists with other contents; use another number, or send it "
                f"unchanged.",
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
            database.write(lambda unit: orders.drop(unit.connection, order.number), call=call)
        raise


def _warranty_months(catalogue: Catalogue) -> dict[str, int]:
    return {model: kind.warranty_months for model, kind in catalogue.device_types.items()}


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
