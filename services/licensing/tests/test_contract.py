"""The contract that the room and its double both keep: the same requests get the same answers and refusals."""

from __future__ import annotations

from typing import Any, Protocol, cast

import pytest

from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.devices.api import DevicesClient
from services.licensing.fake import FakeLicensing
from services.licensing.tests.world import World


class Asks(Protocol):
    """Asks licensing: by name of the call, with the caller and the body."""

    def __call__(self, name: str, call: Any, **body: Any) -> dict[str, Any]: ...


@pytest.fixture(params=["room", "double"])
def ask(request: pytest.FixtureRequest, world: World) -> Asks:
    """Ask the real room, then its double, over the same neighbors."""
    if request.param == "room":
        return world.ask
    double = FakeLicensing(cast("DevicesClient", world.devices), world.projects)
    return lambda name, call, **body: getattr(double, name)(call, **body)


def lines(**licenses: int) -> list[dict[str, Any]]:
    return [{"license_type": name.replace("_", "-"), "quantity": quantity} for name, quantity in licenses.items()]


def code_of(ask: Asks, name: str, call: Any, **body: Any) -> str:
    with pytest.raises(ServiceError) as refusal:
        ask(name, call, **body)
    return refusal.value.code


def key_of(ask: Asks, world: World, **licenses: int) -> str:
    answer = ask("enter_order", world.staff(), number=f"N-{new_id()}", licenses=lines(**licenses))
    return str(answer["activation_key"])


def quantities(items: list[dict[str, Any]]) -> dict[str, int]:
    return {item["license_type"]: item["quantity"] for item in items}


def test_orders(ask: Asks, world: World) -> None:
    body = {"number": "A1", "licenses": lines(port8=3)}
    answer = ask("enter_order", world.staff(), **body)
    assert answer["state"] == "done"
    assert answer["licenses"] == [{"license_type": "port8", "name": "PORT8", "quantity": 3}]
    assert ask("enter_order", world.staff(), **body)["activation_key"] == answer["activation_key"]
    assert code_of(ask, "enter_order", world.staff(), number="A1", licenses=lines(port8=4)) == "licensing.order_exists"
    assert code_of(ask, "enter_order", world.staff(), number="A2") == "licensing.order_empty"
    assert code_of(ask, "enter_order", world.admin(), **body) == "accounts.staff_needed"
    unknown = lines(port7=1)
    assert code_of(ask, "enter_order", world.staff(), number="A3", licenses=unknown) == "licensing.license_type_unknown"


def test_keys_and_balance(ask: Asks, world: World) -> None:
    key = key_of(ask, world, port8=20, fax8=2)
    rehearsed = ask("activate_key", world.admin(), project_id=world.home, key=key, dry_run=True)
    assert rehearsed["id"] is None
    assert ask("get_balance", world.admin(), project=world.home)["items"] == []
    added = ask("activate_key", world.admin(), project_id=world.home, key=key.lower())
    assert added["licenses"] == rehearsed["licenses"]
    balance = ask("get_balance", world.admin())
    assert quantities(balance["items"]) == {"port8": 20, "fax8": 2}
    assert balance["items"][0]["projects"] == [{"id": world.home, "name": "Home", "quantity": 20}]
    again = {"project_id": world.home, "key": key}
    assert code_of(ask, "activate_key", world.admin(), **again) == "licensing.key_used"
    assert code_of(ask, "activate_key", world.admin(), **{**again, "key": "0"}) == "licensing.key_mistyped"
    unknown = {**again, "key": "00000-00000-00000-00000-00001"}
    assert code_of(ask, "activate_key", world.admin(), **unknown) == "licensing.key_unknown"
    assert code_of(ask, "activate_key", world.admin(), **{**again, "project_id": new_id()}) == "projects.not_found"
    assert code_of(ask, "get_balance", world.admin(), project=new_id()) == "projects.not_found"


def test_assignments(ask: Asks, world: World) -> None:
    other = world.project("Other")
    for project, quantity in ((world.home, 5), (other, 7)):
        ask("activate_key", world.admin(), project_id=project, key=key_of(ask, world, port8=quantity))
    device = world.device()
    body = {"device_id": device, "licenses": lines(port8=8)}
    with pytest.raises(ServiceError) as refusal:
        ask("assign_licenses", world.admin(), **body)
    assert refusal.value.code == "licensing.insufficient_balance"
    (shortage,) = refusal.value.extra["shortages"]
    assert (shortage["license_type"], shortage["missing"]) == ("port8", 3)
    assert {"id": other, "name": "Other", "available": 7} in shortage["projects"]
    rehearsed = ask("assign_licenses", world.admin(), **body, sources=[other], dry_run=True)
    answer = ask("assign_licenses", world.admin(), **body, sources=[other])
    assert [{**line, "id": None} for line in answer["licenses"]] == rehearsed["licenses"]
    assert [(share["id"], share["quantity"]) for share in answer["drawn"]] == [(world.home, 5), (other, 3)]
    shown = ask("list_device_licenses", world.admin(), device_id=device)
    assert quantities(shown["items"]) == {"port8": 8}
    assert quantities(ask("get_balance", world.admin())["items"]) == {"port8": 4}
    line = {"device_id": device, "line_id": answer["licenses"][0]["id"]}
    taken = ask("take_back", world.admin(), **line)
    assert quantities(taken["licenses"]) == {"port8": 8}
    assert {(share["id"], share["quantity"]) for share in taken["credited"]} == {(world.home, 5), (other, 3)}
    assert code_of(ask, "take_back", world.admin(), **line) == "licensing.line_not_found"
    assert quantities(ask("get_balance", world.admin())["items"]) == {"port8": 12}


def test_refused_assignments(ask: Asks, world: World) -> None:
    ask("activate_key", world.admin(), project_id=world.home, key=key_of(ask, world, port8=5, voicemail7_100=1))
    device, phone = world.device(), world.device("IP110")
    cases = [
        (world.admin(), {"device_id": device, "licenses": lines(voicemail7_100=1)}, "licensing.rule_violated"),
        (world.admin(), {"device_id": phone, "licenses": lines(port8=1)}, "licensing.rule_violated"),
        (world.admin(), {"device_id": device, "licenses": lines(port7=1)}, "licensing.license_type_unknown"),
        (world.admin(), {"device_id": new_id(), "licenses": lines(port8=1)}, "devices.device_not_found"),
        (world.admin(company=new_id()), {"device_id": device, "licenses": lines(port8=1)}, "devices.device_not_found"),
        (world.staff(), {"device_id": device, "licenses": lines(port8=1)}, "access.power_needed"),
    ]
    for call, body, code in cases:
        assert code_of(ask, "assign_licenses", call, **body) == code
    world.devices.mark_rma(world.devices.records[device].hardware_id)
    marked = {"device_id": device, "licenses": lines(port8=1)}
    assert code_of(ask, "assign_licenses", world.admin(), **marked) == "licensing.device_rma"
    assert quantities(ask("get_balance", world.admin())["items"]) == {"voicemail7-100": 1, "port8": 5}
