"""A whole gateway without rooms: real listener, real routes, rooms and tokens by doubles."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.admission import Admission
from gateway.authentication import Authentication
from gateway.codes import all_codes
from gateway.handler import Handler
from gateway.http import HttpServer
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pages import HEALTH, pages
from gateway.problems import to_response
from gateway.revocations import Revocations
from gateway.router import Router
from gateway.routes import ROWS
from gateway.tests.fakes import FakeRooms, Tokens
from tests.openapi.watch import look


@dataclass
class Answer:
    """One HTTP answer as it came over the socket."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """Return the JSON body."""
        return json.loads(self.content)


@dataclass
class Gateway:
    """A running gateway and what stands behind it."""

    rooms: FakeRooms
    tokens: Tokens
    authentication: Authentication
    admission: Admission
    server: HttpServer
    metrics: Metrics
    host: str = "localhost"
    limits: Limits = field(default_factory=Limits)

    def connect(self, seconds: float = 5.0) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=seconds)

    def raw(self, data: bytes, *, half_close: bool = False, seconds: float = 5.0) -> bytes:
        """Send bytes as they are and return all that comes until the server closes or is silent."""
        with self.connect(seconds) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            parts = []
            try:
                while part := sock.recv(65536):
                    parts.append(part)
            except (TimeoutError, ConnectionResetError):
                pass
            return b"".join(parts)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request; as the company's admin unless a token, or None for nobody, is given."""
        lines = {"Host": self.host, "Connection": "close"}
        if token is not None:
            lines["Authorization"] = f"Bearer {token or self.tokens.make()}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            lines["Content-Type"] = "application/json"
        if body is not None:
            lines["Content-Length"] = str(len(body))
        lines |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        answer = parse(self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")))
        # The bodies of successes are what the doubles say, so the journeys compare those.
        look(method, path, answer.status, answer.headers, answer.content, body=False)
        return answer


def parse(data: bytes) -> Answer:
    """Read one answer."""
    head, _, content = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0].startswith("HTTP/1.1 "), data[:200]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(int(lines[0].split()[1]), headers, content)


def make_gateway(limits: Limits | None = None, admission: Admission | None = None) -> Gateway:
    """Start a gateway on a free port."""
    rooms, tokens = FakeRooms(), Tokens()
    authentication = Authentication(rooms, tokens.verifier.verify)
    authentication.is_ready = True
    metrics = Metrics()
    admission = admission or Admission()
    table = pages(all_codes())
    handler = Handler(Router(ROWS), rooms, authentication, table, admission, metrics)
    hosts = frozenset({"localhost", "127.0.0.1", "[::1]"})
    server = HttpServer(("127.0.0.1", 0), handler, to_response, allowed_hosts=hosts, limits=limits, health=HEALTH)
    server.start()
    return Gateway(rooms, tokens, authentication, admission, server, metrics)


@pytest.fixture(scope="session")
def running() -> Iterator[Gateway]:
    """A gateway that runs for all tests."""
    made = make_gateway()
    yield made
    made.server.stop()


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """The running gateway, with rooms that know nothing of the test before."""
    running.rooms.calls.clear()
    running.rooms.behavior.clear()
    running.rooms.replayed = False
    running.authentication.revocations = Revocations()
    running.authentication.forget()
    running.authentication.is_ready = True
    return running
