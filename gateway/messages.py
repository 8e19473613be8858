"""What the HTTP server hands to its handler and gets back: a request that was read, an answer to be written.

Nothing here knows routes, rooms or sockets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One request whose head was read and whose body was not.

    Args:
        method: upper-case method.
        path: path as sent, still percent-encoded, without the query.
        query: query string as sent, without the question mark.
        headers: lower-case names; a repeated header is joined by commas.
        address: address of the client, the forwarded one when it came through a trusted proxy.
        id: request id that stands in logs, answers and events; always made here.
        client_id: what the client calls the request (`X-Request-Id`), cleaned and cut; for the logs only.
        read_body: reads the body, at most once; raises the request.* errors of a body that cannot be taken.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    address: str
    id: str
    read_body: Callable[[], bytes]
    client_id: str = ""

    @property
    def is_device_door(self) -> bool:
        """Tell whether the address is one of those that devices themselves use."""
        return self.path.startswith("/device/")


@dataclass(slots=True)
class Response:
    """One answer, whole.

    Args:
        status: HTTP status.
        body: bytes; not sent for HEAD, 204 and 304.
        content_type: media type, none for an answer without a body.
        headers: further headers in the order in which they are sent.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of_json(
        cls, status: int, value: Any, headers: Iterable[tuple[str, str]] = (), content_type: str = JSON
    ) -> Response:
        """Make an answer from a JSON value."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()
        return cls(status, body, content_type, list(headers))
