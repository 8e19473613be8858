"""No acknowledged operation is lost, none is doubled, history is complete: under random SIGKILLs and a stopped broker.

The last test switches the protections off and expects the run to fail: a rig that sees no loss proves nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults.fleet_world import Killer, make_world, settle

SECONDS = 60.0


def report(text: str) -> None:
    """Tell the figures of a run; pytest shows them with -s or on a failure."""
    sys.stderr.write(f"{text}\n")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_kills_lose_and_double_nothing(seed: int, tmp_path: Path) -> None:
    world = make_world(tmp_path / "data")
    try:
        books, clients = world.load()
        killer = Killer(world, ("licensing", "history", "rabbitmq"), SECONDS, seed)
        killer.start()
        killer.join(SECONDS + 30)
        time.sleep(2)
        world.end_load(clients)
        settle(world)
        report(f"seed {seed}: {books.acknowledged} acknowledged, {books.repeated} repeated, killed {world.killed}")
        assert len(world.killed) >= 8
        assert books.acknowledged > 100
        assert books.refused == []
        assert world.differences(books) == []
    finally:
        assert world.fleet.stop() == 0


def test_a_broker_that_stops_for_ten_seconds_loses_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path / "data")
    try:
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
    finally:
        assert world.fleet.stop() == 0


def test_without_the_protections_the_same_run_shows_losses(tmp_path: Path) -> None:
    world = make_world(tmp_path / "data", {"TESSERA_WITHOUT": "idempotency,outbox,inbox"})
    try:
        books, clients = world.load()
        killer = Killer(world, ("licensing", "history", "rabbitmq"), SECONDS, 1)
        killer.start()
        killer.join(SECONDS + 30)
        time.sleep(2)
        world.end_load(clients)
        settle(world)
        found = world.differences(books)
        report(f"without protections: {found}")
        assert found != []
    finally:
        assert world.fleet.stop() == 0
