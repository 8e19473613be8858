"""What the busiest requests send to the database, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.ids import new_id
from services.licensing.store import projects
from services.licensing.tests.test_keys_and_orders import LICENSES, refused
from services.licensing.tests.world import World


@contextmanager
def noted(event: str) -> Iterator[list[Any]]:
    """Collect what any engine tells about its statements: the second argument of the event."""
    found: list[Any] = []

    def note(_: Any, *more: Any) -> None:
        found.append(more[0] if event == "before_execute" else more[1])

    sa.event.listen(sa.Engine, event, note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, event, note)


def test_projects_that_are_none_are_asked_for_without_a_statement(world: World) -> None:
    with noted("before_cursor_execute") as sent:
        assert world.database.read(lambda connection: projects.get_many(connection, [])) == {}
        assert [text for text in sent if "FROM projects" in text] == []
        world.database.read(lambda connection: projects.get_many(connection, [world.home]))
        assert len([text for text in sent if "FROM projects" in text]) == 1


def test_the_statements_of_a_stock_are_built_once_and_mean_what_is_asked(world: World) -> None:
    other = world.project("Other")
    world.stock({"port8": 3, "fax8": 2})
    world.stock({"port8": 5}, other)
    ways: list[dict[str, Any]] = [
        {"project_ids": [other]},
        {"project_ids": [world.home, other], "license_types": ["port8"]},
        {"company_ids": [world.company]},
        {"company_ids": [new_id(), world.company], "license_types": ["fax8", "mobility8"]},
        {"project_ids": []},
        {"company_ids": (), "license_types": ["port8"]},
    ]

    def ask() -> list[set[tuple[str, str, int]]]:
        return [
            {(row.name, row.license_type, row.quantity) for row in rows}
            for way in ways
            for rows in [world.database.read(partial(projects.stock, **way))]
        ]

    with noted("before_execute") as first:
        assert ask() == [
            {("Other", "port8", 5)},
            {("Home", "port8", 3), ("Other", "port8", 5)},
            {("Home", "port8", 3), ("Home", "fax8", 2), ("Other", "port8", 5)},
            {("Home", "fax8", 2)},
            set(),
            set(),
        ]
    with noted("before_execute") as again:
        ask()
    assert [id(statement) for statement in first] == [id(statement) for statement in again]


def test_an_assignment_takes_from_the_balance_when_all_else_is_written(world: World) -> None:
    """The row that a whole company draws from stays locked until the commit: nothing else may come in between."""
    world.stock(LICENSES)
    device = world.device()
    world.assign(device, {"port8": 1})
    with noted("before_cursor_execute") as sent:
        world.assign(device, {"registrations7": 2, "port8": 3, "pbx7-100": 1})
    first_debit = next(place for place, text in enumerate(sent) if text.startswith("UPDATE balances"))
    assert all(text.startswith("UPDATE balances") for text in sent[first_debit:])
    assert len(sent[first_debit:]) == 3
    assert any(text.startswith("INSERT INTO outbox") for text in sent[:first_debit])
    assert any(text.startswith("UPDATE idempotency") for text in sent[:first_debit])
    world.check()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_shortage_found_last_of_all_leaves_nothing_and_is_the_answer_of_a_repetition(
    world: World, dry_run: bool
) -> None:
    world.stock({"port8": 4, "fax8": 1})
    device, events = world.device(), len(world.events())
    # In the order of the pools' types fax8 is taken before port8 turns out to be too few.
    for _ in range(2):
        call = world.admin("short-1")
        refusal = refused(
            "licensing.insufficient_balance", world.assign, device, {"fax8": 1, "port8": 5}, call, dry_run=dry_run
        )
        assert [(s["license_type"], s["missing"]) for s in refusal.extra["shortages"]] == [("port8", 1)]
    assert world.balance() == {"port8": 4, "fax8": 1}
    assert world.installed(device) == {}
    assert len(world.events()) == events
    world.stock({"port8": 1})
    if not dry_run:
        refused("licensing.insufficient_balance", world.assign, device, {"fax8": 1, "port8": 5}, world.admin("short-1"))
    assert world.assign(device, {"fax8": 1, "port8": 5}, world.admin("short-2"), dry_run=dry_run)
    assert world.installed(device) == ({} if dry_run else {"fax8": 1, "port8": 5})
    world.check()


def test_a_broken_rule_is_told_before_a_shortage(world: World) -> None:
    world.stock({"registrations7": 5})
    device = world.device()
    refused("licensing.rule_violated", world.assign, device, {"registrations7": 9})
    refused("licensing.rule_violated", world.assign, device, {"registrations7": 9, "port8": 1})
