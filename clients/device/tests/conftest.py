"""A device with a certificate, and a portal over HTTP that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Script:
    """What the portal answers by method and path, and what it was asked."""

    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: str, status: int, body: bytes | Any = b"", **headers: str) -> None:
        """Set the answer to `METHOD /path`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[request] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.fixture
def portal() -> Iterator[Script]:
    """Run a portal on a free port of the loopback interface."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            script.asked.append({"request": f"{self.command} {self.path}", "headers": dict(self.headers), "body": body})
            status, headers, content = script.answers.get(f"{self.command} {self.path}", (404, {}, b"not there"))
            self.send_response(status)
            # So that nobody compares it with the gateway's OpenAPI document (`tests/openapi/watch.py`).
            self.send_header("X-Test-Double", "gateway")
            for name, value in headers.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status not in (204, 304):
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - names of the standard library

        def log_message(self, *_: Any) -> None:
            """Keep the test output free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield script
    server.shutdown()
    server.server_close()
    thread.join(5)
