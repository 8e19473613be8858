"""Slow clients at a running installation (issue 6.3): each listener goes on answering, and who is slow is cut."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.integration.http_client import eventually
from tests.integration.installation import Installation

COUNT = 200
BODY = (
    "{method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 400\r\n"
    "Authorization: Basic YTpi\r\n\r\nemail="
)
HEAD = "{method} HTTP/1.1\r\nHost: loc"
# Where each listener takes a body: its own path makes the difference between two doors on one port.
DOORS = {
    "door": {"method": "POST /v1/sessions", "kind": "application/json"},
    "device door": {"method": "PUT /device/v1/00-90-33-08-20-20/license-return", "kind": "application/x-pem-file"},
    "admin": {"method": "POST /metrics", "kind": "application/json"},
    "portal": {"method": "POST /activate?token=x", "kind": "application/x-www-form-urlencoded"},
}
ANSWER_SECONDS = 2.0

pytestmark = pytest.mark.parametrize("installation", ["embedded"], indirect=True)


def address(installation: Installation, door: str) -> tuple[str, int]:
    base = {"admin": installation.admin_base, "portal": installation.portal}.get(door, installation.base)
    parts = urlsplit(base)
    assert parts.hostname and parts.port
    return parts.hostname, parts.port


@contextmanager
def slow(where: tuple[str, int], data: str, count: int = COUNT) -> Iterator[list[socket.socket]]:
    """Hold so many connections open on which half a request was sent."""
    with ExitStack() as stack:
        held = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(10)
            sock.connect(where)
            with suppress(OSError):  # It may be displaced already.
                sock.sendall(data.encode())
            held.append(sock)
        yield held


@pytest.mark.parametrize("half", [BODY, HEAD, ""], ids=["bodies", "heads", "nothing"])
@pytest.mark.parametrize("door", DOORS)
def test_health_of_every_listener_is_answered_while_200_send_half(
    installation: Installation, door: str, half: str
) -> None:
    with slow(address(installation, door), half.format(**DOORS[door])):
        for _ in range(3):
            for base in (installation.base, installation.admin_base, installation.portal):
                started = time.monotonic()
                answer = requests.get(f"{base}/healthz", timeout=10)
                assert (answer.status_code, time.monotonic() - started < ANSWER_SECONDS) == (200, True), (door, base)
        # Not its health alone.
        assert installation.person().get("/v1/me").status == 401
        assert requests.get(f"{installation.portal}/activate?token=x", timeout=ANSWER_SECONDS).status_code == 200


def test_the_admin_listener_takes_no_body_at_all(installation: Installation) -> None:
    with slow(address(installation, "admin"), BODY.format(**DOORS["admin"]), 1) as (sock,):
        assert sock.recv(65536).split(b" ", 2)[1:2] == [b"405"]


@pytest.mark.parametrize("door", [door for door in DOORS if door != "admin"])
def test_who_sends_half_a_body_is_cut_with_408(installation: Installation, door: str) -> None:
    started = time.monotonic()
    with slow(address(installation, door), BODY.format(**DOORS[door]), 1) as (sock,):
        sock.settimeout(30)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    assert answer.split(b" ", 2)[1:2] == [b"408"], answer[:200]
    # The portal gives a request fifteen seconds, the gateway a body three and a minimum rate after them.
    assert time.monotonic() - started < 20


def test_a_slow_client_is_gone_from_the_process_afterwards(installation: Installation, tmp_path: Path) -> None:
    assert installation.process is not None
    folder = Path(f"/proc/{installation.process.pid}/fd")

    def sockets() -> int:
        return sum("socket:" in str(path.readlink()) for path in list(folder.iterdir()) if path.is_symlink())

    before = sockets()
    with slow(address(installation, "door"), HEAD.format(**DOORS["door"])):
        eventually(lambda: sockets() <= before + 8, "the end of half requests", 40)
