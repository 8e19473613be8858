"""A database restored to an older state under those who follow its log, and the way out (rule R25)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.data import figures, tables
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.data.place import Place, read_place, read_stopped
from services.chassis.data.reconcile import Reconciled, lost_ids, reconcile
from services.chassis.service.apply import Applier
from services.chassis.service.broadcast import Broadcast
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    running,
    seen,
    words,
)
from tests.rig import wait_until


class World:
    """A source and a sink whose databases are files that can be put back to an earlier state."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def path(self, service: str) -> Path:
        """Return the file of a service's database."""
        return Path(self.settings.service_database_uri(service).removeprefix("sqlite:///"))

    def back_up(self, service: str) -> None:
        """Copy a database as it is now."""
        with opened(self.settings, service) as database:
            database.read(lambda c: c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all())
        shutil.copyfile(self.path(service), self.path(service).with_suffix(".backup"))

    def restore(self, service: str) -> None:
        """Put a database back to its copy; the service must not run."""
        for rest in ("-wal", "-shm"):
            self.path(service).with_name(self.path(service).name + rest).unlink(missing_ok=True)
        shutil.copyfile(self.path(service).with_suffix(".backup"), self.path(service))

    def emit(self, *said: str) -> None:
        """Emit one event a word."""
        with opened(self.settings, "source") as source:
            for word in said:
                source.write(partial(_say, word))

    def words(self) -> list[str]:
        """Return what the sink has applied."""
        with opened(self.settings, "sink") as sink:
            return words(sink)

    def stopped(self) -> dict[str, str]:
        """Return what the sink has stopped to follow."""
        with opened(self.settings, "sink") as sink:
            return sink.read(read_stopped)

    def figure(self, name: str) -> float:
        """Return one figure that the sink tells of the source."""
        with opened(self.settings, "sink") as sink:
            told = {figure.name: number for figure, labels, number in figures.read(sink, ()) if len(labels) == 2}
            return told[name]

    def reconcile(self, *, dry_run: bool = False) -> Reconciled:
        """Run what the command runs."""
        with opened(self.settings, "source") as source, opened(self.settings, "sink") as sink:
            return reconcile(source, {"sink": sink}, dry_run=dry_run)

    def numbered(self) -> int:
        """Return how many events of the source have a number."""
        with opened(self.settings, "source") as source:
            count = sa.select(sa.func.count()).where(tables.outbox.c.sent_at.is_not(None))
            return int(source.read(lambda c: c.execute(count).scalar_one()))

    def flaws(self, service: str) -> list[str]:
        """Return what a service's audit finds."""
        with opened(self.settings, service) as database:
            report = database.read(lambda c: outbox_report(c, service), snapshot=True)
        return [flaw for check in report.checks for flaw in check.flaws]


def _say(word: str, unit: Unit) -> None:
    unit.emit("word_said", subject=word, data={"word": word})


@pytest.fixture
def world(vhost: str, tmp_path: Path) -> World:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    return World(settings)


@pytest.fixture
def restored(world: World) -> World:
    """Give a world whose source has lost b1 to b3, which the sink has applied."""
    with running(world.settings, SourceService, SinkService):
        world.emit("a1", "a2")
        wait_until(lambda: world.words() == ["a1", "a2"], 10)
    world.back_up("source")
    with running(world.settings, SourceService, SinkService):
        world.emit("b1", "b2", "b3")
        wait_until(lambda: len(world.words()) == 5, 10)
    world.restore("source")
    return world


