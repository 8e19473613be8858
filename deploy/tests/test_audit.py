"""The composed audit: clean when history has every event, and telling when one is lost, changed, or not there yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploy import audit as audit_command
from deploy.audit import audit, render
from services.chassis.data.audit.checks import Check, Report
from services.chassis.data.db import Database, Unit
from services.chassis.data.migrations import upgrade
from services.chassis.data.outbox import Event, read_events
from services.chassis.data.tables import outbox, outbox_head, positions, retry_events
from services.chassis.data.testing import flaws_of
from services.chassis.ids import new_id
from services.chassis.settings import Settings
from services.history.commands import append_events


class Rooms:
    """One emitting room and history, without a broker between them."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.from_environment({"TESSERA_DATA_DIR": str(folder)})
        folder.mkdir()
        for room in ("devices", "history"):
            upgrade(room, self.settings.service_migration_uri(room))
        self.devices = Database.from_settings(self.settings, "devices", pool_size=2)
        self.history = Database.from_settings(self.settings, "history", pool_size=2)

    def emit(self, count: int) -> None:
        """Put events into the outbox, numbered as the relay numbers them."""
        company = new_id()
        for _ in range(count):
            self.devices.write(
                lambda unit: unit.emit("warranty_checked", subject=new_id(), data={"n": 1}, company_id=company)
            )
        with self.devices.engine.begin() as connection:
            ids = connection.scalars(
                sa.select(outbox.c.id).where(outbox.c.sequence.is_(None)).order_by(outbox.c.id)
            ).all()
            last = connection.scalar(sa.select(outbox_head.c.last_sequence)) or 0
            for number, event_id in enumerate(ids, start=last + 1):
                connection.execute(
                    sa.update(outbox).where(outbox.c.id == event_id).values(sequence=number, sent_at=sa.func.now())
                )
            connection.execute(sa.update(outbox_head).values(last_sequence=last + len(ids)))

    def deliver(self, *, leave_out: int = 0) -> None:
        """Append what history does not have, but for one sequence."""
        documents = self.devices.read(lambda connection: read_events(connection, 0, 500))
        events = [Event.from_document(document) for document in documents if document["sequence"] != leave_out]

        def work(unit: Unit) -> None:
            append_events(unit, events)
            unit.execute(sa.delete(positions))
            last = events[-1]
            place = {"source": last.source, "sequence": last.sequence, "event_id": last.id, "updated_at": unit.now}
            unit.execute(sa.insert(positions).values(**place))

        self.history.write(work)

    def audit(self) -> list[Report]:
        """Audit without waiting."""
        return audit(self.settings, patience=0)

    def close(self) -> None:
        """Close both databases."""
        self.devices.close()
        self.history.close()


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rooms]:
    monkeypatch.setattr(audit_command, "ROOMS", ("devices", "history"))
    rooms = Rooms(tmp_path / "data")
    rooms.emit(5)
    yield rooms
    rooms.close()


def flaws(reports: list[Report]) -> list[str]:
    return [flaw for report in reports for check in report.checks for flaw in check.flaws]


def test_an_installation_whose_history_is_complete_is_clean(rooms: Rooms) -> None:
    rooms.deliver()
    reports = rooms.audit()
    assert flaws(reports) == []
    assert "one line per event of devices" in render(reports)
    assert render(reports).splitlines()[-1].startswith("clean: ")


def test_an_event_without_a_line_is_told(rooms: Rooms) -> None:
    rooms.deliver(leave_out=3)
    reports = rooms.audit()
    flaw, named = flaws(reports)
    assert named.startswith("event ") and ", number 3, warranty_checked of " in named and named.endswith("has no line")
    assert flaw in flaws_of([check for report in reports for check in report.checks], "one line per event of devices")
    assert flaw.startswith("devices has 5 events, history has lines for 4 of them")


def test_an_event_that_says_something_else_than_its_line_is_told(rooms: Rooms) -> None:
    rooms.deliver()
    with rooms.devices.engine.begin() as connection:
        changed = sa.func.replace(outbox.c.event, '"n":1', '"n":2')
        connection.execute(sa.update(outbox).where(outbox.c.sequence == 2).values(event=changed))
    flaw, named = flaws(rooms.audit())
    assert flaw.startswith("the lines of devices say something else")
    assert ", number 2, warranty_checked of " in named and named.endswith("says something else than the event")


