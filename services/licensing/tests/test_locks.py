"""Each lock of the ledger taken out: with it the books are right, without it they are not, in the same order of steps.

Issue 6.4: FOR SHARE in `hold_open` and `give_back`, FOR UPDATE in `lock_hardware` and `lock_stock` could be removed and
no test noticed. One work pauses where it holds the lock, another one runs until it ends or waits. On PostgreSQL alone:
SQLite has one writer. The half of each test without the lock keeps the proof from rotting: it must see the damage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.data.testing import make_database
from services.chassis.errors import ServiceError
from services.licensing import access
from services.licensing.commands.returns import checks
from services.licensing.store import certificates, ledger, projects
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World

WAITS = 0.7
"""Seconds after which whoever has not ended counts as waiting for the lock; the server gives a lock up after two."""
ENDS = 20
"""Seconds that whoever waits for no lock has to end in, on however busy a machine."""


@pytest.fixture
def world(postgresql_uri: str, tmp_path: Path) -> Iterator[World]:
    """Give a world on PostgreSQL."""
    database = make_database("licensing", postgresql_uri, tmp_path)
    yield World(database)
    database.close()


class Interleaved:
    """Two works: the second one starts where the first one pauses.

    Args:
        second: runs in a thread of its own.
        locked: whether it meets the lock of the first one.
    """

    def __init__(self, second: Callable[[], Any], *, locked: bool) -> None:
        self.second = second
        self.longest = WAITS if locked else ENDS
        self.outcome: Any = None
        self.ended_in_the_pause = False
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.outcome = outcome(self.second)

    def pausing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a pause after its first call, in which the second work runs."""

        def paused(*arguments: Any, **more: Any) -> Any:
            result = function(*arguments, **more)
            if not self.thread.ident:
                self.thread.start()
                self.thread.join(self.longest)
                self.ended_in_the_pause = not self.thread.is_alive()
            return result

        return paused

    def run(self, first: Callable[[], Any]) -> tuple[Any, Any]:
        """Run both and return their outcomes; the code of a refusal is one."""
        one = outcome(first)
        self.thread.join(ENDS)
        return one, self.outcome


def outcome(work: Callable[[], Any]) -> Any:
    """Run a work; a refusal that asks for a repetition is repeated."""
    for _ in range(5):
        try:
            return work()
        except ServiceError as refusal:
            code = refusal.code
            if refusal.kind != "unavailable":
                break
    return code


def unlocked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a query of the store as if its lock had been taken out."""

    def without(*arguments: Any, **more: Any) -> Any:
        return function(*arguments, **{**more, "lock": False})

    return without


def reading(statement_of: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the store whose statements lock nothing."""

    def without(*arguments: Any, **more: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sa.Select, "with_for_update", lambda self, **_: self)
            return statement_of(*arguments, **more)

    return without


def books_are_right(world: World) -> bool:
    """Tell whether the auditor finds nothing."""
    try:
        world.check()
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("locked", [True, False])
def test_a_key_comes_into_no_project_that_is_deleted_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """FOR SHARE in `hold_open`."""
    project = world.project("Short")
    world.ask("activate_key", world.admin(), project_id=world.home, key=world.order_key({"port8": 1}))
    key = world.order_key({"port8": 5})
    if not locked:
        monkeypatch.setattr(projects, "get", unlocked(projects.get))
    both = Interleaved(lambda: world.ask("delete_project", world.admin(), project_id=project), locked=locked)
    monkeypatch.setattr(access, "hold_open", both.pausing(access.hold_open))
    added, deleted = both.run(lambda: world.ask("activate_key", world.admin(), project_id=project, key=key))
    assert isinstance(added, dict)
    assert deleted == ("projects.not_empty" if locked else {})
    assert books_are_right(world) is locked


@pytest.mark.parametrize("locked", [True, False])
def test_nothing_comes_back_to_a_project_that_is_deleted_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """FOR SHARE in `give_back`."""
    payer = world.project("Payer")
    body = {"license_type": "port8", "quantity": 5, "reason": "gift"}
    world.ask("correct_balance", world.staff(), project_id=payer, **body)
    world.stock({"fax8": 1})
    device = world.device()
    line = world.assign(device, {"port8": 5}, sources=[payer])["licenses"][0]["id"]
    many = projects.get_many if locked else unlocked(projects.get_many)
    both = Interleaved(lambda: world.ask("delete_project", world.admin(), project_id=payer), locked=locked)
    monkeypatch.setattr(projects, "get_many", both.pausing(many))
    back, deleted = both.run(lambda: world.ask("take_back", world.admin(), device_id=device, line_id=line))
    assert isinstance(back, dict)
    assert deleted == ("projects.not_empty" if locked else {})
    assert books_are_right(world) is locked


@pytest.mark.parametrize("locked", [True, False])
def test_a_key_that_was_revoked_returns_nothing_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """FOR UPDATE in `lock_hardware`: revoked means that no return of that key is booked from then on."""
    world.stock({"port8": 5})
    thing = Thing(world, world.device())
    world.assign(thing.device_id, {"port8": 5})
    file = thing.file()
    both = Interleaved(
        lambda: world.ask("revoke_certificate", world.staff(), serial=thing.certificate_serial), locked=locked
    )
    lock = certificates.lock_hardware if locked else reading(certificates.lock_hardware)
    monkeypatch.setattr(certificates, "lock_hardware", lock)
    monkeypatch.setattr(checks, "check_signer", both.pausing(checks.check_signer))
    returned, revoked = both.run(lambda: thing.give_up(file))
    assert isinstance(returned, dict) and isinstance(revoked, dict)
    # Without the lock it was answered that the key is revoked, and the return of that key was booked after that.
    assert both.ended_in_the_pause is not locked


@pytest.mark.parametrize("locked", [True, False])
def test_what_was_planned_from_several_projects_is_still_there_when_it_is_booked(
    world: World, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """FOR UPDATE in `lock_stock`: without it a spend in between makes the plan fail although it was good."""
    other = world.project("Other")
    world.stock({"port8": 5})
    world.stock({"port8": 5}, other)
    here, there = world.device(), world.device()
    stock = ledger.lock_stock if locked else reading(ledger.lock_stock)
    both = Interleaved(lambda: world.assign(there, {"port8": 5}), locked=locked)
    monkeypatch.setattr(ledger, "lock_stock", both.pausing(stock))
    planned, _ = both.run(lambda: world.assign(here, {"port8": 8}, sources=[other]))
    assert isinstance(planned, dict) is locked
    assert both.ended_in_the_pause is not locked
    assert books_are_right(world)