@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_a_sink_ahead_of_its_restored_source_stops_and_goes_on_once_reconciled(restored: World, count: int) -> None:
    """Issue 6.4: events that came under the sequences of lost ones were passed over, and nobody heard of it."""
    world = restored
    new = [f"c{number}" for number in range(count)]
    with running(world.settings, SourceService, SinkService):
        world.emit(*new)
        wait_until(lambda: world.numbered() == 2 + count, 10)
        wait_until(lambda: "source" in world.stopped(), 25)
        assert world.words() == ["a1", "a2", "b1", "b2", "b3"]
        assert "reconcile-events source" in world.stopped()["source"]
        assert world.figure("tessera_events_stopped") == 1
        with standalone(world.settings.amqp_uri) as to:
            assert "source" in to("sink").ping(Call())["stopped_sources"]
        assert any("not applied" in flaw for flaw in world.flaws("sink"))

        rehearsed = world.reconcile(dry_run=True)
        assert rehearsed.epoch is None
        assert [event.subject for event in rehearsed.followers[0].lost] == ["b1", "b2", "b3"]
        assert "source" in world.stopped()

        done = world.reconcile()
        assert done.epoch is not None
        world.emit("d1")
        wait_until(lambda: world.words() == ["a1", "a2", "b1", "b2", "b3", *new, "d1"], 15)
        assert world.stopped() == {}
        assert world.figure("tessera_events_stopped") == 0
        assert world.reconcile().epoch is None
        wait_until(lambda: world.flaws("sink") == world.flaws("source") == [], 10)
        with opened(world.settings, "sink") as sink:
            assert len(sink.read(lambda c: lost_ids(c, "source"))) == 3
            assert sink.read(lambda c: read_place(c, "source")).epoch == done.epoch
            last = sink.read(lambda c: c.execute(sa.select(sa.func.max(tables.applied_events.c.sequence))).scalar_one())
    # Above what anybody has applied, and what the source gave away between.
    assert last == max(5, 2 + count) + 1


def test_a_restored_sink_catches_up_by_itself(world: World) -> None:
    with running(world.settings, SourceService, SinkService):
        world.emit("a1", "a2")
        wait_until(lambda: world.words() == ["a1", "a2"], 10)
    world.back_up("sink")
    with running(world.settings, SourceService, SinkService):
        world.emit("b1", "b2")
        wait_until(lambda: len(world.words()) == 4, 10)
    world.restore("sink")
    assert world.words() == ["a1", "a2"]
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: world.words() == ["a1", "a2", "b1", "b2"], 10)
        assert world.stopped() == {}


def test_a_sink_restored_under_its_running_process_catches_up(world: World) -> None:
    with running(world.settings, SourceService, SinkService), opened(world.settings, "sink") as sink:
        world.emit("a1")
        wait_until(lambda: world.words() == ["a1"], 10)
        before = sink.read(lambda c: read_place(c, "source"))
        world.emit("b1")
        wait_until(lambda: world.words() == ["a1", "b1"], 10)

        def put_back(unit: Unit) -> None:
            unit.execute(sa.delete(seen).where(seen.c.word == "b1"))
            unit.execute(sa.delete(tables.applied_events).where(tables.applied_events.c.sequence > before.sequence))
            unit.execute(sa.update(tables.positions).values(sequence=before.sequence, event_id=before.event_id))

        sink.write(put_back)
        wait_until(lambda: world.words() == ["a1", "b1"], 20)


def test_messages_from_before_the_restore_are_not_applied_after_it(world: World) -> None:
    """Issue 6.4: what was under way when the source was restored looks like its newest events."""
    with running(world.settings, SourceService, SinkService):
        world.emit("a1")
        wait_until(lambda: world.words() == ["a1"], 10)
    world.back_up("source")
    with running(world.settings, SourceService):
        world.emit("b1", "b2")
        wait_until(lambda: world.numbered() == 3, 10)
    world.restore("source")
    # Nobody is ahead, so nothing has stopped; who knows of the restore reconciles all the same.
    with running(world.settings, SourceService):
        world.emit("c1")
        wait_until(lambda: world.numbered() == 2, 10)
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: "c1" in world.words(), 10)
        world.emit("c2")
        wait_until(lambda: "c2" in world.words(), 10)
        assert world.words() == ["a1", "c1", "c2"]


def test_a_source_restored_a_second_time_to_a_better_backup_doubles_nothing(restored: World) -> None:
    world = restored
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: "source" in world.stopped(), 25)
        world.reconcile()
        wait_until(lambda: world.stopped() == {}, 10)
    world.back_up("source")
    with running(world.settings, SourceService, SinkService):
        world.emit("d1")
        wait_until(lambda: world.words()[-1] == "d1", 10)
    world.restore("source")
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: "source" in world.stopped(), 25)
        found = world.reconcile()
        assert [event.subject for event in found.followers[0].lost] == ["d1"]
        world.emit("e1")
        wait_until(lambda: world.words() == ["a1", "a2", "b1", "b2", "b3", "d1", "e1"], 15)


