"""Ids that became another id: flat for ever, found from both ends, and nothing new is stored under an old one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eventlet
import pytest
import sqlalchemy as sa
from eventlet.event import Event as Signal

from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.engine import make_engine
from services.chassis.ids import new_id

_owned = sa.Table("owned", sa.MetaData(), sa.Column("id", sa.String(36)), sa.Column("owner_id", sa.String(36)))


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Iterator[Database]:
    engine = make_engine(database_uri, pool_size=1)
    with engine.begin() as connection:
        aliases.metadata.create_all(connection)
        _owned.create(connection)
    engine.dispose()
    database = Database("things", database_uri)
    yield database
    database.close()


def join(database: Database, old_ids: list[str], new_id: str) -> None:
    database.write(lambda unit: aliases.join(unit, old_ids, new_id))


def test_an_old_id_stands_for_the_newest_however_it_got_there(database: Database) -> None:
    a, b, c, d = (new_id() for _ in range(4))
    join(database, [c], b)
    join(database, [b], a)
    join(database, [a], a)
    for _ in range(2):
        assert database.read(lambda c_: aliases.currents(c_, [a, b, c, d])) == {a: a, b: a, c: a, d: d}
        assert set(database.read(lambda c_: aliases.group(c_, a))) == {a, b, c}
        assert database.read(lambda c_: aliases.group(c_, b)) == [b]
        # Told once more, the first one late: nothing changes.
        join(database, [b, c], a)
        join(database, [c], database.read(lambda c_: aliases.current(c_, b)))


def test_pairs_are_joined_at_once(database: Database) -> None:
    a, b, c, d, e = (new_id() for _ in range(5))
    join(database, [e], c)
    database.write(lambda unit: aliases.join_each(unit, {c: a, d: b}))
    assert database.read(lambda c_: aliases.currents(c_, [c, d, e])) == {c: a, d: b, e: a}


def test_the_check_finds_rows_under_old_ids(database: Database) -> None:
    old, new = new_id(), new_id()
    database.write(lambda unit: unit.execute(sa.insert(_owned).values(id="1", owner_id=old)) and None)
    assert database.read(lambda c: aliases.check_unused(c, [_owned.c.owner_id]), snapshot=True).flaws == ()
    join(database, [old], new)
    (flaw,) = database.read(lambda c: aliases.check_unused(c, [_owned.c.owner_id]), snapshot=True).flaws
    assert old in flaw


def test_who_inserts_and_who_merges_wait_for_each_other(database: Database) -> None:
    """Whatever comes first, no row is left under the old id."""
    old, new = new_id(), new_id()
    inserting, inserted = Signal(), Signal()

    def insert(unit: Unit, *, wait: bool) -> str:
        owner = aliases.share(unit.connection, old)
        if wait:
            inserting.send()
            eventlet.sleep(0.3)
        unit.execute(sa.insert(_owned).values(id=new_id(), owner_id=owner))
        return owner

    def merge(unit: Unit) -> None:
        aliases.hold(unit.connection, [old, new])
        aliases.join(unit, [old], new)
        unit.execute(sa.update(_owned).where(_owned.c.owner_id == old).values(owner_id=new))

    def run(work: Any) -> None:
        inserted.send(database.write(work))

    if database.dialect == "sqlite":
        # One writer at a time, in one process: there is nothing that could meet.
        database.write(lambda unit: insert(unit, wait=False))
        database.write(merge)
    else:
        eventlet.spawn(run, lambda unit: insert(unit, wait=True))
        inserting.wait()
        database.write(merge)
        assert inserted.wait() == old
    assert database.write(lambda unit: insert(unit, wait=False)) == new
    assert database.read(lambda c: aliases.check_unused(c, [_owned.c.owner_id]), snapshot=True).flaws == ()
