"""When the gateway says that it is ready, and whose address it believes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.authentication import Authentication
from gateway.http import HttpServer
from gateway.messages import Request, Response
from gateway.problems import to_response
from gateway.readiness import ROOMS, Readiness
from gateway.tests.conftest import Gateway
from gateway.tests.fakes import FakeRooms, Tokens
from services.chassis.addresses import Networks
from services.chassis.errors import unavailable


def make(pending: Path) -> tuple[FakeRooms, Authentication, Readiness]:
    rooms = FakeRooms()
    authentication = Authentication(rooms, Tokens().verifier.verify)
    authentication.is_ready = True
    return rooms, authentication, Readiness(rooms, authentication, pending)


def test_it_is_ready_when_every_room_has_answered_and_the_demo_world_is_there(tmp_path: Path) -> None:
    pending = tmp_path / "demo.pending"
    pending.touch()
    rooms, authentication, readiness = make(pending)
    authentication.is_ready = False
    assert readiness.missing() == [*ROOMS, "revocations", "demo"]
    rooms.on("history", "ping", unavailable())
    rooms.on("licensing", "ping", {"ready": False})
    readiness.look()
    assert readiness.missing() == ["licensing", "history", "revocations", "demo"]
    rooms.behavior.clear()
    authentication.is_ready = True
    pending.unlink()
    readiness.look()
    assert readiness.missing() == []


def test_a_room_that_restarts_does_not_close_the_door(tmp_path: Path) -> None:
    rooms, _, readiness = make(tmp_path / "demo.pending")
    readiness.look()
    rooms.on("history", "ping", unavailable())
    readiness.look()
    assert readiness.missing() == []
    assert set(readiness.details()) == set(ROOMS)


def test_a_forwarded_address_counts_from_trusted_proxies_only(gateway: Gateway) -> None:
    seen: list[str] = []

    def handler(request: Request) -> Response:
        seen.append(request.address)
        return Response(204)

    for trusted in (Networks({"127.0.0.0/8", "10.0.0.9"}), Networks()):
        server = HttpServer(("127.0.0.1", 0), handler, to_response, trusted_proxies=trusted)
        server.start()
        asking = Gateway(
            gateway.rooms, gateway.tokens, gateway.authentication, gateway.admission, server, gateway.metrics
        )
        asking.ask("GET", "/", headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.0.0.9"})
        asking.ask("GET", "/")
        server.stop()
    assert seen == ["192.0.2.7", "127.0.0.1", "127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("6.6.6.6, 192.0.2.7:50123", "192.0.2.7"),
        ("6.6.6.6, [2001:db8::7]:443", "2001:db8::7"),
        ("192.0.2.7, unknown", "127.0.0.1"),
        ("192.0.2.7, <script>", "127.0.0.1"),
        ("garbage, 10.0.0.9", "10.0.0.9"),
        ("192.0.2.7, 10.0.0.9:81", "192.0.2.7"),
    ],
)
def test_what_is_no_address_is_no_place_of_its_own(gateway: Gateway, text: str, address: str) -> None:
    """Issue 6.2: a proxy that names ports, or passes words of the client on, gave each request a budget of its own."""
    seen: list[str] = []

    def handler(request: Request) -> Response:
        seen.append(request.address)
        return Response(204)

    trusted = Networks({"127.0.0.0/8", "10.0.0.9"})
    server = HttpServer(("127.0.0.1", 0), handler, to_response, trusted_proxies=trusted)
    server.start()
    asking = Gateway(gateway.rooms, gateway.tokens, gateway.authentication, gateway.admission, server, gateway.metrics)
    asking.ask("GET", "/", headers={"X-Forwarded-For": text})
    server.stop()
    assert seen == [address]
