"""The gateway's HTTP listener: accepts connections on one address, never more than the limit (rules G1 to G6).

What happens on a connection is gateway.connection's; what a request means is its handler's.
"""

from __future__ import annotations

import time
from typing import Any

import eventlet
import structlog
from eventlet.green import socket

from gateway.connection import Connection, Disconnected, Handler, Limits, ProblemMaker, Rules

log = structlog.get_logger()


class HttpServer:
    """Listens on one address and serves each connection in a green thread of its own.

    Args:
        address: host and port; port 0 takes a free one, `port` tells which.
        handler, problem, allowed_hosts, trusted_proxies, limits: see `gateway.connection.Rules`.
    """

    def __init__(
        self,
        address: tuple[str, int],
        handler: Handler,
        problem: ProblemMaker,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        trusted_proxies: frozenset[str] = frozenset(),
        limits: Limits | None = None,
    ) -> None:
        self.address = address
        self.limits = limits or Limits()
        self._rules = Rules(handler, problem, allowed_hosts, trusted_proxies, self.limits)
        self.connections: dict[Connection, None] = {}
        self.port = address[1]
        self._listener: Any = None
        self._acceptor: Any = None

    def start(self) -> None:
        """Bind the address and begin to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self._listener = eventlet.listen(self.address, family=family, backlog=256)
        self.port = self._listener.getsockname()[1]
        self._acceptor = eventlet.spawn(self._accept)

    def stop(self) -> None:
        """Stop accepting, let requests in work finish within the grace time, then close what is left."""
        self._rules.stopping = True
        if self._acceptor is not None:
            self._acceptor.kill()
            self._listener.close()
        for connection in list(self.connections):
            if connection.waiting_since is not None:
                connection.cut()
        deadline = time.monotonic() + self.limits.grace_seconds
        while self.connections and time.monotonic() < deadline:
            eventlet.sleep(0.02)
        for connection in list(self.connections):
            connection.cut()

    def _accept(self) -> None:
        while not self._rules.stopping:
            try:
                sock, peer = self._listener.accept()
            except OSError as error:
                # Out of file handles, or the peer left at once: neither may end the listener.
                log.warning("accept_failed", error=type(error).__name__)
                eventlet.sleep(0.05)
                continue
            connection = Connection(self._rules, sock, str(peer[0]))
            if len(self.connections) >= self.limits.connections and not self._make_room():
                eventlet.spawn_n(connection.refuse)
                continue
            self.connections[connection] = None
            eventlet.spawn_n(self._serve, connection)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for its client; none when all are at work."""
        waiting = [c for c in self.connections if c.waiting_since is not None]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda c: c.waiting_since or 0.0)
        self.connections.pop(oldest, None)
        oldest.cut()
        return True

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        except Disconnected:
            pass
        except Exception:
            log.exception("connection_failed")
        finally:
            self.connections.pop(connection, None)
            connection.close()