def test_a_broadcast_takes_its_source_up_again_after_a_restore(world: World) -> None:
    """Issue 6.4: the gateway went on from its old place and never heard of a revocation again."""
    heard: list[str] = []
    loads: list[int] = []

    def handler(events: list[Event]) -> None:
        heard.extend(event.data["word"] for event in events)

    with running(world.settings, SourceService, SinkService):
        world.emit("a1")
        wait_until(lambda: world.numbered() == 1, 10)
    world.back_up("source")
    broadcast = Broadcast(world.settings.amqp_uri, "source", "sink", handler, lambda: loads.append(1))
    broadcast.start()
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: broadcast.ready, 10)
        world.emit("b1", "b2")
        wait_until(lambda: heard == ["b1", "b2"], 10)
    world.restore("source")
    with running(world.settings, SourceService, SinkService):
        wait_until(lambda: len(loads) == 2, 25)
        world.emit("c1")
        wait_until(lambda: heard == ["b1", "b2", "c1"], 10)
    broadcast.stop()


def test_a_place_that_an_older_version_wrote_is_taken_over(world: World) -> None:
    with running(world.settings, SourceService, SinkService):
        world.emit("a1", "a2")
        wait_until(lambda: len(world.words()) == 2, 10)
    with opened(world.settings, "sink") as sink:
        sink.write(lambda unit: unit.execute(sa.update(tables.positions).values(event_id=None, epoch=None)))
    with running(world.settings, SourceService, SinkService):
        world.emit("a3")
        wait_until(lambda: world.words() == ["a1", "a2", "a3"], 10)
        assert world.stopped() == {}


@pytest.fixture
def sink(world: World) -> Iterator[Database]:
    with opened(world.settings, "sink") as database:
        yield database


def test_what_a_stopped_sink_put_aside_is_not_tried_either(sink: Database) -> None:
    tried: list[str] = []

    def handler(unit: Unit, events: list[Event]) -> None:
        tried.append(events[0].id)
        raise ValueError

    applier = Applier(sink, "source", handler)
    applier.apply([_document(1, None)])
    assert applier.check(applier.place(), _page(1, "e1"))
    assert not applier.check(applier.place(), _page(1, "other"))
    tried.clear()
    sink.write(lambda unit: unit.execute(sa.update(tables.retry_events).values(next_at=unit.now)))
    assert applier.retry_due() == 0
    assert applier.apply([_document(2, "e1")]) == 0
    assert tried == []


def _document(number: int, previous: str | None) -> dict[str, object]:
    at = "2026-01-01T00:00:00Z"
    return {"id": f"e{number}", "source": "source", "type": "t", "time": at, "sequence": number, "data": {},
            "previousid": previous}  # fmt: skip


def _page(sequence: int, event_id: str) -> dict[str, object]:
    at = {"sequence": sequence, "id": event_id}
    return {"items": [], "epoch": "x", "at": at, "last_sequence": sequence, "last_id": event_id}


@pytest.mark.parametrize(
    ("place", "at", "is_same"),
    [
        (Place(), None, True),
        (Place(), (1, "e1"), False),
        (Place(3, "e3"), (3, "e3"), True),
        (Place(3, "e3"), (3, "x3"), False),
        (Place(3, "e3"), (2, "e2"), False),
        (Place(3, "e3"), None, False),
        (Place(3), (3, "e3"), True),
        (Place(3), (2, "e2"), False),
    ],
)
def test_a_log_is_the_one_that_was_followed_when_it_has_the_event_applied_last(
    place: Place, at: tuple[int, str] | None, is_same: bool
) -> None:
    page = _page(*at) if at is not None else {**_page(0, ""), "at": None}
    assert (place.flaw("source", page) is None) == is_same
