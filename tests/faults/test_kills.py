"""No acknowledged operation is lost, none is doubled, history is complete: under random SIGKILLs and a stopped broker.

Three kinds of processes are killed, 20 s each; `make faults` kills all of them, a minute for each seed. The last
test switches the protections off and expects the run to fail: a rig that sees no loss proves nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fleet_world import World, make_world, settle
from tests.faults.load import Books

KINDS = {"licensing": 4, "history": 2, "rabbitmq": 1}
"""What is killed, and how often at least in the quick runs: a broker is back after some eight seconds."""
SECONDS, LONG_SECONDS = 20.0, 60.0
ENOUGH = 100


def report(text: str) -> None:
    """Tell the figures of a run; pytest shows them with -s or on a failure."""
    sys.stderr.write(f"{text}\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One fleet for all faults: each leaves it whole, or the next one sees it."""
    made = make_world(tmp_path_factory.mktemp("faults") / "data")
    yield made
    assert made.fleet.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_kills_of_one_kind_lose_and_double_nothing(kind: str, world: World) -> None:
    books = load_and_kill(world, (kind,), SECONDS, 1)
    report(f"{kind}: {books.acknowledged} acknowledged, {books.repeated} repeated, killed {world.killed}")
    assert len(world.killed) >= KINDS[kind]
    assert books.acknowledged > 35
    assert books.refused == []
    assert world.differences(books) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_kills_lose_and_double_nothing(seed: int, world: World) -> None:
    books = load_and_kill(world, tuple(KINDS), LONG_SECONDS, seed)
    report(f"seed {seed}: {books.acknowledged} acknowledged, {books.repeated} repeated, killed {world.killed}")
    assert len(world.killed) >= 8
    assert books.acknowledged > ENOUGH
    assert books.refused == []
    assert world.differences(books) == []


def test_a_broker_that_stops_for_ten_seconds_loses_nothing(world: World) -> None:
    books, clients = world.load()
    time.sleep(3)
    broker = world.pids()["rabbitmq"]
    os.kill(broker, signal.SIGSTOP)
    time.sleep(10)
    os.kill(broker, signal.SIGCONT)
    time.sleep(5)
    world.end_load(clients)
    settle(world)
    assert books.acknowledged > 50
    assert books.refused == []
    assert world.differences(books) == []


def test_without_the_protections_the_same_run_shows_losses(tmp_path: Path) -> None:
    plain = make_world(tmp_path / "data", kind="unprotected")
    try:
        # The first difference is enough: waiting for a history that stays incomplete takes a minute.
        found = next(plain.find_differences(load_and_kill(plain, tuple(KINDS), SECONDS, 1)), None)
        report(f"without protections: {found}")
        assert found is not None
    finally:
        assert plain.fleet.stop() == 0


def load_and_kill(world: World, names: tuple[str, ...], seconds: float, seed: int) -> Books:
    """Load a fleet while its parts are killed at random; returns the books once every operation has ended."""
    world.killed.clear()
    books, clients = world.load()
    world.kill_at_random(names, seconds, seed)
    time.sleep(2)
    # A machine that does other work too books less in the same time; what is proved needs enough of it.
    latest = time.monotonic() + SECONDS
    while books.acknowledged <= ENOUGH and time.monotonic() < latest:
        time.sleep(0.2)
    world.end_load(clients)
    settle(world)
    return books
