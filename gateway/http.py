"""The gateway's HTTP listener: accepts connections on one address, never more than the limit (rules G1 to G6).

What happens on a connection is gateway.connection's; what a request means is its handler's.
"""

from __future__ import annotations

import time
from collections.abc import Container
from typing import Any

import eventlet
import structlog
from eventlet.greenio import GreenSocket

from gateway.connection import Connection, Disconnected
from gateway.crowd import Crowd
from gateway.limits import Handler, Limits, ProblemMaker, Rules
from services.chassis.listening import listener

log = structlog.get_logger()


class HttpServer:
    """Listens on one address and serves each connection in a green thread of its own.

    Args:
        address: host and port; port 0 takes a free one, `port` tells which.
        setting: that chose the address, named when it cannot be had.
        handler, problem, allowed_hosts, trusted_proxies, limits, health: see `gateway.limits.Rules`.
    """

    def __init__(
        self,
        address: tuple[str, int],
        handler: Handler,
        problem: ProblemMaker,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        trusted_proxies: Container[str] = frozenset(),
        setting: str = "TESSERA_HTTP",
        limits: Limits | None = None,
        health: frozenset[str] = frozenset(),
    ) -> None:
        self.address = address
        self._setting = setting
        self.limits = limits or Limits()
        most, of_address, aside = (
            self.limits.connections, self.limits.connections_of_address, self.limits.connections_aside,
        )  # fmt: skip
        self._crowd = Crowd(most, of_address, aside, trusted_proxies)
        self._rules = Rules(handler, problem, allowed_hosts, trusted_proxies, self.limits, self._crowd, health)
        self._all: set[Connection] = set()
        self.port = address[1]
        self._listener: Any = None
        self._acceptor: Any = None

    @property
    def connections(self) -> int:
        """Return how many connections are open, without those put aside or on their way out."""
        return len(self._crowd.members)

    def start(self) -> None:
        """Bind the address and begin to accept.

        Raises:
            SettingsError: the port is in use, or the address cannot be listened on.
        """
        self._listener = GreenSocket(listener(self.address, self._setting))
        self.port = self._listener.getsockname()[1]
        self._acceptor = eventlet.spawn(self._accept)

    def stop(self) -> None:
        """Stop accepting, let requests in work finish within the grace time, then close what is left."""
        self._rules.stopping = True
        if self._acceptor is not None:
            self._acceptor.kill()
            self._listener.close()
        for connection in list(self._all):
            if not connection.in_request:
                connection.cut()
        deadline = time.monotonic() + self.limits.grace_seconds
        while self._all and time.monotonic() < deadline:
            eventlet.sleep(0.02)
        for connection in list(self._all):
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
            self._crowd.enter(connection)
            self._all.add(connection)
            eventlet.spawn_n(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        except Disconnected:
            pass
        except Exception:
            log.exception("connection_failed")
        finally:
            self._crowd.leave(connection)
            self._all.discard(connection)
            connection.close()
