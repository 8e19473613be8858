"""A TCP proxy that can fail on purpose: it stands between a service and its broker or database.

It runs on real threads and sockets even where eventlet has patched them: a test that blocks its green threads must not
stop the proxy, and closing a green socket under its reader confuses eventlet's hub.
"""

import importlib
import sys
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import socket
    import threading
    import time
else:
    _eventlet = sys.modules.get("eventlet")
    _real = _eventlet.patcher.original if _eventlet else importlib.import_module
    socket, threading, time = _real("socket"), _real("threading"), _real("time")

LOOPBACK = "127.0.0.1"


class Mode(Enum):
    """What the proxy does with connections and bytes."""

    PASS = "pass"
    HANG = "hang"  # TCP stays alive, no byte goes either way; new connections too
    HANG_OLD = "hang_old"  # connections of before hang for ever, new ones pass
    DROP_REQUESTS = "drop_requests"  # swallow what clients send
    DROP_REPLIES = "drop_replies"  # swallow what the server answers
    REFUSE = "refuse"  # close new connections at once; those of before go on


class _Link:
    """One client's connection through the proxy: a thread for each direction."""

    def __init__(self, proxy: "Proxy", client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self.hung = False

    def start(self) -> None:
        ways = ((self._client, self._server, Mode.DROP_REQUESTS), (self._server, self._client, Mode.DROP_REPLIES))
        for way in ways:
            threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, swallow: Mode) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                while (self.hung or self._proxy.mode is Mode.HANG) and self._proxy.is_open:
                    time.sleep(0.02)
                if self._proxy.delay_seconds:
                    time.sleep(self._proxy.delay_seconds)
                if self._proxy.mode is not swallow:
                    sink.sendall(data)
        self.close()

    def close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Forward a loopback port to another one, and fail as told. Use as a context manager."""

    def __init__(self, target_port: int) -> None:
        """Listen on a free port at once, in mode PASS."""
        self._target = (LOOPBACK, target_port)
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.mode = Mode.PASS
        self.delay_seconds = 0.0
        self.is_open = True
        self._links: list[_Link] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: Mode) -> None:
        """Change what happens from now on; HANG_OLD freezes exactly the connections that exist now."""
        self.mode = mode
        for link in self._links:
            link.hung = mode is Mode.HANG_OLD

    def cut(self) -> None:
        """Close every connection that exists now."""
        links, self._links = self._links, []
        for link in links:
            link.close()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self.is_open = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while self.is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode is Mode.REFUSE:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            link = _Link(self, client, server)
            self._links.append(link)
            link.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
