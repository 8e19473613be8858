"""Events are numbered so that what depended on an earlier commit comes later, whatever the clocks say (rule L19)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest
import sqlalchemy as sa

from services.chassis.data import tables
from services.chassis.data.db import Database
from services.chassis.data.migrations import start_log, upgrade
from services.chassis.data.unit import Unit
from services.chassis.service.relay import _number

ROOT = Path(__file__).resolve().parents[3]
_HOUR = 3600

# Takes the row's lock, says so, waits for a line, emits, commits.
_WRITER = """
import sys, time
offset = int(sys.argv[2]) * 10**9
true = time.time_ns
time.time_ns = lambda: true() + offset
import sqlalchemy as sa
from services.chassis.data.db import Database
database = Database("things", sys.argv[1])
def work(unit):
    unit.emit("thing_said", subject="early", data={"by": sys.argv[3]})
    print("begun", flush=True)
    unit.execute(sa.text("UPDATE counter SET n = n + 1"))
    print("locked", flush=True)
    sys.stdin.readline()
    unit.emit("thing_said", subject="late", data={"by": sys.argv[3]})
database.write(work)
print("done", flush=True)
"""


@pytest.fixture
def database(database_uri: str) -> Iterator[Database]:
    made = Database("things", database_uri)
    tables.metadata.create_all(made.engine)
    made.write(lambda unit: start_log(unit.connection))
    made.write(lambda unit: unit.execute(sa.text("CREATE TABLE counter (n INTEGER)")))
    made.write(lambda unit: unit.execute(sa.text("INSERT INTO counter VALUES (0)")))
    yield made
    made.close()


def _writer(database: Database, offset: int, name: str) -> subprocess.Popen[str]:
    uri = database.engine.url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _WRITER, uri, str(offset), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _hear(stream: IO[str] | None, word: str) -> None:
    assert stream is not None
    while (line := stream.readline().strip()) != word:
        assert line, f"the writer ended before it said {word}"


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("ahead", [_HOUR, -_HOUR])
def test_who_waited_for_a_commit_is_numbered_after_it_though_clocks_differ(database: Database, ahead: int) -> None:
    """Issue 6.4: numbers followed the ids, which are made of each process's own clock."""
    first = _writer(database, ahead, "first")
    _hear(first.stdout, "locked")
    second = _writer(database, -ahead, "second")
    if database.dialect == "postgresql":
        # Its transaction is older than the other one's commit, and waits for it.
        _hear(second.stdout, "begun")
    _go_on(first)
    _hear(first.stdout, "done")
    _hear(second.stdout, "locked")
    _go_on(second)
    _hear(second.stdout, "done")
    assert (first.wait(timeout=30), second.wait(timeout=30)) == (0, 0)
    database.write(_number)
    numbered = sa.select(tables.outbox.c.event).order_by(tables.outbox.c.sequence)
    told = [
        event.split('"by":"')[1].split('"')[0] for event in database.read(lambda c: c.execute(numbered).scalars().all())
    ]
    assert told == ["first", "first", "second", "second"]


def test_a_log_of_an_earlier_version_keeps_its_order(database_uri: str) -> None:
    upgrade("projects", database_uri)
    database = Database("projects", database_uri)
    try:
        for number in range(5):
            database.write(partial(Unit.emit, type="t", subject=str(number), data={}))
            if number == 2:
                database.write(_number)
        database.write(_as_of_an_earlier_version)
        upgrade("projects", database_uri)
        database.write(lambda unit: unit.emit("t", subject="5", data={}))
        database.write(_number)
        rows = database.read(
            lambda c: c.execute(sa.select(tables.outbox.c.event).order_by(tables.outbox.c.sequence)).scalars().all()
        )
        assert [row.split('"subject":"')[1][0] for row in rows] == list("012345")
        assert (
            database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(tables.log_epochs)).scalar()) == 1
        )
    finally:
        database.close()


def _as_of_an_earlier_version(unit: Unit) -> None:
    for statement in (
        "DROP INDEX ix_outbox_emission",
        "DROP INDEX ix_outbox_unnumbered",
        "ALTER TABLE outbox DROP COLUMN emission",
        "CREATE INDEX ix_outbox_unsequenced ON outbox (id)",
        "ALTER TABLE positions DROP COLUMN epoch",
        "ALTER TABLE positions DROP COLUMN event_id",
        "ALTER TABLE positions DROP COLUMN stopped_at",
        "ALTER TABLE positions DROP COLUMN stopped_because",
        "DROP TABLE log_epochs",
        "DROP TABLE applied_events",
        "UPDATE alembic_version SET version_num = '0004'",
    ):
        unit.execute(sa.text(statement))
    if unit.connection.dialect.name == "postgresql":
        unit.execute(sa.text("DROP SEQUENCE outbox_emissions"))
