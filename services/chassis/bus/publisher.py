"""The one publisher for requests, replies and events (rule R6).

It keeps a connection open, gives up on it after a limit by shutting the socket down, and lets only so many green
threads wait behind a stuck one. Requests and replies go without confirms, since a command id makes the retry safe;
events go with them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eventlet.event import Event
from eventlet.semaphore import Semaphore

from services.chassis.bus.link import BrokerDown, Link
from services.chassis.bus.wire import DIRECT_REPLY, JSON

LIMIT_SECONDS: Final = 3.0
MAX_WAITING: Final = 64

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outgoing:
    """A message to publish.

    Args:
        exchange: name of the exchange, empty for the broker's default one.
        routing_key: where it goes.
        body: JSON text in UTF-8.
        headers: AMQP headers.
        properties: AMQP properties such as `correlation_id`, `reply_to`, `expiration` (text, milliseconds).
        mandatory: whether the broker shall return it when no queue takes it.
    """

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    mandatory: bool = False


class Publisher:
    """Publishes on a connection of its own.

    Args:
        uri: broker address.
        confirms: whether `send_all` waits for the broker's confirms.
        limit: seconds that one call may take.
        on_return: called with the properties of a mandatory message that no queue took.
        on_lost: called when the connection has been lost.
        on_reply: gets the replies to requests whose `reply_to` is `wire.DIRECT_REPLY`; RabbitMQ only.
    """

    def __init__(
        self,
        uri: str,
        *,
        confirms: bool = False,
        limit: float = LIMIT_SECONDS,
        on_return: Callable[[dict[str, Any]], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        on_reply: Callable[[Any], None] | None = None,
    ) -> None:
        self._uri = uri
        self._confirms = confirms
        self._limit = limit
        self._on_return = on_return
        self._on_lost = on_lost
        self._on_reply = on_reply
        self._lock = Semaphore(1)
        self._waiting = 0
        self._link: Link | None = None
        self._batch: _Batch | None = None
        self._published = 0

    @property
    def waiting(self) -> int:
        """How many green threads wait to publish; a gauge (rule O3)."""
        return self._waiting

    def send(self, message: Outgoing) -> None:
        """Publish one message without waiting for a confirm.

        Raises:
            BrokerDown: it may or may not have been published.
        """
        self._acquire()
        try:
            for attempt in (1, 2):
                link = self._open()
                try:
                    self._put(link, message)
                    if link.is_congested:
                        link.wait_written(self._limit)
                    return
                except Exception as error:
                    link.drop()
                    # A kept-open connection may have died unnoticed; a fresh one gets one try.
                    if attempt == 2 or isinstance(error, BrokerDown):
                        raise BrokerDown(f"publishing failed: {type(error).__name__}: {error}") from error
        finally:
            self._lock.release()

    def send_all(self, messages: Sequence[Outgoing]) -> list[str]:
        """Publish a batch and wait until the broker has confirmed each message.

        Returns:
            For each message `ok`, `returned` (no queue took it) or `refused` (the broker did not store it).

        Raises:
            BrokerDown: the outcome of the whole batch is not known.
        """
        self._acquire()
        try:
            link = self._open()
            if not link.is_amqp:
                for message in messages:
                    self._put(link, message)
                return ["ok"] * len(messages)
            batch = self._batch = _Batch(self._published + 1, len(messages))
            try:
                with link.limited(self._limit):
                    for number, message in enumerate(messages):
                        self._put(link, message, app_id=str(number))
                    if not batch.done.wait(timeout=self._limit) or batch.lost:
                        raise BrokerDown("the broker did not confirm")
            except Exception as error:
                link.drop()
                raise BrokerDown(f"publishing failed: {type(error).__name__}: {error}") from error
            return batch.outcomes
        finally:
            self._batch = None
            self._lock.release()

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _acquire(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        if self._waiting >= MAX_WAITING:
            raise BrokerDown(f"{self._waiting} messages already wait to be published")
        self._waiting += 1
        try:
            if not self._lock.acquire(timeout=self._limit):
                raise BrokerDown(f"could not publish within {self._limit:g} s")
        finally:
            self._waiting -= 1

    def _open(self) -> Link:
        link = self._link
        if link is None or not link.alive:
            self._published = 0
            link = self._link = Link(self._uri, self._prepare, self._lost, self._limit)
        if link.blocked:
            raise BrokerDown("the broker takes no messages at present")
        return link

    def _prepare(self, link: Link) -> Any:
        channel = link.channel()
        if link.is_amqp:
            channel.events["basic_return"].add(self._returned)
            if self._on_reply is not None:
                on_reply = self._on_reply
                channel.basic_consume(
                    DIRECT_REPLY, no_ack=True, callback=lambda raw: on_reply(channel.message_to_python(raw))
                )
            if self._confirms:
                channel.events["basic_ack"].add(self._acked)
                channel.events["basic_nack"].add(self._nacked)
                channel.confirm_select()
        return channel

    def _put(self, link: Link, message: Outgoing, **more: Any) -> None:
        channel = link.prepared
        prepared = channel.prepare_message(
            message.body,
            content_type=JSON,
            content_encoding="utf-8",
            headers=message.headers,
            properties={**message.properties, **more},
        )
        self._published += 1
        channel.basic_publish(
            prepared, exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory
        )

    def _acked(self, tag: int, multiple: bool) -> None:
        if self._batch is not None:
            self._batch.settle(tag, multiple, "ok")

    def _nacked(self, tag: int, multiple: bool) -> None:
        if self._batch is not None:
            self._batch.settle(tag, multiple, "refused")

    def _returned(self, error: Any, exchange: str, routing_key: str, message: Any) -> None:
        _log.warning("no queue took a message to %s with key %s", exchange, routing_key)
        if self._batch is not None:
            self._batch.outcomes[int(message.properties.get("app_id", 0))] = "returned"
        elif self._on_return is not None:
            self._on_return(message.properties)

    def _lost(self) -> None:
        if self._batch is not None:
            self._batch.lose()
        if self._on_lost is not None:
            self._on_lost()


class _Batch:
    """Messages on their way to being confirmed; tags count from `first` on."""

    def __init__(self, first: int, size: int) -> None:
        self.first = first
        self.outcomes = [""] * size
        self.open = set(range(size))
        self.done: Event = Event()
        self.lost = False

    def settle(self, tag: int, multiple: bool, outcome: str) -> None:
        upto = tag - self.first
        numbers = [n for n in self.open if n <= upto] if multiple else [upto]
        for number in numbers:
            self.open.discard(number)
            # A returned message is confirmed too, right after its return.
            if not self.outcomes[number]:
                self.outcomes[number] = outcome
        if not self.open and not self.done.ready():
            self.done.send(True)

    def lose(self) -> None:
        self.lost = True
        if not self.done.ready():
            self.done.send(True)
