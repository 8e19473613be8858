"""Clients that send or read slowly, by the hundred (issue 6.3): they hold up themselves, and health always answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import eventlet
import pytest

from gateway.admission import Admission
from gateway.crowd import Crowd
from gateway.limits import Limits
from gateway.tests.conftest import Gateway, make_gateway, parse

HALF_BODY = (
    b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 400\r\n\r\n{"email":"a@'
)
HALF_HEAD = b"POST /v1/sessions HTTP/1.1\r\nHost: loc"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def fresh() -> Iterator[Gateway]:
    """A gateway with the limits of production, for one test alone."""
    made = make_gateway()
    yield made
    made.server.stop()


@contextmanager
def flood(gateway: Gateway, count: int, data: bytes, rcvbuf: int = 0) -> Iterator[list[socket.socket]]:
    """Hold so many connections open on which something was sent."""
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            if rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            sock.settimeout(5)
            sock.connect(("127.0.0.1", gateway.server.port))
            with suppress(OSError):  # It may be displaced by the next one already, which is the point.
                sock.sendall(data)
            sockets.append(sock)
        eventlet.sleep(0.1)
        yield sockets


def served(gateway: Gateway) -> None:
    """Fail unless a normal client and health are answered at once."""
    for method, path, body in (
        ("GET", "/v1/projects", None),
        ("PATCH", "/v1/me", {"forename": "Ada"}),
        ("GET", "/healthz", None),
    ):
        started = time.monotonic()
        answer = gateway.ask(method, path, body)
        assert answer.status < 500, answer
        # Without its protections the gateway stands still for 15 s; a crowded machine is slow by itself.
        assert time.monotonic() - started < 5.0


@pytest.mark.parametrize("count", [64, 200, 400])
@pytest.mark.parametrize("data", [HALF_BODY, HALF_HEAD, b""], ids=["bodies", "heads", "nothing"])
def test_half_requests_hold_up_nobody(fresh: Gateway, count: int, data: bytes) -> None:
    """Issue 6.3: 64 half-sent bodies stopped the gateway for 15 s, 200 stopped /healthz."""
    with flood(fresh, count, data):
        for _ in range(3):
            served(fresh)
        assert fresh.admission.working == 0
        assert fresh.server.connections <= 200


def test_a_flood_that_goes_on_holds_up_nobody(fresh: Gateway) -> None:
    stop: list[bool] = []

    def attack() -> None:
        held = []
        while not stop:
            sock = fresh.connect()
            sock.sendall(HALF_BODY)
            held.append(sock)
            eventlet.sleep(0.002)
        for sock in held:
            sock.close()

    attacker = eventlet.spawn(attack)
    try:
        for _ in range(30):
            served(fresh)
            eventlet.sleep(0.03)
    finally:
        stop.append(True)
        attacker.wait()


def test_clients_that_do_not_read_their_answers_hold_up_nobody(fresh: Gateway) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with flood(fresh, 250, request * 20, rcvbuf=4096):
        served(fresh)


def test_a_body_comes_at_a_minimum_rate() -> None:
    made = make_gateway(Limits(body_grace_seconds=0.5, body_rate=1000, drain_seconds=0.3))
    try:
        started = time.monotonic()
        answer = parse(made.raw(HALF_BODY))
        assert (answer.status, answer.body["code"]) == (408, "request.timeout")
        assert time.monotonic() - started < 2
        assert "of 400 bytes" in answer.body["detail"]
        # Ten bytes every 0.1 s never stop, and are too few.
        started = time.monotonic()
        with made.connect() as sock:
            sock.sendall(HALF_BODY.replace(b"400", b"40000"))
            try:
                while time.monotonic() - started < 4:
                    sock.sendall(b"x" * 10)
                    eventlet.sleep(0.1)
            except OSError:
                pass
        assert time.monotonic() - started < 2
        # A slow client within the rate is taken.
        with made.connect() as sock:
            body = b'{"email":"a@example.com","password":"' + b"x" * 60 + b'"}'
            sock.sendall(HALF_BODY.partition(b"400")[0] + b"%d\r\nConnection: close\r\n\r\n" % len(body))
            for byte in range(0, len(body), 10):
                sock.sendall(body[byte : byte + 10])
                eventlet.sleep(0.03)
            assert parse(sock.recv(65536)).status == 201
    finally:
        made.server.stop()


def test_a_request_that_waits_for_its_body_has_no_place_and_who_is_nobody_sends_none() -> None:
    made = make_gateway(admission=Admission(working=1, waiting=0))
    try:
        with flood(made, 5, HALF_BODY):
            served(made)
        nobody = HALF_BODY.replace(b"/v1/sessions", b"/v1/companies")
        assert parse(made.raw(nobody, seconds=1)).body["code"] == "token.missing"
    finally:
        made.server.stop()


def test_health_answers_while_every_connection_is_at_work() -> None:
    made = make_gateway(Limits(connections=4, connections_aside=2))

    def slow(call: object, arguments: object) -> dict[str, object]:
        eventlet.sleep(1.5)
        return {"items": [], "next": None}

    made.rooms.on("projects", "list_projects", slow)
    try:
        asking = [eventlet.spawn(made.ask, "GET", "/v1/projects") for _ in range(4)]
        eventlet.sleep(0.2)
        with flood(made, 10, HALF_HEAD):
            assert parse(made.raw(HEALTH)).status == 200
            busy = made.ask("GET", "/v1/projects")
            assert (busy.status, busy.body["code"], busy.headers["connection"]) == (503, "service.overloaded", "close")
            assert busy.headers["retry-after"]
        assert [thread.wait().status for thread in asking] == [200] * 4
    finally:
        made.server.stop()


# --- who makes room ---------------------------------------------------------------------------------------------------


class Someone:
    """A connection as the crowd sees it."""

    def __init__(self, address: str, waiting_since: float | None = None) -> None:
        self.address = address
        self.waiting_since = waiting_since
        self.is_aside = False
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def crowded(*members: Someone, most: int = 4, of_address: int = 3, proxies: tuple[str, ...] = ()) -> Crowd:
    crowd = Crowd(most, of_address, 1, proxies)
    for member in members:
        crowd.enter(member)
    return crowd


def test_the_longest_waiting_of_the_fullest_address_makes_room() -> None:
    few, busy = Someone("10.0.0.1", 1.0), Someone("10.0.0.2")
    many = [Someone("10.0.0.2", 3.0), Someone("10.0.0.2", 2.0)]
    crowd = crowded(few, busy, *many)
    newcomer = Someone("10.0.0.3", 9.0)
    crowd.enter(newcomer)
    assert [m.is_cut for m in (few, busy, *many, newcomer)] == [False, False, False, True, False]
    assert newcomer in crowd.members


def test_an_address_has_a_bound_of_its_own_and_only_its_own_make_room() -> None:
    own = [Someone("2001:db8::1", 5.0), Someone("2001:db8::2", 6.0), Someone("2001:db8:0:0:ffff::3")]
    crowd = crowded(*own, most=10)
    other = Someone("2001:db8:0:1::1", 1.0)
    crowd.enter(other)
    crowd.enter(Someone("2001:db8::4", 7.0))
    assert [m.is_cut for m in (*own, other)] == [True, False, False, False]
    working = [Someone("10.0.0.1") for _ in range(3)]
    for member in working:
        crowd.enter(member)
    late = Someone("10.0.0.1")
    crowd.enter(late)
    assert late.is_aside


def test_users_behind_a_proxy_are_counted_by_their_own_address() -> None:
    behind = [Someone("192.0.2.1") for _ in range(20)]
    crowd = crowded(*behind, most=30, proxies=("192.0.2.1",))
    assert not any(member.is_aside or member.is_cut for member in behind)
    stays: list[bool] = []
    for member in behind[:4]:
        member.address = "203.0.113.7"
        stays.append(crowd.recognized(member))
    assert stays == [True, True, True, False]
    behind[4].address = "203.0.113.8"
    assert crowd.recognized(behind[4])
