"""A unit of work commits all or nothing, a command id runs once, on PostgreSQL and SQLite alike."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import db, idempotency, outbox, tables
from services.chassis.data.db import Database, Unit
from services.chassis.data.migrations import start_log
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError, conflict, unavailable
from services.chassis.keys.keystore import KeyStore

things = sa.Table(
    "things", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", tables.UtcDateTime)
)


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Any:
    made = Database("things", database_uri, keystore=KeyStore(tmp_path / "keys", b"test"))
    tables.metadata.create_all(made.engine)
    made.write(lambda unit: start_log(unit.connection))
    things.metadata.create_all(made.engine)
    yield made
    made.close()


def _insert(unit: Unit) -> dict[str, Any]:
    number = unit.execute(sa.select(sa.func.count()).select_from(things)).scalar_one() + 1
    unit.execute(sa.insert(things).values(id=number, at=unit.now))
    unit.emit("thing_made", subject=str(number), data={"number": number}, company_id="c")
    return {"number": number}


def _count(database: Database, table: sa.Table) -> int:
    return database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_repeated_command_answers_the_same_and_does_nothing(database: Database) -> None:
    call = make_call(company="c")
    assert database.command(call, "make", {"a": 1}, _insert) == {"number": 1}
    assert db.last_was_replay() is False
    assert database.command(call, "make", {"a": 1}, _insert) == {"number": 1}
    assert db.last_was_replay() is True
    assert (_count(database, things), _count(database, tables.outbox)) == (1, 1)


def test_with_every_connection_in_use_the_outcome_is_unavailable_and_not_an_internal_error(database: Database) -> None:
    held = []
    try:
        for engine in {database.engine, database._reader}:
            pool: Any = engine.pool
            pool._timeout = 0.05
            with suppress(sa.exc.TimeoutError):
                while True:
                    held.append(engine.connect())
        for begin in (database.read, database.write):
            with pytest.raises(ServiceError) as refusal:
                begin(lambda _: 1)
            assert (refusal.value.code, refusal.value.status) == ("service.unavailable", 503)
    finally:
        for connection in held:
            connection.close()
    assert database.write(lambda unit: 1) == 1


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_begun_in_a_company_is_not_done_again_after_another_one_absorbed_it(
    database: Database, sealed: bool
) -> None:
    def call(company: str, *absorbed: str, key: str = "k") -> Any:
        return make_call(company=company, absorbed=absorbed, command_id=key)

    def ask(call: Any, amount: int = 1) -> Any:
        return database.command(call, "make", {"a": amount}, _insert, sealed=sealed)

    assert ask(call("gone", "older")) == {"number": 1}
    for repetition in (call("into", "first", "gone", "older"), call("into", "older"), call("gone")):
        assert ask(repetition) == {"number": 1}
        assert db.last_was_replay() is True
    with pytest.raises(ServiceError) as refusal:
        ask(call("into", "gone"), 2)
    assert refusal.value.code == "idempotency.key_reused"
    assert ask(call("into", "gone", key="new"), 2) == {"number": 2}
    assert ask(call("another")) == {"number": 3}


def test_claims_are_kept_for_thirty_days_and_then_swept(database: Database) -> None:
    call, old = make_call(company="c"), make_call(company="c")
    for made in (call, old):
        database.command(made, "make", {"a": 1}, _insert)
    table = tables.idempotency

    def age(unit: Unit, days: float) -> None:
        mine = sa.update(table).where(table.c.key == old.command_id)
        unit.execute(mine.values(created_at=unit.now - timedelta(days=days)))

    for days, swept in ((29.9, 0), (30.1, 1), (0, 0)):
        database.write(partial(age, days=days))
        assert database.write(lambda unit: idempotency.sweep(unit.connection, unit.now)) == swept
    assert database.command(call, "make", {"a": 1}, _insert) == {"number": 1}
    assert _count(database, table) == 1


def test_a_command_id_is_refused_for_another_request(database: Database) -> None:
    call = make_call(company="c")
    database.command(call, "make", {"a": 1}, _insert)
    with pytest.raises(ServiceError) as refusal:
        database.command(call, "make", {"a": 2}, _insert)
    assert (refusal.value.code, refusal.value.status) == ("idempotency.key_reused", 422)
    # It is no repetition of anything.
    assert db.last_was_replay() is False
    other_company = make_call(company="d", command_id=call.command_id)
    assert database.command(other_company, "make", {"a": 2}, _insert) == {"number": 2}


def test_a_business_refusal_leaves_no_trace_and_is_final(database: Database) -> None:
    call = make_call(company="c")
    runs = []

    def refuse(unit: Unit) -> dict[str, Any]:
        runs.append(1)
        _insert(unit)
        raise conflict("things.full", "No room.", left=0)

    for replay in (False, True):
        with pytest.raises(ServiceError) as refusal:
            database.command(call, "make", {}, refuse)
        assert (refusal.value.code, refusal.value.extra) == ("things.full", {"left": 0})
        assert db.last_was_replay() is replay
    assert len(runs) == 1
    assert (_count(database, things), _count(database, tables.outbox)) == (0, 0)


def test_what_is_left_to_the_end_comes_after_answer_and_events_and_may_still_refuse(database: Database) -> None:
    call, refusing, seen = make_call(company="c"), [True], []

    def last(unit: Unit) -> None:
        seen.append([unit.execute(sa.select(sa.func.count()).select_from(tables.outbox)).scalar_one()])
        seen[-1] += list(unit.execute(sa.select(tables.idempotency.c.answer)).scalars())
        if refusing.pop():
            raise conflict("things.busy", "Not now.")

    def work(unit: Unit) -> dict[str, Any]:
        answer = _insert(unit)
        unit.at_end(lambda: last(unit))
        return answer

    for _ in range(2):
        with pytest.raises(ServiceError) as refusal:
            database.command(call, "make", {}, work)
        assert (refusal.value.code, refusal.value.settled) == ("things.busy", True)
        assert (_count(database, things), _count(database, tables.outbox)) == (0, 0)
    assert seen == [[1, b'{"number":1}']]
    refusing.append(False)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(tables.idempotency))
    assert database.command(make_call(company="c"), "make", {}, work) == {"number": 1}
    assert len(seen) == 2
    assert (_count(database, things), _count(database, tables.outbox)) == (1, 1)
    refusing.append(False)
    assert database.write(work) == {"number": 2}
    assert seen[-1][0] == _count(database, tables.outbox) == 2


def test_an_infrastructure_error_is_not_stored(database: Database) -> None:
    call = make_call(company="c")

    def fail(unit: Unit) -> dict[str, Any]:
        _insert(unit)
        raise unavailable()

    with pytest.raises(ServiceError):
        database.command(call, "make", {}, fail)
    assert database.command(call, "make", {}, _insert) == {"number": 1}


def test_sealed_answers_are_not_readable_in_the_table(database: Database) -> None:
    call = make_call(company="c")
    for _ in range(2):
        assert database.command(call, "make", {}, lambda unit: {"key": "TOP-SECRET"}, sealed=True) == {
            "key": "TOP-SECRET"
        }
    stored = database.read(lambda c: c.execute(sa.select(tables.idempotency.c.answer)).scalar_one())
    assert b"TOP-SECRET" not in bytes(stored)


def test_twenty_threads_with_one_command_id_have_one_effect(database: Database) -> None:
    call = make_call(company="c")
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(database.command(call, "make", {}, _insert))
        except ServiceError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [{"number": 1}] * 20
    assert _count(database, things) == 1


def test_calls_inside_a_transaction_are_known(database: Database) -> None:
    assert db.in_transaction() is False
    assert database.write(lambda unit: db.in_transaction()) is True
    assert database.read(lambda connection: db.in_transaction()) is True
    assert db.in_transaction() is False


def test_times_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    database.write(lambda unit: unit.execute(sa.insert(things).values(id=1, at=unit.now)))
    at = database.read(lambda c: c.execute(sa.select(things.c.at)).scalar_one())
    assert at.utcoffset().total_seconds() == 0
    with pytest.raises(Exception, match="without a zone"):
        database.write(lambda unit: unit.execute(sa.insert(things).values(id=2, at=unit.now.replace(tzinfo=None))))


def test_only_sequenced_events_are_read_in_order(database: Database) -> None:
    for _ in range(3):
        database.write(_insert)
    assert database.read(lambda c: outbox.read_events(c, 0, 10)) == []
    rows = database.read(
        lambda c: c.execute(sa.select(tables.outbox.c.id).order_by(tables.outbox.c.id)).scalars().all()
    )
    for sequence, row in enumerate(rows[:2], 1):
        number = sa.update(tables.outbox).where(tables.outbox.c.id == row).values(sequence=sequence)
        database.write(partial(Unit.execute, statement=number))
    documents = database.read(lambda c: outbox.read_events(c, 1, 10))
    assert [document["sequence"] for document in documents] == [2]
    event = outbox.Event.from_document(documents[0])
    assert (event.type, event.companyid, event.source) == ("thing_made", "c", "things")


def _setting(connection: Connection, name: str) -> Any:
    return connection.exec_driver_sql(f"SHOW {name}").scalar()


def test_postgresql_keeps_its_promises(database: Database) -> None:
    if database.dialect == "sqlite":
        assert database.read(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar()) == 2
        assert database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
        return
    for name, value in {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "lock_timeout": "2s",
                        "statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}.items():  # fmt: skip
        assert database.read(partial(_setting, name=name)) == value, name
