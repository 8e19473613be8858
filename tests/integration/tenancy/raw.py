"""Requests as no library would send them, and whether what came back is an answer of ours."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from tests.integration.http_client import Answer
from tests.integration.tenancy.asking import check_form
from tests.openapi.watch import look

# Of a request that can be read at all; what cannot be is refused before it is known what was asked for.
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) (/\S*) HTTP/1\.1\r\n")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def code(self) -> str:
        """Return the code of a refusal."""
        if "x-error-code" in self.headers:
            return self.headers["x-error-code"]
        return str(json.loads(self.content)["code"]) if self.content else ""

    def check(self) -> None:
        """Assert that it is no 5xx, and a problem document if it is a refusal."""
        assert self.status < 500, self
        if self.status >= 400 and self.content:
            problem = self.headers["content-type"] == "application/problem+json"
            assert problem or "x-error-code" in self.headers, self
            assert re.fullmatch(r"[a-z_]+\.[a-z_]+", self.code), self


def send_raw(base: str, data: bytes, seconds: float = 20.0) -> RawAnswer:
    """Send bytes on a connection of their own and return the first answer.

    Args:
        base: address of the gateway.
        data: whole request.
        seconds: how long the answer may take.
    """
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        parts = []
        while part := sock.recv(65536):
            parts.append(part)
    received = b"".join(parts)
    while received.startswith(b"HTTP/1.1 1"):
        received = received.partition(b"\r\n\r\n")[2]
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length")
    answer = RawAnswer(int(status.split(" ")[1]), headers, body[: int(length)] if length else body)
    if (asked := _REQUEST_LINE.match(data)) is not None:
        look(asked[1].decode(), asked[2].decode("latin-1"), answer.status, answer.headers, answer.content)
    return answer


def request(method: str, target: str, *headers: str, host: str = "localhost", body: bytes = b"") -> bytes:
    """Return the bytes of a request that ends its connection."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def calm(answer: Answer, *what: Any) -> Answer:
    """Return an answer after asserting that it is none that an attacker wishes for: no 5xx, refusals in our form."""
    try:
        check_form(answer)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None
    return answer
