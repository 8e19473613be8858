"""Issue 6.3: `login_failed` carries the address, whichever way somebody tries to log in; never what was typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.accounts.api import EVENTS, Actor, requests
from services.accounts.commands import company_imports, confirmations, exchanges
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_account import with_second_factor
from services.chassis.context import Call
from services.chassis.errors import ServiceError

WRONG = "a mistyped password"
THERE = "198.51.100.23"
OWNER = "ada@example.org"


def log_in(world: World, call: Call, **values: Any) -> None:
    world.login(**{"email": OWNER, "password": WRONG, "client_address": THERE, **values})


def at_the_door(world: World, call: Call, **values: Any) -> None:
    values = {"login": OWNER, "password": WRONG, "client_address": THERE, **values}
    world.do(exchanges.create_device_session, requests.CreateDeviceSessionRequest, **values)


def confirm(world: World, call: Call, **values: Any) -> None:
    schema = requests.ConfirmSessionRequest
    world.do(confirmations.confirm_session, schema, call, **{"password": WRONG, "client_address": THERE, **values})


def import_it(world: World, call: Call, **values: Any) -> None:
    eve = world.admin("eve@example.org", "Eve Ltd")
    values = {"email": OWNER, "password": WRONG, "client_address": THERE, **values}
    world.do(company_imports.import_company, requests.ImportCompanyRequest, eve, **values)


WAYS: list[tuple[str, Callable[..., None], dict[str, Any]]] = [
    ("password", log_in, {}),
    ("password", log_in, {"email": "nobody@example.org"}),
    ("otp", log_in, {"password": PASSWORD, "otp": "000000"}),
    ("not_activated", log_in, {"email": "new@example.org", "password": PASSWORD}),
    ("password", at_the_door, {}),
    ("otp", at_the_door, {"password": PASSWORD}),
    ("token", at_the_door, {"password": "tsk_nobodys"}),
    ("confirmation", confirm, {}),
    ("import", import_it, {}),
    ("import", import_it, {"dry_run": True}),
]


@pytest.mark.parametrize(("reason", "way", "values"), WAYS, ids=[f"{n}-{one[0]}" for n, one in enumerate(WAYS)])
def test_every_wrong_login_tells_where_it_came_from(
    world: World, reason: str, way: Callable[..., None], values: dict[str, Any]
) -> None:
    call = world.admin(OWNER)
    world.register("new@example.org")
    if reason == "otp":
        with_second_factor(world, call)
    for address, told in ((THERE, THERE), ("2001:db8:0:7::99", "2001:db8:0:7::/64"), ("::ffff:192.0.2.9", "192.0.2.9")):
        if way is import_it and address != THERE:
            continue
        with pytest.raises(ServiceError):
            way(world, call, **{**values, "client_address": address})
        event = world.events()[-1]
        assert (event["type"], event["data"]["reason"], event["data"]["address"]) == ("login_failed", reason, told)
        assert EVENTS["login_failed"]().validate(event["data"]) == {}
        owned = values.get("email", OWNER) == OWNER
        assert event["data"]["user_id"] == (Actor.of(call).user_id if owned else None)
        text = json.dumps(event)
        assert not [typed for typed in (WRONG, PASSWORD, "example.org", "tsk_", "000000") if typed in text]


def test_an_attempt_of_a_caller_without_an_address_tells_none(world: World) -> None:
    with pytest.raises(ServiceError):
        world.login("nobody@example.org", WRONG)
    assert world.events()[-1]["data"] == {"user_id": None, "reason": "password", "address": None}
