"""Who sends slowly is cut by the portal, and holds up nobody else (issue 6.3)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from portal import server
from portal.app import Portal

HEAD = b"POST /activate?token=x HTTP/1.1\r\nHost: loc"
BODY = (
    b"POST /activate?token=x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 400\r\n\r\ntoken="
)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 1.0)
    made = server.make_server("127.0.0.1", 0, Portal("http://127.0.0.1:9"))
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made.server_port
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize("half", [HEAD, BODY, b""], ids=["head", "body", "nothing"])
@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "trickling"])
def test_half_a_request_ends_after_its_time(port: int, half: bytes, *, trickles: bool) -> None:
    started = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(half)
        sock.settimeout(0.2)
        while time.monotonic() - started < 4:
            with suppress(TimeoutError):
                if not (part := sock.recv(65536)):
                    break
                answer += part
            if trickles and not answer:
                with suppress(OSError):  # It may be closed already.
                    sock.sendall(b"a")
    assert answer.split(b" ", 2)[1:2] == [b"408"], answer[:200]
    assert 0.9 < time.monotonic() - started < 3


def test_others_are_served_meanwhile(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for sock in slow:
        sock.sendall(HEAD)
    with socket.create_connection(("127.0.0.1", port), 2) as sock:
        sock.settimeout(0.8)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).split(b" ", 2)[1] == b"200"
    for sock in slow:
        sock.close()
