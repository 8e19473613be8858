"""Takes messages from queues: one connection, one channel for each queue, for ever reconnecting with a back-off.

It declares what it listens to, so that a queue lost with its broker comes back; what was in it comes back by the
command ids' retries and by `read_events` (rules R1, R15).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import eventlet
from eventlet.event import Event
from kombu import Exchange, Queue

from services.chassis import metrics
from services.chassis.bus import wire
from services.chassis.bus.link import BrokerDown, Link
from services.chassis.bus.publisher import Outgoing, Publisher

_BURIED = metrics.counter(
    "tessera_messages_buried_total",
    "Messages that nobody can read, put into the dead letters.",
    zero="Somebody sends what is none of ours, or a process is of another version.",
)
_log = logging.getLogger(__name__)
_MAX_BACKOFF_SECONDS = 2.0


@dataclass(eq=False)
class Subscription:
    """A queue to listen to.

    Args:
        queue: declared with its exchange and binding at each connect.
        handle: gets each message, must return soon and not raise; acknowledging is its duty unless `no_ack`.
        prefetch: most messages that may be unacknowledged at a time.
        no_ack: whether the broker forgets a message as soon as it has sent it.
    """

    queue: Queue
    handle: Callable[[Any], None]
    prefetch: int = 10
    no_ack: bool = False
    channel: Any = None
    tag: str = ""


class _Acknowledger:
    """Acknowledges the messages of one channel together: one frame for all that were finished at about the same time.

    Delivery tags of a channel count from 1. Up to the first unfinished one a single frame says it for all.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._upto = 0
        self._finished: set[int] = set()
        self._said: set[int] = set()
        self._scheduled = False

    def finish(self, tag: int) -> None:
        """Acknowledge a message soon, together with others."""
        self._finished.add(tag)
        if not self._scheduled:
            self._scheduled = True
            eventlet.spawn_n(self._flush)

    def refuse(self, message: Any) -> None:
        """Refuse a message now."""
        self._said.add(message.delivery_tag)
        _quietly(lambda: message.reject(requeue=False))

    def _flush(self) -> None:
        self._scheduled = False
        last, run = 0, self._upto
        while run + 1 in self._finished or run + 1 in self._said:
            run += 1
            if run in self._finished:
                last = run
                self._finished.discard(run)
            self._said.discard(run)
        self._upto = run
        rest, self._finished = self._finished, set()
        self._said |= rest
        if last:
            _quietly(lambda: self._channel.basic_ack(last, multiple=True))
        for tag in rest:
            _quietly(partial(self._channel.basic_ack, tag))


class Listener:
    """Listens to queues on one connection until it is closed.

    Args:
        uri: broker address.
        on_connect: called after each connect, also the first.
    """

    def __init__(self, uri: str, on_connect: Callable[[], None] | None = None) -> None:
        self._uri = uri
        self._on_connect = on_connect
        self._subscriptions: list[Subscription] = []
        self._link: Link | None = None
        self._thread: Any = None
        self._changed: Event = Event()
        self._ready: Event = Event()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Tell whether the connection is open."""
        return self._link is not None and self._link.alive

    def add(self, subscription: Subscription) -> None:
        """Listen to one more queue; takes effect at once, by a reconnect if the connection is already open."""
        self._subscriptions.append(subscription)
        if self._link is not None:
            self._link.drop()

    def cancel(self, subscription: Subscription) -> None:
        """Take no further messages from a queue; those taken can still be acknowledged."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            link = self._link
            if link is not None and link.alive and subscription.channel is not None:
                options = {"nowait": True} if link.is_amqp else {}
                _quietly(lambda: subscription.channel.basic_cancel(subscription.tag, **options))

    def start(self, *, wait: bool = True, timeout: float | None = None) -> None:
        """Connect in the background.

        Args:
            wait: whether to return only once connected for the first time.
            timeout: seconds to wait at most, for ever when absent.

        Raises:
            BrokerDown: not connected within the timeout.
        """
        if self._thread is None:
            self._thread = eventlet.spawn(self._run)
        if wait and not self._ready.ready() and not self._ready.wait(timeout=timeout):
            raise BrokerDown(f"not connected to the broker after {timeout} s")

    def close(self) -> None:
        """Stop listening; unacknowledged messages go back to their queues."""
        self._closed = True
        if self._thread is not None:
            self._thread.kill()
            self._thread = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def _run(self) -> None:
        backoff = 0.1
        while not self._closed:
            lost: Event = Event()
            try:
                self._link = Link(self._uri, self._prepare, partial(lost.send, True))
            except BrokerDown as error:
                _log.warning("cannot listen: %s; next try in %.1f s", error, backoff)
                eventlet.sleep(backoff)
                backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)
                continue
            backoff = 0.1
            if not self._ready.ready():
                self._ready.send(True)
            if self._on_connect is not None:
                _quietly(self._on_connect)
            lost.wait()

    def _prepare(self, link: Link) -> None:
        for number, subscription in enumerate(self._subscriptions):
            channel = link.channel()
            if link.is_amqp:
                declare_dead_letters(channel)
                channel.acknowledger = _Acknowledger(channel)
            queue = subscription.queue(channel)
            queue.declare()
            channel.basic_qos(0, subscription.prefetch, False)
            subscription.channel, subscription.tag = channel, f"tessera-{number}"
            queue.consume(
                subscription.tag,
                callback=lambda raw, s=subscription, c=channel: self._deliver(s, c, raw),
                no_ack=subscription.no_ack,
            )

    def _deliver(self, subscription: Subscription, channel: Any, raw: Any) -> None:
        message = channel.message_to_python(raw)
        try:
            subscription.handle(message)
        except Exception:
            # An error here would end the connection, and the redelivered message would end the next one (rule R11).
            _log.exception("cannot take a message from %s", subscription.queue.name)
            reject(message)


