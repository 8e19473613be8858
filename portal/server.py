"""A small threaded HTTP server for the plain pages: a request has its time as a whole, and no token reaches a log.

waitress, the server that would be borrowed, limits silence only: whoever sends one byte now and then keeps a connection
for ever. The real portal gets one with its pages, behind a proxy that limits whole requests.
"""

import io
import logging
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

REQUEST_SECONDS: Final = 15.0
"""A whole request has so long."""
_ANSWER_SECONDS: Final = 5.0
_log = logging.getLogger("portal.access")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Until(io.RawIOBase):
    """Reads from a socket until a moment; one byte now and then gains no time."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._sock.settimeout(left)
        try:
            return self._sock.recv_into(buffer)
        finally:
            # What is left for the request is not what is left for its answer.
            self._sock.settimeout(_ANSWER_SECONDS)


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Until(self.connection, REQUEST_SECONDS))

    def handle(self) -> None:
        try:
            super().handle()
        except TimeoutError:
            # Half a head; half a body gets a page that says so.
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.0 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        # The request line holds the token of a mail link, so only the path goes into the log.
        status = args[1] if len(args) > 1 else ""
        _log.info("%s %s %s", self.command, getattr(self, "path", "").partition("?")[0], status)

    def address_string(self) -> str:
        return str(self.client_address[0])


ServerHandler.server_software = "portal"


def make_server(host: str, port: int, app: Callable[..., Iterable[bytes]]) -> Any:
    """Return a listening server; `serve_forever` runs it, `shutdown` from another thread ends it.

    Args:
        host: address to listen on.
        port: 0 chooses a free one.
        app: the WSGI application.
    """
    server = _Server((host, port), _Handler)
    server.set_app(app)
    return server
