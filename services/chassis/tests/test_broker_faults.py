"""Calls while the broker is cut off, killed or hung: an answer or a 503 in time, one effect per command (R2)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import eventlet
import pytest

from deploy.bare.rabbitmq import RabbitMQ
from services.chassis.bus.rpc import ServiceClient, standalone
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    running,
    words,
)
from tests.rig import Proxy, wait_until
from tests.rig.fixtures import node_folder
from tests.rig.proxy import Mode


@contextmanager
def world(uri: str, folder: Path) -> Iterator[tuple[Settings, ServiceClient]]:
    settings = make_settings(folder, uri)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    with running(settings, SourceService, SinkService), standalone(uri) as to:
        yield settings, to("source")


@pytest.fixture
def proxy(vhost: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(vhost).port or 5672) as proxy:
        yield proxy


def through(vhost: str, proxy: Proxy) -> str:
    return vhost.replace(f":{urlsplit(vhost).port}/", f":{proxy.port}/")


def test_connections_cut_during_a_call_cost_neither_the_answer_nor_a_second_effect(
    vhost: str, proxy: Proxy, tmp_path: Path
) -> None:
    with world(through(vhost, proxy), tmp_path) as (settings, source), opened(settings, "sink") as sink:
        calls = [
            eventlet.spawn(source.say_slowly, Call(deadline=time.time() + 8), word=f"w{n}", seconds=1.0)
            for n in range(5)
        ]
        eventlet.sleep(0.5)
        proxy.cut()
        assert [call.wait() for call in calls] == [{"said": f"w{n}"} for n in range(5)]
        wait_until(lambda: len(words(sink)) >= 5, 10)
        eventlet.sleep(1.0)
        assert sorted(words(sink)) == [f"w{n}" for n in range(5)]


def test_a_hung_broker_means_503_at_the_deadline_and_service_afterwards(
    vhost: str, proxy: Proxy, tmp_path: Path
) -> None:
    with world(through(vhost, proxy), tmp_path) as (settings, source), opened(settings, "sink") as sink:
        assert source.say(Call(), word="first") == {"said": "first"}
        proxy.set(Mode.HANG)
        call = Call(deadline=time.time() + 2)
        begun = time.monotonic()
        with pytest.raises(ServiceError) as caught:
            source.say(call, word="second")
        assert caught.value.code == "service.unavailable"
        assert time.monotonic() - begun < 2.5
        proxy.set(Mode.PASS)
        again = Call(command_id=call.command_id, deadline=time.time() + 20)
        assert source.say(again, word="second") == {"said": "second"}
        wait_until(lambda: words(sink) == ["first", "second"], 15)


def test_a_killed_broker_doubles_and_loses_nothing(tmp_path: Path) -> None:
    folder = node_folder("rabbitmq")
    node = RabbitMQ(folder, throw_away=True)
    done: set[str] = set()
    refusals: list[tuple[str, float]] = []
    stopping = False

    def client(source: ServiceClient, number: int) -> None:
        count = 0
        while not stopping:
            word, call, count = f"c{number}-{count}", Call(), count + 1
            while True:
                begun = time.monotonic()
                try:
                    limited = Call(command_id=call.command_id, deadline=time.time() + 4)
                    assert source.say(limited, word=word) == {"said": word}
                    done.add(word)
                    break
                except ServiceError as error:
                    refusals.append((error.kind, time.monotonic() - begun))
                    eventlet.sleep(0.1)

    try:
        broker = node.start()
        with world(broker.uri(), tmp_path) as (settings, source), opened(settings, "sink") as sink:
            clients = [eventlet.spawn(client, source, number) for number in range(8)]
            eventlet.sleep(2)
            node.kill()
            node.start()
            eventlet.sleep(2)
            node.pause()
            eventlet.sleep(6)
            node.resume()
            before = len(done)
            wait_until(lambda: len(done) > before + 20, 30)
            stopping = True
            for thread in clients:
                thread.wait()
            wait_until(lambda: len(words(sink)) >= len(done), 30)
            eventlet.sleep(1)
            assert sorted(words(sink)) == sorted(done)
            assert refusals
            assert {kind for kind, _ in refusals} == {"unavailable"}
            assert max(seconds for _, seconds in refusals) < 5
    finally:
        node.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_connection_that_hangs_while_new_ones_work_is_replaced(vhost: str, proxy: Proxy, tmp_path: Path) -> None:
    with world(through(vhost, proxy), tmp_path) as (_, source):
        assert source.say(Call(), word="first") == {"said": "first"}
        proxy.set(Mode.HANG_OLD)

        def answers() -> bool:
            try:
                return source.say(Call(deadline=time.time() + 2), word="again") == {"said": "again"}
            except ServiceError:
                return False

        wait_until(answers, 45)


def test_an_alarm_of_the_broker_means_503_at_once_and_nothing_is_stuck_afterwards(tmp_path: Path) -> None:
    folder = node_folder("rabbitmq")
    node = RabbitMQ(folder, throw_away=True)
    try:
        with world(node.start().uri(), tmp_path) as (settings, source), opened(settings, "sink") as sink:
            assert source.say(Call(), word="first") == {"said": "first"}
            wait_until(lambda: words(sink) == ["first"], 10)
            node.control("set_vm_memory_high_watermark", "absolute", "1")
            eventlet.sleep(2)
            calls = [Call() for _ in range(20)]
            begun = time.monotonic()
            for number, call in enumerate(calls):
                limited = Call(command_id=call.command_id, deadline=time.time() + 4)
                with pytest.raises(ServiceError) as caught:
                    source.say(limited, word=f"w{number}")
                assert caught.value.code == "service.unavailable"
            # The first one may wait for its answer: the broker tells a connection only once it has published.
            assert time.monotonic() - begun < 5
            node.control("set_vm_memory_high_watermark", "absolute", "1GB")
            for number, call in enumerate(calls):
                again = Call(command_id=call.command_id, deadline=time.time() + 10)
                assert source.say(again, word=f"w{number}") == {"said": f"w{number}"}
            wait_until(lambda: len(words(sink)) >= 21, 30)
            assert sorted(words(sink)) == sorted(["first", *(f"w{number}" for number in range(20))])
    finally:
        node.close()
        shutil.rmtree(folder, ignore_errors=True)
