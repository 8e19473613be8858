"""A publish ends within its limit whatever the broker does (rule R6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import eventlet
import pytest
from kombu import Connection

from services.chassis.bus.link import BrokerDown
from services.chassis.bus.publisher import MAX_WAITING, Outgoing, Publisher
from tests.rig import Proxy, wait_until
from tests.rig.proxy import Mode

LIMIT = 1.0


@pytest.fixture
def proxy(vhost: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(vhost).port or 5672) as proxy:
        yield proxy


@pytest.fixture
def queue(vhost: str) -> Iterator[str]:
    with Connection(vhost) as connection:
        channel = connection.channel()
        channel.queue_declare("things", durable=True, auto_delete=False)
        yield "things"


def through(vhost: str, proxy: Proxy) -> str:
    return vhost.replace(f":{urlsplit(vhost).port}/", f":{proxy.port}/")


def count(vhost: str, queue: str) -> int:
    with Connection(vhost) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).message_count)


def thing(size: int = 10, queue: str = "things") -> Outgoing:
    return Outgoing("", queue, b'"' + b"x" * size + b'"', mandatory=True)


def test_a_batch_is_confirmed_and_an_unroutable_message_is_told(vhost: str, queue: str) -> None:
    publisher = Publisher(vhost, confirms=True)
    outcomes = publisher.send_all([thing(), thing(queue="nowhere"), *(thing() for _ in range(48))])
    assert outcomes == ["ok", "returned", *["ok"] * 48]
    assert publisher.send_all([thing()]) == ["ok"]
    publisher.close()
    assert count(vhost, queue) == 50


def test_on_a_hung_broker_a_confirmed_publish_ends_at_its_limit_and_the_next_one_works(
    vhost: str, queue: str, proxy: Proxy
) -> None:
    publisher = Publisher(through(vhost, proxy), confirms=True, limit=LIMIT)
    assert publisher.send_all([thing()]) == ["ok"]
    proxy.set(Mode.HANG_OLD)
    begun = time.monotonic()
    with pytest.raises(BrokerDown):
        publisher.send_all([thing()])
    assert LIMIT * 0.9 < time.monotonic() - begun < LIMIT + 0.5
    assert publisher.send_all([thing()]) == ["ok"]
    publisher.close()


def test_a_broker_that_stops_reading_ends_every_publish_at_the_limit_and_caps_those_that_wait(
    vhost: str, queue: str, proxy: Proxy
) -> None:
    publisher = Publisher(through(vhost, proxy), limit=LIMIT)
    publisher.send(thing())
    proxy.set(Mode.HANG)
    ended: list[float] = []

    def publish() -> None:
        begun = time.monotonic()
        try:
            # Large enough that the buffers of both sockets and the proxy cannot take it all.
            for _ in range(20):
                publisher.send(thing(1_000_000))
        except BrokerDown:
            ended.append(time.monotonic() - begun)

    threads = [eventlet.spawn(publish) for _ in range(MAX_WAITING + 10)]
    for thread in threads:
        thread.wait()
    assert len(ended) == MAX_WAITING + 10
    assert sum(1 for seconds in ended if seconds < 0.5) >= 9
    assert max(ended) < 3 * LIMIT + 0.5
    proxy.set(Mode.PASS)
    proxy.cut()
    publisher.send(thing())
    publisher.close()


def test_opening_a_connection_to_a_hung_broker_ends_at_the_limit(vhost: str, proxy: Proxy) -> None:
    proxy.set(Mode.HANG)
    publisher = Publisher(through(vhost, proxy), limit=LIMIT)
    begun = time.monotonic()
    with pytest.raises(BrokerDown):
        publisher.send(thing())
    assert time.monotonic() - begun < LIMIT + 0.5


def test_a_broker_that_is_away_is_told_at_once(vhost: str, proxy: Proxy) -> None:
    uri = through(vhost, proxy)
    proxy.close()
    publisher = Publisher(uri)
    begun = time.monotonic()
    with pytest.raises(BrokerDown):
        publisher.send(thing())
    assert time.monotonic() - begun < 0.5


def test_a_connection_that_was_cut_is_replaced_without_the_caller_noticing(
    vhost: str, queue: str, proxy: Proxy
) -> None:
    publisher = Publisher(through(vhost, proxy))
    publisher.send(thing())
    wait_until(lambda: count(vhost, queue) == 1, 5)
    proxy.cut()
    eventlet.sleep(0.1)
    publisher.send(thing())
    publisher.close()
    wait_until(lambda: count(vhost, queue) == 2, 5)
