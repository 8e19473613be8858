"""History as a service: a source's events become lines, however late history came and whatever was lost on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from kombu import Connection as Broker
from nameko.runners import ServiceRunner

from services.chassis.bus import embedded, identity, wire
from services.chassis.data.audit.checks import check_outbox
from services.chassis.data.db import Database, Unit
from services.chassis.data.migrations import upgrade
from services.chassis.data.tables import outbox
from services.chassis.ids import new_id
from services.chassis.service.providers import SETTINGS_KEY, DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.history import store
from services.history.audit import audit, compare
from services.history.models import Line
from services.history.service import HistoryService

EVENTS = 1_000


class AccountsSource:
    """Stands for accounts: an outbox, its relay, and the leaf from which missed events are read."""

    name = "accounts"
    database = DatabaseProvider()
    relay = Relay()
    events = EventsLeaf("history")


class ProjectsSource(AccountsSource):
    """Stands for projects."""

    name = "projects"


class DevicesSource(AccountsSource):
    """Stands for devices."""

    name = "devices"


class LicensingSource(AccountsSource):
    """Stands for licensing."""

    name = "licensing"


SOURCES = (AccountsSource, ProjectsSource, DevicesSource, LicensingSource)
NAMES = tuple(source.name for source in SOURCES)


class Bench:
    """Databases and a broker, on which sources and history are started and stopped separately."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stack = ExitStack()
        for name in (*NAMES, "history"):
            upgrade(name if name == "history" else "devices", settings.service_migration_uri(name))
        self.databases = {name: Database.from_settings(settings, name, pool_size=3) for name in (*NAMES, "history")}

    def start(self, *services: type, declare: bool = True) -> ServiceRunner:
        """Start services in this process; they are stopped at the end of the test at the latest."""
        if declare:
            declare_topology(self.settings, services)
        identity.use(self.settings, [service.name for service in services])  # type: ignore[attr-defined]
        runner = ServiceRunner({"AMQP_URI": self.settings.amqp_uri, "max_workers": 4, SETTINGS_KEY: self.settings})
        for service in services:
            runner.add_service(service)
        runner.start()
        self.stack.callback(runner.stop)
        return runner

    def emit(self, source: str, count: int, *, per_transaction: int = 10) -> None:
        """Commit events in the outbox of a source, for three companies."""
        companies = [new_id() for _ in range(3)]
        for start in range(0, count, per_transaction):
            numbers = range(start, min(start + per_transaction, count))
            self.databases[source].write(partial(_emit, f"{source}_done", companies, numbers))

    def lines(self) -> int:
        """Count history's lines."""
        statement = sa.select(sa.func.count()).select_from(Line)
        return self.databases["history"].read(lambda connection: connection.execute(statement).scalar_one())

    def wait_for_lines(self, count: int, seconds: float = 30.0) -> None:
        """Wait until history has so many lines, and fail when it does not in time."""
        deadline = time.monotonic() + seconds
        while (lines := self.lines()) != count:
            assert time.monotonic() < deadline, f"history has {lines} of {count} lines after {seconds} s"
            time.sleep(0.05)

    def flaws(self) -> list[str]:
        """Audit history against itself and against all sources."""
        logs = [
            database.read(partial(check_outbox, source=name), snapshot=True)[0]
            for name, database in self.databases.items()
            if name != "history"
        ]
        reports = [audit(self.settings), compare(self.settings, logs)]
        return [flaw for report in reports for check in report.checks for flaw in check.flaws]

    def close(self) -> None:
        """Stop what runs and close the databases."""
        self.stack.close()
        for database in self.databases.values():
            database.close()


@pytest.fixture(params=["embedded", "rabbitmq"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    environment = {"TESSERA_DATA_DIR": str(tmp_path / "data")}
    if request.param == "rabbitmq":
        environment["TESSERA_AMQP_URI"] = request.getfixturevalue("vhost")
    bench = Bench(Settings.from_environment(environment))
    yield bench
    bench.close()
    if request.param == "embedded":
        embedded.reset()


def test_events_of_all_sources_become_lines_within_two_seconds(bench: Bench) -> None:
    declare_topology(bench.settings, [*SOURCES, HistoryService])
    bench.start(*SOURCES, HistoryService)
    for name in NAMES:
        bench.emit(name, 5)
    bench.wait_for_lines(20, seconds=2.0)
    assert bench.flaws() == []


def test_history_started_for_the_first_time_after_1000_events_is_complete(bench: Bench) -> None:
    # No queue of history exists: RabbitMQ returns the events, the log of the source is what counts.
    bench.start(*SOURCES)
    bench.emit("licensing", EVENTS)
    bench.emit("accounts", 7)
    bench.start(HistoryService)
    bench.wait_for_lines(EVENTS + 7)
    assert bench.flaws() == []
    bench.emit("licensing", 3)
    bench.wait_for_lines(EVENTS + 10)
    assert bench.flaws() == []


def test_history_whose_queue_was_deleted_with_what_was_in_it_is_complete(bench: Bench) -> None:
    declare_topology(bench.settings, [*SOURCES, HistoryService])
    bench.start(*SOURCES)
    history = bench.start(HistoryService)
    bench.emit("licensing", 20)
    bench.wait_for_lines(20)
    history.stop()
    bench.emit("licensing", 200)
    _wait_until_sent(bench.databases["licensing"])
    with Broker(bench.settings.amqp_uri) as broker:
        queue = wire.events_queue("licensing", "history")(broker.channel())
        queue.delete()
    bench.start(HistoryService)
    bench.wait_for_lines(220)
    assert bench.flaws() == []


def test_history_whose_queue_was_purged_while_it_ran_notices_by_the_next_event(bench: Bench) -> None:
    declare_topology(bench.settings, [*SOURCES, HistoryService])
    bench.start(*SOURCES)
    bench.emit("licensing", 30)
    _wait_until_sent(bench.databases["licensing"])
    with Broker(bench.settings.amqp_uri) as broker:
        wire.events_queue("licensing", "history")(broker.channel()).purge()
    bench.start(HistoryService, declare=False)
    bench.emit("licensing", 1)
    bench.wait_for_lines(31)
    assert bench.flaws() == []


def test_events_sent_again_by_their_source_leave_no_second_line(bench: Bench) -> None:
    declare_topology(bench.settings, [*SOURCES, HistoryService])
    bench.start(*SOURCES, HistoryService)
    bench.emit("devices", 50)
    bench.wait_for_lines(50)
    heads = bench.databases["history"].read(store.heads)
    bench.databases["devices"].write(lambda unit: unit.execute(sa.update(outbox).values(sent_at=None)))
    _wait_until_sent(bench.databases["devices"])
    bench.emit("devices", 1)
    bench.wait_for_lines(51)
    moved = {head.chain for head in set(bench.databases["history"].read(store.heads)) - set(heads)}
    assert len(moved) == 1
    assert bench.flaws() == []


def _wait_until_sent(database: Database) -> None:
    statement: Any = sa.select(outbox.c.id).where(outbox.c.sent_at.is_(None)).limit(1)
    deadline = time.monotonic() + 30
    while database.read(lambda connection: connection.execute(statement).first()) is not None:
        assert time.monotonic() < deadline, "the relay did not send everything"
        time.sleep(0.05)


def _emit(type: str, companies: list[str], numbers: range, unit: Unit) -> None:
    for number in numbers:
        unit.emit(type, subject=new_id(), data={"n": number}, company_id=companies[number % len(companies)])
