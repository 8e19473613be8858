"""Raw HTTP that no client should send: each gets its refusal, and the gateway lives on."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import eventlet
import pytest

from gateway.limits import Limits
from gateway.tests.conftest import Gateway, make_gateway, parse

POST = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
BODY = b'{"email":"a@example.com","password":"x"}'


@pytest.fixture
def quick() -> Iterator[Gateway]:
    """A gateway whose limits are short enough for a test."""
    made = make_gateway(Limits(seconds=0.6, connections=20, drain_seconds=0.5))
    yield made
    made.server.stop()


def alive(gateway: Gateway) -> bool:
    return gateway.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("chunked", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411),
        ("chunked, broken", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 411),
        ("chunked, cut", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", 411),
        ("length and chunked", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        ("unknown transfer encoding", POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("negative length", POST + b"Content-Length: -1\r\n\r\n", 400),
        ("length no number", POST + b"Content-Length: five\r\n\r\n", 400),
        ("length in arabic digits", POST + "Content-Length: ٥\r\n\r\n".encode() + b"hello", 400),
        ("two logins", GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
        ("two hosts", GET + b"Host: evil.example\r\n\r\n", 400),
        ("nonsense host", b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("more than a port in the host", b"GET /healthz HTTP/1.1\r\nHost: localhost:80@evil.example\r\n\r\n", 421),
        ("more than an address in the host", b"GET /healthz HTTP/1.1\r\nHost: [::1].evil.example\r\n\r\n", 421),
        ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("no host in 1.0", b"GET /healthz HTTP/1.0\r\n\r\n", 421),
        ("absolute target elsewhere", b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        ("huge header", GET + b"X-Big: " + b"a" * 20000 + b"\r\n\r\n", 431),
        ("many headers", GET + b"".join(b"X-%d: aaaaaaaa\r\n" % n for n in range(2000)) + b"\r\n", 431),
        ("huge target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        ("no http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("http/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("control character in a header", GET + b"X-A: a\x00b\r\n\r\n", 400),
        ("blank before the colon", GET + b"Content-Length : 5\r\n\r\nhello", 400),
        ("folded header", GET + b"X-A: b\r\n folded: x\r\n\r\n", 200),
        ("bare line feeds", b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 200),
        ("target without a slash", b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("unknown method", b"BREW /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("path with NUL", b"GET /v1/devices/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
        ("path that is no UTF-8", b"GET /v1/devices/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
        ("dots in the path", b"GET /v1/../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_odd_requests_get_their_refusal(quick: Gateway, name: str, data: bytes, status: int) -> None:
    answer = parse(quick.raw(data, seconds=2))
    assert answer.status == status, (name, answer)
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.body["status"] == status
    assert alive(quick)
    assert quick.rooms.calls == []


def test_a_body_cut_short_is_refused_and_never_taken_for_a_shorter_one(quick: Gateway) -> None:
    answer = parse(quick.raw(POST + b"Content-Length: 400\r\n\r\n" + BODY, half_close=True))
    assert (answer.status, answer.body["code"]) == (400, "request.bad_request")
    assert quick.rooms.calls == []


def test_a_body_that_never_comes_is_given_up(quick: Gateway) -> None:
    started = time.monotonic()
    answer = parse(quick.raw(POST + b"Content-Length: 400\r\n\r\n" + BODY))
    assert (answer.status, answer.body["code"]) == (408, "request.timeout")
    assert time.monotonic() - started < 3


def test_a_request_sent_byte_by_byte_is_given_up_in_total_time(quick: Gateway) -> None:
    started = time.monotonic()
    with quick.connect() as sock:
        try:
            for byte in GET + b"X-Slow: " + b"a" * 100:
                sock.sendall(bytes([byte]))
                eventlet.sleep(0.05)
                if time.monotonic() - started > 4:
                    break
        except OSError:
            pass
        assert time.monotonic() - started < 3
    assert alive(quick)


def test_an_idle_connection_is_closed_without_a_word(quick: Gateway) -> None:
    assert quick.raw(b"", seconds=3) == b""


def test_a_body_over_the_limit_is_refused_and_the_answer_is_read(gateway: Gateway) -> None:
    size = 3 << 20
    answer = parse(gateway.raw(POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size))
    assert (answer.status, answer.body["code"]) == (413, "request.too_large")
    assert answer.headers["connection"] == "close"
    assert gateway.rooms.calls == []


def test_a_body_within_the_limit_is_drained_and_the_connection_goes_on(gateway: Gateway) -> None:
    size = 1 << 20
    data = b"POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    answers = gateway.raw(data + GET + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 404") == 1
    assert answers.count(b"HTTP/1.1 200") == 1


def test_continue_is_sent_only_for_a_body_that_is_wanted(gateway: Gateway) -> None:
    wanted = gateway.raw(POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}")
    assert wanted.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 422" in wanted
    unwanted = POST.replace(b"sessions", b"nowhere") + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert gateway.raw(unwanted).startswith(b"HTTP/1.1 404 ")


def test_two_requests_sent_at_once_are_answered_in_order(gateway: Gateway) -> None:
    answers = gateway.raw(GET + b"\r\n" + GET.replace(b"/healthz", b"/v1/x") + b"Connection: close\r\n\r\n")
    assert answers.index(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 404")


def test_half_open_clients_hold_nobody_up(quick: Gateway) -> None:
    half_open = []
    try:
        for _ in range(60):
            sock = quick.connect()
            sock.sendall(GET[:20])
            half_open.append(sock)
        started = time.monotonic()
        assert alive(quick)
        assert time.monotonic() - started < 0.5
        assert quick.server.connections <= 20
    finally:
        for sock in half_open:
            sock.close()


def test_a_client_that_resets_in_the_middle_harms_nobody(gateway: Gateway) -> None:
    for _ in range(20):
        sock = gateway.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        sock.sendall(POST + b"Content-Length: 400\r\n\r\n" + BODY)
        sock.close()
    eventlet.sleep(0.05)
    assert alive(gateway)


def test_a_client_that_does_not_read_its_answers_is_given_up(quick: Gateway) -> None:
    with quick.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        sock.sendall(request * 200)
        deadline = time.monotonic() + 60
        while quick.server.connections and time.monotonic() < deadline:
            eventlet.sleep(0.05)
        assert not quick.server.connections
    assert alive(quick)


def test_stopping_lets_the_request_in_work_finish() -> None:
    gateway = make_gateway()

    def slow(call: object, arguments: object) -> dict[str, object]:
        eventlet.sleep(0.3)
        return {"items": [], "next": None}

    gateway.rooms.on("projects", "list_projects", slow)
    asking = eventlet.spawn(gateway.ask, "GET", "/v1/projects")
    eventlet.sleep(0.1)
    gateway.server.stop()
    answer = asking.wait()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v1/projects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        b"POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"no request\r\n\r\n",
    ],
)
def test_every_answer_tells_the_time(gateway: Gateway, head: bytes) -> None:
    """RFC 9110 6.6.1: a server with a clock sends Date; also where HTTP itself refuses."""
    told = parse(gateway.raw(head)).headers["date"]
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", told)
    assert abs(parsedate_to_datetime(told) - datetime.now(UTC)) < timedelta(minutes=5)
