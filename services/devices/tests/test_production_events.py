"""Devices of orders that licensing takes up again are registered by event, each once (L8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.devices.commands import production
from services.devices.tests.conftest import Room

LINE = {"hardware_id": "00-90-33-08-20-20", "type": "IP6000", "shipped_on": "2026-03-02", "warranty_months": 24}


def resume(room: Room, number: str, *devices: dict[str, Any]) -> dict[str, Any]:
    """Tell devices of an order that goes on; returns what it answers."""
    data = {"number": number, "fingerprint": "f", "devices": list(devices)}
    event = Event(new_id(), "licensing", "order_resumed", datetime.now(UTC), number, 1, data)
    room.database.write(lambda unit: production.apply_order_events(unit, [event]))
    [*_, settled] = [event for event in room.events() if event["type"] == "order_devices_settled"]
    answer: dict[str, Any] = settled["data"]
    return answer


def registered(room: Room) -> int:
    return sum(event["type"] == "production_registered" for event in room.events())


def test_an_order_that_goes_on_is_registered_once(empty_room: Room) -> None:
    assert resume(empty_room, "4711", LINE) == {"number": "4711", "fingerprint": "f", "refusal": None}
    assert resume(empty_room, "4711", LINE)["refusal"] is None
    assert registered(empty_room) == 1
    again = empty_room.register_production(make_call(staff=True), order_number="4711", devices=[LINE])
    assert [item["hardware_id"] for item in again["items"]] == [LINE["hardware_id"]]
    assert registered(empty_room) == 1


@pytest.mark.parametrize(
    ("number", "lines", "code"),
    [
        ("4712", [LINE], "devices.in_other_order"),
        ("4711", [{**LINE, "type": "IP110"}], "devices.order_changed"),
    ],
)
def test_a_refusal_leaves_nothing_and_is_told(empty_room: Room, number: str, lines: list[Any], code: str) -> None:
    resume(empty_room, "4711", LINE)
    assert resume(empty_room, number, *lines)["refusal"] == code
    assert registered(empty_room) == 1
    # The number that was refused is free.
    other = {**LINE, "hardware_id": "00-90-33-08-20-21"}
    assert resume(empty_room, "4712", other)["refusal"] is None
