"""One live connection to the broker: opened within a limit, read by a green thread, kept honest by heartbeats.

Nothing here waits for the broker without a limit. A connection that does not answer is never closed politely, since
that is a wait too; its socket is shut down, which wakes whoever is stuck in it (rule R6).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
from amqp.transport import TCPTransport
from eventlet.hubs import get_hub
from kombu import Connection

from services.chassis import embedded as _embedded  # noqa: F401  registers embedded://

HEARTBEAT_SECONDS = 10
OPEN_SECONDS = 3.0
_READ_AHEAD_BYTES = 16_384

_log = logging.getLogger(__name__)


class BrokerDown(ConnectionError):
    """The broker cannot be reached, does not answer within the limit, or takes no messages at present."""


class Link:
    """A connection that is open until `alive` turns false.

    Args:
        uri: broker address.
        prepare: gets this link, opens channels, declares and consumes; its result becomes `prepared`.
            It runs before the reading starts and may therefore wait for answers of the broker.
        on_lost: called once, in the reading green thread, when the connection has ended by itself.
        limit: seconds for opening and preparing.

    Raises:
        BrokerDown: it could not be opened.
    """

    def __init__(
        self,
        uri: str,
        prepare: Callable[[Link], Any],
        on_lost: Callable[[], None] | None = None,
        limit: float = OPEN_SECONDS,
    ) -> None:
        self.alive = False
        self.blocked = False
        self.is_amqp = not uri.startswith("embedded")
        self._on_lost = on_lost
        self._raw: Any = None
        self._threads: list[Any] = []
        # Kombu's own connect sleeps and tries again inside; one try with a known end is wanted here.
        self._transport = Connection(uri, connect_timeout=limit, heartbeat=HEARTBEAT_SECONDS).transport
        try:
            with eventlet.Timeout(limit, BrokerDown(f"the broker did not answer within {limit:g} s")):
                self._raw = self._transport.establish_connection()
                if self.is_amqp:
                    self._tune()
                self.prepared = prepare(self)
        except Exception as error:
            self._collect()
            raise BrokerDown(f"{type(error).__name__}: {error}") from error
        self.alive = True
        self._threads = [eventlet.spawn(self._read)]
        if self.is_amqp:
            self._threads.append(eventlet.spawn(self._beat))

    def channel(self) -> Any:
        """Open a channel; only `prepare` may do so, since it waits for the broker's answer."""
        return self._transport.create_channel(self._raw)

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Shut the socket down if the block takes longer than `seconds`; whoever is stuck in it gets an error."""
        timer = get_hub().schedule_call_global(seconds, self._shut)
        try:
            yield
        finally:
            timer.cancel()

    def drop(self) -> None:
        """Give the connection up because it failed; `on_lost` is called as for any other loss."""
        self._shut()

    def close(self) -> None:
        """End the connection without waiting for the broker; it gives unacknowledged messages back by itself."""
        self._on_lost = None
        self.alive = False
        for thread in self._threads:
            thread.kill()
        self._collect()

    def _tune(self) -> None:
        connection = self._raw
        connection.on_blocked = self._on_blocked
        connection.on_unblocked = self._on_unblocked
        # py-amqp would read from the socket before every publish to see this notice; our reader gets it anyway.
        connection.client_properties["capabilities"]["connection.blocked"] = False
        transport = connection.transport
        if isinstance(transport, TCPTransport):
            # py-amqp asks the system for each few bytes of a frame; asking for more at once halves its cost.
            receive = transport._quick_recv
            transport._quick_recv = lambda wanted: receive(max(wanted, _READ_AHEAD_BYTES))

    def _on_blocked(self, reason: str) -> None:
        self.blocked = True
        _log.error("the broker takes no messages (disk or memory alarm): %s", reason)

    def _on_unblocked(self) -> None:
        self.blocked = False
        _log.warning("the broker takes messages again")

    def _read(self) -> None:
        try:
            if self.is_amqp:
                while True:
                    self._raw.drain_events()
            while True:
                self._transport.drain_events(self._raw)
        except Exception as error:
            if self.alive:
                _log.warning("connection to the broker lost: %s: %s", type(error).__name__, error)
        self.alive = False
        self._collect()
        if self._on_lost is not None:
            self._on_lost()

    def _beat(self) -> None:
        while self.alive:
            eventlet.sleep(HEARTBEAT_SECONDS / 4)
            try:
                with self.limited(OPEN_SECONDS):
                    self._raw.heartbeat_tick()
            except Exception as error:
                if self.alive:
                    _log.warning("no heartbeat from the broker: %s", error)
                self._shut()

    def _shut(self) -> None:
        self.alive = False
        transport = getattr(self._raw, "_transport", None) if self.is_amqp else None
        sock = getattr(transport, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _collect(self) -> None:
        self._shut()
        try:
            if self._raw is not None:
                if self.is_amqp:
                    self._raw.collect()
                else:
                    self._transport.close_connection(self._raw)
        except Exception as error:
            _log.debug("closing a lost connection: %s", error)