def acknowledge(message: Any) -> None:
    """Acknowledge a message; on a lost connection the broker delivers it again, which is not an error (rule R1)."""
    acknowledger = getattr(message.channel, "acknowledger", None)
    if acknowledger is None:
        _quietly(message.ack)
    else:
        acknowledger.finish(message.delivery_tag)


def reject(message: Any) -> None:
    """Refuse a message; on RabbitMQ it goes to the dead letters."""
    acknowledger = getattr(message.channel, "acknowledger", None)
    if acknowledger is None:
        _quietly(lambda: message.reject(requeue=False))
    else:
        acknowledger.refuse(message)


def bury(message: Any, reason: str, publisher: Publisher) -> None:
    """Put a bad message into the dead letters together with the reason, and off its queue (rules R11, R12).

    Args:
        message: kombu message.
        reason: one phrase; must not quote the message's content at length.
        publisher: where to publish.
    """
    _BURIED.inc()
    info = message.delivery_info
    _log.error("bad message with key %s to the dead letters: %s", info.get("routing_key"), reason)
    headers = {
        "tessera.reason": reason[:200],
        "tessera.exchange": str(info.get("exchange")),
        "tessera.routing_key": str(info.get("routing_key")),
        "tessera.content_type": str(message.content_type)[:100],
        # The exchange sorts by this header, which RabbitMQ itself sets on what it buries.
        "x-first-death-reason": "rejected",
    }
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body or b"")
    try:
        publisher.send(Outgoing(wire.DEAD_EXCHANGE, "bad", body[: wire.MAX_BYTES], headers, {"delivery_mode": 2}))
    except BrokerDown:
        reject(message)
    else:
        acknowledge(message)


def declare_dead_letters(channel: Any) -> None:
    """Declare the exchange for dead letters and its two queues: one to look into, one for requests nobody waited for.

    Expired requests are an everyday matter while a service is away; dead letters raise an alarm (rule O3).
    """
    exchange = Exchange(wire.DEAD_EXCHANGE, type="headers", durable=True)(channel)
    exchange.declare()
    quorum = {"x-queue-type": "quorum", "x-max-length": 10_000}
    dead = Queue(wire.DEAD_QUEUE, durable=True, queue_arguments=quorum)(channel)
    dead.queue_declare()
    for reason in ("rejected", "delivery_limit", "maxlen"):
        dead.bind_to(exchange, arguments={"x-match": "all-with-x", "x-first-death-reason": reason})
    expired = Queue(
        wire.EXPIRED_QUEUE, durable=True, queue_arguments={"x-message-ttl": 3_600_000, "x-max-length": 1_000}
    )(channel)
    expired.queue_declare()
    expired.bind_to(exchange, arguments={"x-match": "all-with-x", "x-first-death-reason": "expired"})


def _quietly(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as error:
        _log.debug("ignored: %s: %s", type(error).__name__, error)