def test_a_line_of_an_event_that_there_never_was_is_told(rooms: Rooms) -> None:
    """A forged line behind the end of its source's log, with its chain and head: no digest reached so far."""
    rooms.deliver()
    documents = rooms.devices.read(lambda connection: read_events(connection, 0, 500))
    forged = Event.from_document({**documents[-1], "id": new_id(), "sequence": 6})
    rooms.history.write(lambda unit: append_events(unit, [forged]))
    (flaw,) = flaws(rooms.audit())
    assert f"is of event {forged.id}, number 6 of devices, and history has applied devices up to 5" in flaw


def test_the_first_event_of_a_log_is_missed_too(rooms: Rooms) -> None:
    rooms.deliver()
    with rooms.devices.engine.begin() as connection:
        connection.execute(sa.delete(outbox).where(outbox.c.sequence == 1))
    told = flaws(rooms.audit())
    assert any("holds 4 events between sequence 1 and 5; missing: 1" in flaw for flaw in told)
    assert any("number 1, warranty_checked of" in flaw and "is of no event of devices" in flaw for flaw in told)


def test_a_gap_in_the_outbox_is_told(rooms: Rooms) -> None:
    rooms.deliver()
    with rooms.devices.engine.begin() as connection:
        connection.execute(sa.delete(outbox).where(outbox.c.sequence == 2))
    assert any("holds 4 events between sequence 1 and 5" in flaw for flaw in flaws(rooms.audit()))


def test_an_event_that_waits_to_be_published_is_told(rooms: Rooms) -> None:
    rooms.deliver()
    rooms.devices.write(lambda unit: unit.emit("warranty_checked", subject=new_id(), data={}))
    assert any("waits to be published" in flaw for flaw in flaws(rooms.audit()))


def test_a_parked_event_is_told_with_its_reason(rooms: Rooms) -> None:
    rooms.deliver()
    with rooms.history.engine.begin() as connection:
        row = {"event_id": new_id(), "source": "devices", "event": "{}", "attempts": 8, "reason": "KeyError: 'x'"}
        connection.execute(sa.insert(retry_events).values(parked_at=sa.func.now(), **row))
    assert any("KeyError" in flaw for flaw in flaws(rooms.audit()))


def test_signed_heads_that_were_edited_are_told(rooms: Rooms) -> None:
    rooms.deliver()
    heads = rooms.settings.data_dir / "heads" / "history.jsonl"
    heads.parent.mkdir(exist_ok=True)
    heads.write_text("{}\n")
    checks = [check for report in rooms.audit() for check in report.checks]
    assert "history.jsonl, line 1" in flaws_of(checks, "signed heads")


def test_the_command_tells_by_its_exit_code(rooms: Rooms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audit_command, "_CATCH_UP_SECONDS", 0)
    monkeypatch.setenv("TESSERA_DATA_DIR", str(rooms.settings.data_dir))
    rooms.deliver()
    assert audit_command.main([]) == 0
    rooms.emit(1)
    assert audit_command.main(["--json"]) == 1
    monkeypatch.setenv("TESSERA_DATA_DIR", str(tmp_path / "nowhere"))
    assert audit_command.main([]) == 2


def _looks(*looks: tuple[str, ...]) -> list[Report]:
    """Return what a room reports look after look, the last one for ever."""
    wrong = Check("balances", 1, ("one is wrong",))
    return [Report("devices", (wrong, Check("every event published", 9, found, passing=True))) for found in looks]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([("event 1 waits",), ("event 2 waits",)], ()),
        ([("event 1 waits", "event 2 waits"), ("event 2 waits", "event 3 waits"), ("event 3 waits",)], ()),
        ([("event 1 waits", "event 2 waits"), ("event 1 waits", "event 3 waits")], ("event 1 waits",)),
        ([("event 1 waits", "and 7 more"), ("event 2 waits", "and 7 more")], ()),
        ([("event 1 waits", "and 7 more"), ("event 1 waits", "and 9 more")], ("event 1 waits", "and 7 more")),
    ],
)
def test_what_is_on_its_way_is_told_only_if_it_was_there_in_every_look(
    monkeypatch: pytest.MonkeyPatch, looks: list[tuple[str, ...]], expected: tuple[str, ...]
) -> None:
    """In a busy installation something is on its way whenever one looks, and never the same."""
    reports = _looks(*looks)
    monkeypatch.setattr(audit_command, "room_report", lambda *_: reports.pop(0) if len(reports) > 1 else reports[0])
    monkeypatch.setattr(audit_command, "_PAUSE", 0)
    settings = Settings.from_environment({})
    settled = audit_command._settled_report("devices", settings, time.monotonic() + (2 if expected else 60))
    wrong, passing = settled.checks
    assert wrong.flaws == ("one is wrong",) and passing.flaws == expected
