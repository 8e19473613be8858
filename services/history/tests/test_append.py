"""Appending: whole batches, one line per event, chains in step under parallel writers, lines that stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import eventlet
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.chassis.data import aliases, tables
from services.chassis.data.db import Database, Unit
from services.chassis.ids import new_id
from services.history import store
from services.history.audit import verify_chain
from services.history.commands import append_events
from services.history.models import Base, Chain, Line
from services.history.tests.conftest import Sources

Keep = Callable[..., int]


def heads(database: Database) -> dict[str, int]:
    return {head.chain: head.count for head in database.read(store.heads)}


def flaws(database: Database) -> list[str]:
    def walk(connection: sa.Connection) -> list[str]:
        found = [verify_chain(connection, head, {}) for head in store.heads(connection)]
        return [str(flaw) for flaw in found if flaw is not None]

    return database.read(walk, snapshot=True)


def test_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    metadata = [Base.metadata, tables.metadata, aliases.metadata]
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        assert compare_metadata(context, metadata) == []  # type: ignore[arg-type]


def test_each_company_has_a_chain_and_the_vendor_has_one(database: Database, keep: Keep, sources: Sources) -> None:
    one, other = new_id(), new_id()
    keep(sources.event(company=one), sources.event(company=other), sources.event(company=one), sources.event())
    assert heads(database) == {one: 2, other: 1, "vendor": 1}
    assert flaws(database) == []


def test_an_event_that_comes_again_leaves_no_second_line(database: Database, keep: Keep, sources: Sources) -> None:
    company = new_id()
    first, second = sources.event(company=company), sources.event(company=company)
    assert keep(first) == 1
    assert keep(first, second) == 1
    assert keep(second, first) == 0
    assert heads(database) == {company: 2}
    assert flaws(database) == []


def test_a_batch_that_fails_leaves_nothing(database: Database, sources: Sources) -> None:
    events = [sources.event(company=new_id()) for _ in range(3)]

    def broken(unit: Unit) -> None:
        append_events(unit, events)
        raise RuntimeError("after the append")

    with pytest.raises(RuntimeError):
        database.write(broken)
    assert heads(database) == {}


def test_parallel_batches_over_the_same_chains_leave_every_chain_whole(database: Database, sources: Sources) -> None:
    companies = [new_id() for _ in range(3)]
    batches = [
        [sources.event(source=f"room{batch}", company=companies[(batch + step) % 3]) for step in range(6)]
        for batch in range(8)
    ]
    pool = eventlet.GreenPool(8)
    done = pool.imap(lambda batch: database.write(lambda unit: append_events(unit, batch)), batches)
    assert sum(done) == 48
    assert sum(heads(database).values()) == 48
    assert flaws(database) == []


@pytest.mark.parametrize("change", [sa.update(Line).values(action="x"), sa.delete(Line)])
def test_the_database_refuses_to_change_lines(
    database: Database, keep: Keep, sources: Sources, change: sa.Update | sa.Delete
) -> None:
    keep(sources.event(company=new_id()))
    with pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"), database.engine.begin() as connection:
        connection.execute(change)
    assert sum(heads(database).values()) == 1


def test_a_chain_cannot_go_below_nothing(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        connection.execute(sa.insert(Chain).values(chain="c", count=-1, hash="0"))
