"""One live connection to the broker: opened within a limit, read by a green thread, kept honest by heartbeats.

Nothing here waits for the broker without a limit. A connection that does not answer is never closed politely, since
that is a wait too; its socket is shut down, which wakes whoever is stuck in it (rule R6).
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.hubs import get_hub
from kombu import Connection

from services.chassis.bus import embedded as _embedded  # noqa: F401  registers embedded://

HEARTBEAT_SECONDS = 10
OPEN_SECONDS = 3.0
_READ_BYTES = 65_536
_FRAME = struct.Struct(">BHI")
_FRAME_END = 0xCE
_CONGESTED_BYTES = 262_144
_CLOSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class BrokerDown(ConnectionError):
    """The broker cannot be reached, does not answer within the limit, or takes no messages at present."""


class _Watchdog:
    """Calls a function unless the block ends in time; entered for each message, hence without a generator."""

    __slots__ = ("_bite", "_seconds", "_timer")

    def __init__(self, seconds: float, bite: Callable[[], None]) -> None:
        self._seconds = seconds
        self._bite = bite

    def __enter__(self) -> None:
        self._timer = get_hub().schedule_call_global(self._seconds, self._bite)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


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
        self._limit = limit
        self._raw: Any = None
        self._threads: list[Any] = []
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._written: Event | None = None
        # Kombu's own connect sleeps and tries again inside; one try with a known end is wanted here.
        self._transport = Connection(uri, connect_timeout=limit, heartbeat=HEARTBEAT_SECONDS).transport
        try:
            with eventlet.Timeout(limit, BrokerDown(f"the broker did not answer within {limit:g} s")):
                self._raw = self._transport.establish_connection()
                if self.is_amqp:
                    self._tune()
                self.prepared = prepare(self)
                if self.is_amqp:
                    self._raw.transport._write = self._buffer
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

    def limited(self, seconds: float) -> _Watchdog:
        """Shut the socket down if the block takes longer than `seconds`; whoever is stuck in it gets an error."""
        return _Watchdog(seconds, self._shut)

    def wait_written(self, seconds: float) -> None:
        """Wait until what was written has left this process.

        Raises:
            BrokerDown: it has not within `seconds`, or the connection is lost.
        """
        while self.alive and self._written is not None:
            if not self._written.wait(timeout=seconds):
                self._shut()
        if not self.alive:
            raise BrokerDown("the broker takes nothing")

    @property
    def is_congested(self) -> bool:
        """Tell whether so much waits to be written that a writer has to wait."""
        return self._unwritten_bytes > _CONGESTED_BYTES

    def drop(self) -> None:
        """Give the connection up because it failed; `on_lost` is called as for any other loss."""
        self._shut()

    def close(self) -> None:
        """End the connection without waiting for the broker; it gives unacknowledged messages back by itself."""
        self._on_lost = None
        with suppress(BrokerDown):
            self.wait_written(_CLOSE_SECONDS)
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

    def _on_blocked(self, reason: str) -> None:
        self.blocked = True
        _log.error("the broker takes no messages (disk or memory alarm): %s", reason)

    def _on_unblocked(self) -> None:
        self.blocked = False
        _log.warning("the broker takes messages again")

    def _read(self) -> None:
        try:
            if self.is_amqp:
                self._read_frames(self._raw)
            while True:
                self._transport.drain_events(self._raw)
        except Exception as error:
            if self.alive:
                _log.warning("connection to the broker lost: %s: %s", type(error).__name__, error)
        self.alive = False
        self._collect()
        if self._on_lost is not None:
            self._on_lost()

    def _read_frames(self, connection: Any) -> None:
        """Cut what the broker sends into frames and hand them to py-amqp.

        py-amqp's own reader asks the socket for a few bytes at a time, up to nine times a message; taking what is
        there costs half as much.
        """
        sock, handle = connection.transport.sock, connection.on_inbound_frame
        buffer = bytes(connection.transport._read_buffer)
        while True:
            offset = 0
            while len(buffer) - offset >= _FRAME.size:
                kind, channel, size = _FRAME.unpack_from(buffer, offset)
                end = offset + _FRAME.size + size
                if len(buffer) <= end:
                    break
                if buffer[end] != _FRAME_END:
                    raise BrokerDown("the broker sent something that is not AMQP")
                handle((kind, channel, buffer[offset + _FRAME.size : end]))
                offset = end + 1
            received = sock.recv(_READ_BYTES)
            if not received:
                raise BrokerDown("the broker closed the connection")
            buffer = buffer[offset:] + received

    def _buffer(self, frame: Any) -> None:
        """Take a frame from py-amqp; all that are written in one turn of the hub leave together."""
        self._unwritten.append(bytes(frame))
        self._unwritten_bytes += len(frame)
        if self._written is None:
            self._written = Event()
            eventlet.spawn_n(self._write)

    def _write(self) -> None:
        sock = self._socket()
        try:
            while self._unwritten and sock is not None:
                frames, self._unwritten = self._unwritten, []
                with self.limited(self._limit):
                    sock.sendall(b"".join(frames))
                self._unwritten_bytes = sum(map(len, self._unwritten))
        except Exception as error:
            if self.alive:
                _log.warning("writing to the broker failed: %s: %s", type(error).__name__, error)
            self._shut()
        written, self._written = self._written, None
        if written is not None:
            written.send(True)

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
        sock = self._socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _socket(self) -> Any:
        # py-amqp's public property would connect anew where there is no transport any more.
        transport = getattr(self._raw, "_transport", None) if self.is_amqp else None
        return getattr(transport, "sock", None)

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
