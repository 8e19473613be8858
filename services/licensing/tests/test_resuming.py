"""Orders that were left half-way go on by a timer, and no passing error takes one for refused (L8, L21)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict
from services.chassis.ids import new_id
from services.licensing.commands import resuming
from services.licensing.models import Order
from services.licensing.service import SECONDS_BETWEEN_LOOKS, LicensingService
from services.licensing.tests.test_keys_and_orders import DEVICES, order, refused
from services.licensing.tests.world import World


def leave_half_way(world: World, monkeypatch: pytest.MonkeyPatch, error: ServiceError, **changes: Any) -> None:
    """Enter an order whose step at devices ends so."""

    def lost(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(world.devices), "register_production", lost)
        refused(error.code, order, world, **changes)


def state(world: World, number: str = "4711") -> str:
    return str(world.ask("get_order", world.staff(), number=number)["state"])


def age(world: World, seconds: int = 61) -> None:
    """Let orders have been entered a while ago."""
    old = datetime.now(UTC) - timedelta(seconds=seconds)
    world.database.write(lambda unit: unit.execute(sa.update(Order).values(created_at=old)))


def settle(world: World, refusal: str | None = None, fingerprint: str | None = None) -> None:
    """Let devices tell how it went."""
    [(_, data), *_] = world.told("order_resumed")
    answer = {"number": data["number"], "fingerprint": fingerprint or data["fingerprint"], "refusal": refusal}
    event = Event(new_id(), "devices", "order_devices_settled", datetime.now(UTC), data["number"], 1, answer)
    world.database.write(lambda unit: resuming.apply_devices_events(world.database, unit, [event]))


def test_in_progress_at_devices_is_no_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.4: the order was forgotten, though devices was at work on it and registered its devices."""
    leave_half_way(world, monkeypatch, conflict("idempotency.in_progress", "The first request still runs."))
    assert state(world) == "entered"
    assert order(world)["state"] == "done"


def test_what_goes_on_by_itself_is_driven_by_a_timer() -> None:
    """The run that kills orders at each step (`make faults`) waits for it too, but is not part of every change."""
    for name in ("resume_orders", "settle_abandoned_deletions"):
        (entrypoint,) = getattr(LicensingService, name).nameko_entrypoints
        assert (type(entrypoint).__name__, entrypoint.interval) == ("Timer", SECONDS_BETWEEN_LOOKS)


def test_an_order_left_half_way_goes_on_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.4: a killed order stayed `entered` until somebody entered it again."""
    leave_half_way(world, monkeypatch, ServiceError("unavailable", "service.unavailable"))
    assert resuming.resume_orders(world.database) == 0
    age(world)
    assert resuming.resume_orders(world.database) == 1
    # Told once; again only after ten minutes.
    assert resuming.resume_orders(world.database) == 0
    [(company, data)] = world.told("order_resumed")
    assert company is None
    assert [device["hardware_id"] for device in data["devices"]] == ["00-90-33-08-20-20", "00-90-33-24-20-20"]
    assert all(device["warranty_months"] > 0 for device in data["devices"])

    settle(world, fingerprint="of another order under this number")
    assert state(world) == "entered"
    settle(world)
    assert state(world) == "done"
    settle(world)
    assert [name for name, _ in world.events()] == ["order_resumed", "order_entered"]
    assert order(world)["activation_key"]
    world.check()


def test_an_order_without_devices_is_finished_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("services.licensing.commands.orders.VendorOrder.finish", _fail)
        refused("service.unavailable", order, world, devices=[])
    age(world)
    assert resuming.resume_orders(world.database) == 1
    assert state(world) == "done"
    assert world.told("order_resumed") == []


def test_an_order_that_devices_refuses_after_all_is_forgotten_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_half_way(world, monkeypatch, ServiceError("unavailable", "service.unavailable"))
    age(world)
    resuming.resume_orders(world.database)
    settle(world, "devices.in_other_order")
    refused("licensing.order_not_found", world.ask, "get_order", world.staff(), number="4711")
    assert world.told("order_refused") == [(None, {"number": "4711", "code": "devices.in_other_order"})]
    assert order(world, devices=DEVICES[:1])["state"] == "done"


def _fail(*_: Any, **__: Any) -> Any:
    raise ServiceError("unavailable", "service.unavailable")
