"""The bus of a fleet, by a plain AMQP client: whoever gets onto it is nobody without a token of accounts (rule S5).

The embedded default has no bus that anybody could get onto.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.declared import OF_ROUTE, Right
from tests.integration.tenancy.people import StolenKey, claims_of, forge
from tests.integration.tenancy.world import World

ROOMS = ("accounts", "projects", "devices", "licensing", "history")
# What rooms ask each other, behind every check of the gateway.
AMONG_ROOMS = {
    "accounts": ("get_names", "find_companies_by_email", "renew_token"),
    "projects": ("get_access", "ensure_default"),
    "devices": ("get_device_facts", "find_device", "find_devices", "register_production"),
    "licensing": (),
    "history": (),
}

pytestmark = pytest.mark.parametrize("installation", ["fleet"], indirect=True)


class Bus:
    """A plain client that calls methods as nameko's own would."""

    def __init__(self, folder: Path) -> None:
        uri = urlsplit(json.loads((folder / "environment.json").read_text())["TESSERA_AMQP_URI"])
        self.connection = amqp.Connection(
            f"{uri.hostname}:{uri.port}",
            unquote(uri.username or "guest"),
            unquote(uri.password or "guest"),
            virtual_host=unquote(uri.path[1:]) or "/",
        )
        self.connection.connect()
        self.channel = self.connection.channel()
        self.replies: dict[str, Any] = {}
        self.channel.basic_consume("amq.rabbitmq.reply-to", no_ack=True, callback=self._keep)

    def _keep(self, message: Any) -> None:
        self.replies[message.properties["correlation_id"]] = json.loads(message.body)

    def call(self, room: str, method: str, token: str | None, **arguments: Any) -> dict[str, Any]:
        """Return the reply to a call."""
        correlation = str(uuid.uuid4())
        headers: dict[str, Any] = {"nameko.deadline": time.time() + 10, "nameko.command_id": correlation}
        if token is not None:
            headers["nameko.token"] = token
        message = amqp.Message(
            json.dumps({"args": [], "kwargs": arguments}),
            content_type="application/json",
            content_encoding="utf-8",
            reply_to="amq.rabbitmq.reply-to",
            correlation_id=correlation,
            application_headers=headers,
        )
        self.channel.basic_publish(message, exchange="nameko-rpc", routing_key=f"{room}.{method}")

        def replied() -> bool:
            if correlation not in self.replies:
                self.connection.drain_events(timeout=10)
            return correlation in self.replies

        eventually(replied, f"the reply of {room}.{method}", 10)
        reply: dict[str, Any] = self.replies.pop(correlation)
        return reply


@pytest.fixture
def bus(installation: Installation) -> Iterator[Bus]:
    """A client on the fleet's broker, with the fleet's own login."""
    made = Bus(installation.folder)
    yield made
    made.connection.close()


def code_of(reply: dict[str, Any]) -> str:
    """Return the code of a refused call."""
    assert reply["result"] is None, reply
    code: str = reply["error"]["exc_args"][1]
    return code


@pytest.mark.parametrize("room", ROOMS)
def test_a_forged_token_is_refused_by_every_method_of_a_room(room: str, world: World, bus: Bus) -> None:
    key, now = StolenKey(world.installation.folder), int(time.time())
    claims = {**claims_of(world.staff.tokens["access_token"]), "iat": now, "exp": now + 900}
    good = world.staff.tokens["access_token"]
    tokens = {
        "token.missing": (None, ""),
        "token.expired": (key.sign({**claims, "exp": now - 60}),),
        "token.invalid": (
            "nonsense", f"{good[:-8]}AAAAAAAA", forge(claims, ed25519.Ed25519PrivateKey.generate(), key.kid),
            key.sign({**claims, "aud": "elsewhere"}), key.sign({**claims, "iss": "elsewhere"}),
            key.sign(claims, typ="JWT"),
        ),
    }  # fmt: skip
    rows = OF_ROUTE.values()
    closed = {row.rpc for row in rows if row.service == room and row.right is not Right.NONE} | set(AMONG_ROOMS[room])
    closed -= {row.rpc for row in rows if row.right is Right.NONE}
    assert closed
    for method in sorted(closed):
        for code, wrong in tokens.items():
            for token in wrong:
                assert code_of(bus.call(room, method, token, user_id="x", staff=True)) == code, (method, token)


def test_a_token_of_a_stranger_gets_past_the_gateway_and_no_further(world: World, bus: Bus) -> None:
    """The rooms decide about objects themselves, so that the gateway's checks are not the only ones."""
    token, things = world.stranger.tokens["access_token"], world.things
    asked: dict[tuple[str, str], dict[str, Any]] = {
        ("projects", "get_access"): {"project_id": things["project"]},
        ("projects", "get_project"): {"project_id": things["project"]},
        ("devices", "get_device_facts"): {"device_id": things["device"]},
        ("devices", "find_device"): {"hardware_id": things["certified hardware"]},
        ("licensing", "list_device_licenses"): {"device_id": things["device"]},
        ("licensing", "get_license_file"): {"serial": things["serial of certified"]},
        ("history", "list_history"): {"context": "company", "id": things["company"]},
    }
    for (room, method), arguments in asked.items():
        assert code_of(bus.call(room, method, token, **arguments)).endswith("not_found"), (room, method)
    of_staff: dict[tuple[str, str], dict[str, Any]] = {
        ("accounts", "update_user_staff"): {"user_id": things["user"], "staff": True},
        ("accounts", "list_users_staff"): {},
        ("licensing", "list_orders"): {},
        ("devices", "register_production"): {"order_number": "X-1", "devices": []},
    }
    # What changes who is who asks for a login of the last ten minutes first, and the run may be older than that.
    stranger = world.stranger
    token = Person(stranger.base).login(stranger.tokens["user"]["email"], stranger.password).tokens["access_token"]
    for (room, method), arguments in of_staff.items():
        assert code_of(bus.call(room, method, token, **arguments)) == "accounts.staff_needed", method


def test_a_token_that_may_only_read_writes_nothing_on_the_bus_either(world: World, bus: Bus) -> None:
    claims = claims_of(world.owner.tokens["access_token"]) | {"scopes": ["read"]}
    token, device = StolenKey(world.installation.folder).sign(claims), {"device_id": world.things["device"]}
    writes: dict[tuple[str, str], dict[str, Any]] = {
        ("devices", "update_device"): {**device, "comment": "x"},
        ("licensing", "assign_licenses"): {**device, "licenses": [{"license_type": "port8", "quantity": 1}]},
        ("projects", "update_project"): {"project_id": world.things["project"], "name": "x"},
        ("accounts", "update_company"): {"name": "x"},
    }
    for (room, method), arguments in writes.items():
        assert code_of(bus.call(room, method, token, **arguments)) == "accounts.scope_needed", method
