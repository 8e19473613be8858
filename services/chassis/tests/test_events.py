"""Events reach their subscribers once, in order and without loss, whatever fails between (rules R8, R15, L13)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import eventlet
import pytest
import sqlalchemy as sa
from kombu import Connection

from services.chassis.bus import wire
from services.chassis.bus.publisher import Publisher
from services.chassis.bus.rpc import Bus, standalone
from services.chassis.context import Call
from services.chassis.data import tables
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.service.apply import MAX_ATTEMPTS, Applier
from services.chassis.service.broadcast import Broadcast
from services.chassis.service.health import instance
from services.chassis.service.relay import OutboxRelay, measure_lag
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    relay_locks,
    running,
    words,
)
from tests.rig import Server, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(vhost: str, tmp_path: Path) -> Settings:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    return settings


@pytest.fixture
def sink(settings: Settings) -> Iterator[Database]:
    with opened(settings, "sink") as database:
        yield database


def emit(database: Database, *said: str) -> None:
    for word in said:
        database.write(partial(_emit_one, word))


def _emit_one(word: str, unit: Unit) -> None:
    unit.emit("word_said", subject="word", data={"word": word})


def _emit_and_fail(unit: Unit) -> None:
    _emit_one("never", unit)
    raise ZeroDivisionError


def relay_all(settings: Settings, database: Database) -> None:
    publisher = Publisher(settings.amqp_uri, confirms=True)
    relay = OutboxRelay(database, publisher)
    while relay.step():
        pass
    publisher.close()


def test_a_first_start_after_a_thousand_events_gets_them_all(settings: Settings, sink: Database) -> None:
    expected = [f"w{number}" for number in range(1000)]
    with opened(settings, "source") as source:

        def emit_all(unit: Unit) -> None:
            for word in expected:
                unit.emit("word_said", subject="word", data={"word": word})

        source.write(emit_all)
        relay_all(settings, source)
    # The queue that had them is gone, as if it had never been declared before.
    with Connection(settings.amqp_uri) as connection:
        connection.channel().queue_delete("evt-source-sink")
    with running(settings, SourceService, SinkService):
        wait_until(lambda: len(words(sink)) >= 1000, 20)
    assert words(sink) == expected


def test_a_queue_deleted_under_a_running_subscriber_loses_nothing(settings: Settings, sink: Database) -> None:
    with running(settings, SourceService, SinkService), standalone(settings.amqp_uri) as to:
        for number in range(5):
            to("source").say(Call(deadline=time.time() + 5), word=f"a{number}")
        wait_until(lambda: len(words(sink)) == 5, 10)
        with Connection(settings.amqp_uri) as connection:
            connection.channel().queue_delete("evt-source-sink")
        for number in range(5):
            to("source").say(Call(deadline=time.time() + 5), word=f"b{number}")
        wait_until(lambda: len(words(sink)) >= 10, 25)
    assert words(sink) == [f"a{n}" for n in range(5)] + [f"b{n}" for n in range(5)]


def test_an_event_without_a_queue_stays_in_the_outbox_until_one_is_bound(settings: Settings, sink: Database) -> None:
    with Connection(settings.amqp_uri) as connection:
        connection.channel().queue_delete("evt-source-sink")
    with opened(settings, "source") as source:
        emit(source, "kept")
        publisher = Publisher(settings.amqp_uri, confirms=True)
        relay = OutboxRelay(source, publisher)
        assert relay.step() == 0
        assert measure_lag(source) >= 0
        declare_topology(settings, [SinkService])
        assert relay.step() == 1
        assert relay.step() == 0
        publisher.close()


@pytest.mark.parametrize("point", ["relay.before_publish", "relay.before_mark", "relay.after_mark"])
def test_a_relay_killed_anywhere_delivers_each_event_once(settings: Settings, sink: Database, point: str) -> None:
    with opened(settings, "source") as source:
        emit(source, *(f"w{number}" for number in range(20)))
    script = (
        "import services.chassis.bus.green\n"
        "from services.chassis.tests.messaging_world import opened\n"
        "from services.chassis.tests.test_events import relay_all\n"
        "from services.chassis.settings import Settings\n"
        "settings = Settings.from_environment()\n"
        "with opened(settings, 'source') as source: relay_all(settings, source)\n"
    )
    environment = {
        **os.environ,
        "TESSERA_DATA_DIR": str(settings.data_dir),
        "TESSERA_AMQP_URI": settings.amqp_uri,
        "TESSERA_FAIL_POINTS": f"{point}=exit:9",
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, timeout=60, check=False)
    assert ended.returncode == 9
    with running(settings, SourceService, SinkService):
        wait_until(lambda: len(words(sink)) >= 20, 15)
        eventlet.sleep(0.5)
    assert words(sink) == [f"w{number}" for number in range(20)]


@pytest.mark.parametrize("point", ["inbox.before_transaction", "inbox.before_commit", "inbox.after_commit"])
def test_a_subscriber_killed_anywhere_applies_each_event_once(settings: Settings, sink: Database, point: str) -> None:
    with opened(settings, "source") as source:
        emit(source, *(f"w{number}" for number in range(20)))
        relay_all(settings, source)
    script = (
        "import services.chassis.bus.green, sys\n"
        "from services.chassis.service.runner import serve\n"
        "from services.chassis.settings import Settings\n"
        "from services.chassis.tests.messaging_world import SinkService, SourceService\n"
        "sys.exit(serve(Settings.from_environment(), [SourceService, SinkService]))\n"
    )
    environment = {
        **os.environ,
        "TESSERA_DATA_DIR": str(settings.data_dir),
        "TESSERA_AMQP_URI": settings.amqp_uri,
        "TESSERA_FAIL_POINTS": f"{point}=exit:9",
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, timeout=60, check=False)
    assert ended.returncode == 9
    with running(settings, SourceService, SinkService):
        wait_until(lambda: len(words(sink)) >= 20, 15)
        eventlet.sleep(0.5)
    assert words(sink) == [f"w{number}" for number in range(20)]


def test_all_events_sent_again_change_nothing(settings: Settings, sink: Database) -> None:
    with running(settings, SourceService, SinkService), opened(settings, "source") as source:
        emit(source, *(f"w{number}" for number in range(30)))
        wait_until(lambda: len(words(sink)) == 30, 10)
        source.write(lambda unit: unit.execute(sa.update(tables.outbox).values(sent_at=None)))
        unsent = sa.select(sa.func.count()).select_from(tables.outbox).where(tables.outbox.c.sent_at.is_(None))
        wait_until(lambda: source.read(lambda c: c.execute(unsent).scalar_one()) == 0, 10)
        emit(source, "last")
        wait_until(lambda: "last" in words(sink), 10)
    assert words(sink) == [*(f"w{number}" for number in range(30)), "last"]


def test_a_failing_event_is_retried_and_parked_and_holds_up_no_other(settings: Settings, sink: Database) -> None:
    with opened(settings, "source") as source, running(settings, SourceService, SinkService):
        emit(source, "before", "poison", "after")
        wait_until(lambda: words(sink) == ["before", "after"], 10)
        row = sa.select(tables.retry_events)
        wait_until(lambda: sink.read(lambda c: c.execute(row).one()).attempts == 2, 10)
        for attempts in range(2, MAX_ATTEMPTS):

            def make_due(unit: Unit) -> None:
                unit.execute(sa.update(tables.retry_events).values(next_at=unit.now - timedelta(seconds=1)))

            sink.write(make_due)
            expected = attempts + 1

            def tried() -> bool:
                return bool(sink.read(lambda c: c.execute(row).one()).attempts == expected)  # noqa: B023 - used at once

            wait_until(tried, 10)
        parked = sink.read(lambda c: c.execute(row).one())
    assert parked.parked_at is not None
    assert "cannot handle poison" in parked.reason


def test_numbers_have_no_gaps_though_transactions_roll_back(settings: Settings) -> None:
    with opened(settings, "source") as source:
        for number in range(10):
            if number % 3 == 1:
                with pytest.raises(ZeroDivisionError):
                    source.write(_emit_and_fail)
            else:
                emit(source, f"w{number}")
        relay_all(settings, source)
        numbers = source.read(
            lambda c: c.execute(sa.select(tables.outbox.c.sequence).order_by(tables.outbox.c.id)).scalars().all()
        )
    assert list(numbers) == list(range(1, 8))


def test_shuffled_and_doubled_documents_are_applied_once_and_in_order(settings: Settings, sink: Database) -> None:
    applied: list[int] = []
    applier = Applier(sink, "source", lambda unit, events: applied.extend(event.sequence for event in events))
    documents = [
        {"id": f"e{n}", "source": "source", "type": "t", "time": "2026-01-01T00:00:00Z", "sequence": n, "data": {}}
        for n in range(1, 8)
    ]
    assert applier.apply([documents[2], documents[1]]) == 0
    assert applier.apply([documents[1], documents[0], documents[0], documents[5]]) == 2
    assert applier.apply(documents) == 5
    assert applied == [1, 2, 3, 4, 5, 6, 7]
    assert applier.position() == 7


def test_a_broadcast_sees_what_comes_and_what_came_while_it_was_away(settings: Settings) -> None:
    heard: list[str] = []

    def handler(events: list[Event]) -> None:
        heard.extend(event.data["word"] for event in events)

    with opened(settings, "source") as source, running(settings, SourceService, SinkService):
        emit(source, "earlier")
        with standalone(settings.amqp_uri, "sink") as to:
            wait_until(lambda: to("source").read_events(Call(), after=0, limit=0)["last_sequence"] == 1, 5)
        broadcast = Broadcast(settings.amqp_uri, "source", "sink", handler)
        broadcast.start()
        wait_until(lambda: broadcast.ready, 5)
        emit(source, "one", "two")
        wait_until(lambda: heard == ["one", "two"], 5)
        with Connection(settings.amqp_uri) as connection:
            connection.channel().queue_delete(broadcast.queue_name)
        emit(source, "three")
        wait_until(lambda: heard == ["one", "two", "three"], 15)
        broadcast.stop()


def test_one_relay_a_service_and_the_next_takes_over(vhost: str, postgresql: Server, tmp_path: Path) -> None:
    names = {service: f"relay_{os.getpid()}_{service}" for service in ("source", "sink")}
    uris = {service: postgresql.create_database(name) for service, name in names.items()}
    template = uris["source"].replace(names["source"], f"relay_{os.getpid()}_{{service}}")
    settings = make_settings(tmp_path, vhost, template)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    try:
        with opened(settings, "sink") as sink, opened(settings, "source") as source:
            with running(settings, SourceService, SinkService):
                with running(settings, SourceService):
                    emit(source, *(f"w{number}" for number in range(60)))
                    wait_until(lambda: len(words(sink)) == 60, 15)
                    assert relay_locks(source) == 1
                emit(source, "after")
                wait_until(lambda: words(sink)[-1] == "after", 15)
            assert words(sink) == [*(f"w{number}" for number in range(60)), "after"]
            wait_until(lambda: relay_locks(source) == 0, 5)
    finally:
        for name in names.values():
            postgresql.drop_database(name)


def test_a_frozen_relay_loses_its_lock_and_others_tell_the_lag(vhost: str, postgresql: Server, tmp_path: Path) -> None:
    """Issue 6.4: the lock of a relay that hung outlived it, and the lag was told by the relay alone."""
    names = {service: f"lease_{os.getpid()}_{service}" for service in ("source", "sink")}
    uris = {service: postgresql.create_database(name) for service, name in names.items()}
    template = uris["source"].replace(names["source"], f"lease_{os.getpid()}_{{service}}")
    settings = make_settings(tmp_path, vhost, template)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    script = (
        "import services.chassis.bus.green, sys\n"
        "from services.chassis.service.runner import serve\n"
        "from services.chassis.settings import Settings\n"
        "from services.chassis.tests.messaging_world import SourceService\n"
        "sys.exit(serve(Settings.from_environment(), [SourceService]))\n"
    )
    environment = {
        **os.environ,
        "TESSERA_DATA_DIR": str(settings.data_dir),
        "TESSERA_AMQP_URI": settings.amqp_uri,
        "TESSERA_DATABASE_URI": template,
        "PYTHONPATH": str(ROOT),
    }
    holder = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], env=environment)
    try:
        with opened(settings, "sink") as sink, opened(settings, "source") as source:
            wait_until(lambda: relay_locks(source) == 1, 30)
            with running(settings, SourceService, SinkService), standalone(settings.amqp_uri) as to:
                os.kill(holder.pid, signal.SIGSTOP)
                emit(source, "waits")
                lag = partial(_lag_of_this_process, settings)
                wait_until(lambda: lag() > 0.5, 10)
                assert words(sink) == []
                wait_until(lambda: words(sink) == ["waits"], 30)
                wait_until(lambda: lag() == 0, 10)
                os.kill(holder.pid, signal.SIGCONT)
                emit(source, "after")
                wait_until(lambda: words(sink) == ["waits", "after"], 10)
                assert to("sink").ping(Call())["outbox_lag_seconds"] == 0
                assert relay_locks(source) == 1
    finally:
        holder.kill()
        holder.wait(10)
        for name in names.values():
            postgresql.drop_database(name)


def _lag_of_this_process(settings: Settings) -> float:
    """Ping this very process: its figure is as good as that of the one that relays."""
    bus = Bus.of(settings.amqp_uri)
    try:
        key = wire.health_key("source", instance())
        return float(bus.call("source", "ping", Call(), {}, routing_key=key).result["outbox_lag_seconds"])
    finally:
        bus.release()
