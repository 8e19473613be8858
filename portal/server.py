"""A small threaded HTTP server for the plain pages. The real portal gets a production server with its pages."""

import logging
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

_log = logging.getLogger("portal.access")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(WSGIRequestHandler):
    timeout = 15  # seconds; a half-sent request holds its thread no longer

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
