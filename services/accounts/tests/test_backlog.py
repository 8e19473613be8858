"""A backlog of old rows goes in short transactions, so that nobody who logs in waits for it (issue 6.4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.commands import erasure
from services.accounts.models import RefreshToken, ThrottleRow
from services.accounts.store import housekeeping, mails
from services.accounts.tests.conftest import World
from services.accounts.tests.test_erasure import erase, everything
from services.chassis.context import Call
from services.chassis.data import idempotency, tables
from services.chassis.data.db import Database
from services.chassis.ids import new_id

BACKLOG, PIECE = 47, 10


@contextmanager
def transactions(database: Database) -> Iterator[list[int]]:
    """Give how many rows each transaction changed, one number for each that is committed."""
    changed: list[int] = []
    running = 0

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal running
        running += cursor.rowcount if statement.startswith(("DELETE", "UPDATE", "INSERT")) else 0

    def ended(_: Any) -> None:
        nonlocal running
        changed.append(running)
        running = 0

    for name, listener in (("after_cursor_execute", note), ("commit", ended)):
        sa.event.listen(database.engine, name, listener)
    yield changed
    for name, listener in (("after_cursor_execute", note), ("commit", ended)):
        sa.event.remove(database.engine, name, listener)


def test_a_backlog_is_swept_in_pieces_and_others_write_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SWEPT", PIECE)
    old = datetime.now(UTC) - timedelta(days=3)
    row: dict[str, Any] = {"failures": 1, "window_started_at": old, "blocked_until": None, "level": 0}
    with world.database.engine.begin() as connection:
        rows = [{**row, "key": f"{number:064}", "updated_at": old} for number in range(BACKLOG)]
        connection.execute(sa.insert(ThrottleRow), rows)
    others: list[int] = []
    write = world.database.write

    def between(work: Any, **options: Any) -> Any:
        answer = write(work, **options)
        # Somebody else's write: it finds the lock free after each piece.
        values = {**row, "key": f"of others {len(others)}", "updated_at": datetime.now(UTC)}
        write(lambda unit: unit.execute(sa.insert(ThrottleRow).values(**values)))
        others.append(1)
        return answer

    monkeypatch.setattr(world.database, "write", between)
    with transactions(world.database) as changed:
        assert housekeeping.sweep_all(world.database) == BACKLOG
    assert [count for count in changed if count != 1] == [PIECE] * (BACKLOG // PIECE) + [BACKLOG % PIECE]
    assert len(others) == BACKLOG // PIECE + 1
    with world.database.engine.connect() as connection:
        left = connection.execute(sa.select(ThrottleRow.key).where(ThrottleRow.updated_at < old + timedelta(1))).all()
    assert left == []


def test_successors_of_tokens_are_forgotten_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEPT", PIECE)
    world.activate("ada@example.org")
    world.login("ada@example.org")
    used = datetime.now(UTC) - timedelta(hours=1)
    with world.database.engine.begin() as connection:
        (token,) = connection.execute(sa.select(RefreshToken.__table__)).all()[:1]
        copies = [
            {**token._mapping, "token_hash": f"{number:064}", "used_at": used, "successor": b"sealed"}
            for number in range(BACKLOG)
        ]
        connection.execute(sa.insert(RefreshToken), copies)
    with transactions(world.database) as changed:
        assert housekeeping.sweep_all(world.database) == BACKLOG
    assert changed == [PIECE] * (BACKLOG // PIECE) + [BACKLOG % PIECE]
    with world.database.engine.connect() as connection:
        assert not connection.scalar(sa.select(sa.func.count()).where(RefreshToken.successor.is_not(None)))


def test_an_erasure_looks_through_no_backlog_while_others_wait_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is stored is gone through before, a piece at a time; what holds locks is as short as without it."""
    monkeypatch.setattr(idempotency, "LOOKED_AT", PIECE)
    monkeypatch.setattr(mails, "LOOKED_AT", PIECE)
    # What is older than a few minutes, without waiting for it.
    monkeypatch.setattr(erasure, "_OVERLAP", timedelta(0))
    carl, bob = world.member("carl@secret.example"), world.member("bob@secret.example")
    writing, counts = [False], {True: 0, False: 0}
    write = world.database.write

    def noted(work: Any, **options: Any) -> Any:
        writing[0] = True
        try:
            return write(work, **options)
        finally:
            writing[0] = False

    def count(*_: Any) -> None:
        counts[writing[0]] += 1

    def cost(call: Call) -> dict[bool, int]:
        counts.update({True: 0, False: 0})
        erase(world, call)
        return dict(counts)

    def pile_up(unit: Any, addresses: list[str]) -> None:
        for to in addresses:
            mails.queue(unit, world.kit.keys, "welcome", "en", to, {})
            answer = f'{{"email": "{to}"}}'.encode()
            row = {"scope": "company", "key": new_id(), "fingerprint": "x", "answer": answer, "refusal": None}
            unit.execute(sa.insert(tables.idempotency).values(**row, created_at=unit.now))

    monkeypatch.setattr(world.database, "write", noted)
    for engine in (world.database.engine, world.database._reader):
        if not sa.event.contains(engine, "before_cursor_execute", count):
            sa.event.listen(engine, "before_cursor_execute", count)
    world.database.write(lambda unit: pile_up(unit, ["carl@secret.example"]))
    short = cost(carl)
    numbers = range(BACKLOG)
    addresses = ["bob@secret.example" if number % 10 == 7 else f"other{number}@example.org" for number in numbers]
    world.database.write(lambda unit: pile_up(unit, addresses))
    assert "bob@secret.example" in everything(world)
    long = cost(bob)
    assert long[True] == short[True]
    assert long[False] >= short[False] + 2 * (BACKLOG // PIECE)
    assert "bob@secret.example" not in everything(world)
    assert not [mail for mail in world.mails() if mail["to"] == "bob@secret.example"]
    left = [mail["to"] for mail in world.mails() if mail["to"].startswith("other")]
    assert sorted(left) == sorted(to for to in addresses if to.startswith("other"))
