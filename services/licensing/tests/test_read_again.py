"""What was asked before a transaction and decides in it is read again inside (L20): marks, rights, co-holders.

Issue 6.4: each was asked first and booked later; what changed in between was overlooked. Here it changes exactly then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.licensing import access
from services.licensing.commands.events import apply_devices_events, apply_projects_events
from services.licensing.tests.test_keys_and_orders import refused
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World


def told(source: str, type: str, subject: str, **more: Any) -> Event:
    """Return an event as another room tells it."""
    return Event(id=new_id(), source=source, type=type, time=datetime.now(UTC), subject=subject, sequence=1, **more)


def hear(world: World, event: Event) -> None:
    """Apply an event as the subscription does."""
    handler = apply_devices_events if event.source == "devices" else apply_projects_events
    world.database.write(lambda unit: handler(unit, [event]))


def between(world: World, monkeypatch: pytest.MonkeyPatch, event: Callable[[], Event], *, times: int = 1) -> None:
    """Let an event be heard right after devices has been asked, and before anything is booked."""
    left = [times]
    for name in ("get_device_facts", "find_device"):
        ask = getattr(world.devices, name)

        def asked(call: Any, ask: Any = ask, **request: Any) -> Any:
            answer = ask(call, **request)
            if left[0]:
                left[0] -= 1
                hear(world, event())
            return answer

        monkeypatch.setattr(type(world.devices), name, lambda _, call, asked=asked, **request: asked(call, **request))


def marked(hardware_id: str, type: str = "device_marked_rma") -> Event:
    return told("devices", type, hardware_id, hardwareid=hardware_id, data={"hardware_id": hardware_id})


@pytest.mark.parametrize("what", ["assign", "floating", "file", "certificate"])
def test_a_device_marked_rma_in_between_gets_nothing(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    world.stock({"port8": 20})
    device = world.device()
    thing = Thing(world, device)
    world.assign(device, {"port8": 5})
    before = world.events()
    between(world, monkeypatch, lambda: marked(thing.hardware_id), times=9)
    works: dict[str, Callable[[], Any]] = {
        "assign": lambda: world.assign(device, {"port8": 5}),
        "floating": lambda: world.ask("set_floating", world.admin(), device_id=device, version=7),
        "file": thing.file,
        "certificate": thing.certify,
    }
    refused("service.unavailable", works[what])
    assert world.events() == before
    assert world.balance() == {"port8": 15}


def test_the_repetition_gets_the_refusal_of_the_mark_and_a_mark_taken_off_opens_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stock({"port8": 20})
    device, call = world.device(), world.admin()
    hardware_id = world.devices.records[device].hardware_id
    between(world, monkeypatch, lambda: marked(hardware_id))
    refused("service.unavailable", world.assign, device, {"port8": 5}, call)
    world.devices.mark_rma(hardware_id)
    refused("licensing.device_rma", world.assign, device, {"port8": 5}, call)
    world.devices.mark_rma(hardware_id, rma=False)
    hear(world, marked(hardware_id, "device_unmarked_rma"))
    world.assign(device, {"port8": 5})


def test_a_marked_device_still_gives_back(world: World) -> None:
    world.stock({"port8": 20})
    device = world.device()
    thing = Thing(world, device)
    line = world.assign(device, {"port8": 5})["licenses"][0]["id"]
    world.assign(device, {"port8": 5})
    hear(world, marked(thing.hardware_id))
    world.ask("take_back", world.admin(), device_id=device, line_id=line)
    hear(world, marked(thing.hardware_id, "device_unmarked_rma"))
    file = thing.file()
    hear(world, marked(thing.hardware_id))
    thing.give_up(file)
    assert world.balance() == {"port8": 20}


@pytest.mark.parametrize("what", ["assign", "floating", "file", "return"])
def test_a_guest_whose_right_ended_in_between_books_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    guest, device = new_id(), world.device()
    world.stock({"port8": 20})
    world.devices.share(world.home, guest)
    world.projects.let(world.home, guest)
    thing = Thing(world, device)
    world.assign(device, {"port8": 5})
    file = thing.file() if what == "return" else {}
    caller = make_call(company=guest, role="admin")
    data = {"guest_company_id": guest, "owner_company_id": world.company, "project_id": world.home, "name": "Home"}
    ended = told("projects", "project_right_removed", world.home, projectid=world.home, companyid=guest, data=data)
    granted = told("projects", "project_right_granted", world.home, projectid=world.home, companyid=guest, data=data)
    works: dict[str, Callable[[], Any]] = {
        "assign": lambda: world.assign(device, {"port8": 5}, caller),
        "floating": lambda: world.ask("set_floating", caller, device_id=device, version=7),
        "file": lambda: thing.file(caller),
        "return": lambda: thing.give_up(file, caller),
    }
    between(world, monkeypatch, lambda: ended)
    refused("service.unavailable", works[what])
    assert world.balance() == {"port8": 15}
    hear(world, granted)
    # The right holds again; what else is in the way of this guest is another matter.
    with_right = outcome(works[what])
    assert with_right != "service.unavailable"


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except ServiceError as refusal:
        return refusal.code
    return "done"


def test_a_guest_whose_right_ended_in_between_adds_no_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = new_id()
    world.projects.let(world.home, guest)
    key = world.order_key({"port8": 5})
    data = {"guest_company_id": guest, "owner_company_id": world.company, "project_id": world.home, "name": "Home"}
    ended = told("projects", "project_right_removed", world.home, projectid=world.home, companyid=guest, data=data)
    look = access.get_project

    def looked(*arguments: Any) -> Any:
        found = look(*arguments)
        hear(world, ended)
        return found

    monkeypatch.setattr(access, "get_project", looked)
    caller = make_call(company=guest, role="admin")
    refused("service.unavailable", world.ask, "activate_key", caller, project_id=world.home, key=key)
    assert world.balance() == {}


@pytest.mark.parametrize("change", ["archived", "passed"])
def test_a_source_that_was_archived_or_changed_hands_in_between_pays_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    other, device = world.project("Other"), world.device()
    world.stock({"port8": 20}, other)
    state, owner = ("archived", world.company) if change == "archived" else ("open", new_id())
    look = access.own_projects

    def looked(*arguments: Any) -> Any:
        found = look(*arguments)
        data = {"project_id": other, "name": "Other", "state": state, "version": 2}
        hear(world, told("projects", "project_changed", other, projectid=other, companyid=owner, data=data))
        return found

    monkeypatch.setattr(access, "own_projects", looked)
    refused("service.unavailable", world.assign, device, {"port8": 5}, sources=[other])
    assert world.installed(device) == {}


def test_a_co_holder_that_came_in_between_is_seen(world: World) -> None:
    device = world.device()
    record = world.devices.records[device]
    facts = access.Device.of_answer(world.devices.get_device_facts(world.admin(), device_id=device))
    assert not world.database.read(lambda connection: access.held_by_others(connection, facts))
    whose = {"deviceid": new_id(), "hardwareid": record.hardware_id, "companyid": new_id()}
    other = told("devices", "device_added", new_id(), data={}, **whose)
    hear(world, other)
    assert world.database.read(lambda connection: access.held_by_others(connection, facts))
