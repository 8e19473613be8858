"""The in-process broker of the embedded default: kombu's memory transport, made fit for nameko-shaped traffic.

Two things are added: the content type stands in the message properties, and a waiting reader is woken by the
message itself instead of by a poll once a second. There are no confirms, expiry, `mandatory` or dead letters here:
deadlines live in headers, and retry and parking in database rows, in both set-ups.
"""

from __future__ import annotations

import socket
import weakref
from queue import Empty
from time import monotonic
from typing import Any

from eventlet.event import Event
from kombu.transport import TRANSPORT_ALIASES, memory, virtual


class Channel(memory.Channel):
    """A channel of the in-process broker."""

    # One process means no wire: bodies need no base64, which is kombu's default for virtual transports.
    body_encoding = None
    events: dict[str, set[Any]] = {}
    queues: dict[str, Any] = {}

    def prepare_message(self, body: Any, **options: Any) -> dict[str, Any]:
        """Return kombu's message with the content type in the properties too, where nameko and AMQP have it."""
        message: dict[str, Any] = super().prepare_message(body, **options)
        message["properties"].setdefault("content_type", message["content-type"])
        return message

    def basic_publish(self, message: dict[str, Any], exchange: str, routing_key: str, **options: Any) -> Any:
        """Put the message into every bound queue; an unknown exchange takes it and drops it."""
        if exchange and exchange not in self.state.exchanges:
            return None
        return super().basic_publish(message, exchange, routing_key, **options)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge, and let the reader go on if the prefetch limit had stopped it."""
        super().basic_ack(delivery_tag, multiple=multiple)
        self._wake()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject, and let the reader go on if the prefetch limit had stopped it."""
        super().basic_reject(delivery_tag, requeue=requeue)
        self._wake()

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        # Several queues may get one message, and kombu writes into it on delivery.
        properties = {**message["properties"], "delivery_info": dict(message["properties"]["delivery_info"])}
        super()._put(queue, {**message, "properties": properties}, **options)
        for transport in list(Transport.reading):
            if queue in transport._callbacks:
                transport.wake()

    def _wake(self) -> None:
        if self.connection is not None:
            self.connection.wake()

    def close(self) -> None:
        """Close the channel; what it had taken and not acknowledged goes back to its queues."""
        if not self.closed and self._qos is not None:
            self._qos.restore_unacked()
        super().close()


class Transport(memory.Transport):
    """The in-process broker as one of kombu's transports, found under the name `embedded`."""

    Channel = Channel
    global_state = virtual.BrokerState()
    driver_type = "embedded"
    driver_name = "embedded"
    reading: weakref.WeakSet[Transport] = weakref.WeakSet()

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self._woken = Event()

    def wake(self) -> None:
        """Let a reader that waits in `drain_events` look again."""
        if not self._woken.ready():
            self._woken.send()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message; wait for it if there is none.

        Args:
            connection: this transport.
            timeout: seconds to wait at most, for ever when absent.

        Raises:
            socket.timeout: nothing came in time.
        """
        end = None if timeout is None else monotonic() + timeout
        Transport.reading.add(self)
        while True:
            self._woken = Event()
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("no message in time") from None
                self._woken.wait(timeout=left)

    def close_connection(self, connection: Any) -> None:
        """Close all channels and stop waking this transport's reader."""
        Transport.reading.discard(self)
        super().close_connection(connection)


def reset() -> None:
    """Forget all exchanges, queues and messages of this process's broker; for tests that share a process."""
    Channel.queues.clear()
    Transport.global_state.clear()


assert socket.timeout is TimeoutError
TRANSPORT_ALIASES["embedded"] = f"{__name__}:Transport"
