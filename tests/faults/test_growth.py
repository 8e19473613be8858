"""Every route on an installation with 50,000 rows in each table that grows: all it reads is found by an index.

The routes are those of the tenant matrix, hence all rows of the gateway, and the owner who asks has imported another
company. Issue 6.4: "indexes for revocations, keys by project and company; lists after an import keep their index".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.grown import GROWN, UNUSED, Plans, Read, Table, explain_everything, grow, server_of
from tests.integration.installation import Installation
from tests.integration.tenancy.asking import filled
from tests.integration.tenancy.callers import Caller, make_callers
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.cases import CASES, Of
from tests.integration.tenancy.declared import Right
from tests.integration.tenancy.world import World

THROWN_AWAY = 5_000
"""More rows than this read and thrown away are a search, whatever index they came from."""


class Grown:
    """A fleet whose tables have grown, its people, and the plans of what they ask."""

    def __init__(self, fleet: Installation, folder: Path) -> None:
        self.fleet = fleet
        self.world = World.make(self.fleet, folder / "tenants", "GROWN", 0xA00000)
        self.server = server_of(self.fleet)
        explain_everything(self.server)
        self.tables: list[Table] = grow(self.server)
        assert self.fleet.stop() == 0
        self.fleet.start(300)
        for name in ("staff", "owner", "member", "guest", "stranger", "neighbor", "loner"):
            self.world.person(name).base = self.fleet.base
        self.callers: dict[str, Caller] = make_callers(self.world, Watch(self.world.canaries))

    def is_grown(self, read: Read) -> bool:
        """Tell whether a table has so many rows that it must not be read whole."""
        return any((t.room, t.name) == (read.room, read.table) and t.rows > GROWN for t in self.tables)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    folder = tmp_path_factory.mktemp("grown")
    fleet = Installation("fleet", folder / "data").start(300)
    try:
        yield Grown(fleet, folder)
    finally:
        assert fleet.stop() == 0


@pytest.mark.long
def test_every_table_is_as_long_as_it_gets(grown: Grown) -> None:
    short = {f"{t.room}.{t.name}" for t in grown.tables if t.rows < GROWN and t.name not in UNUSED} - UNUSED
    assert short == set()


@pytest.mark.long
def test_no_route_searches_a_table_that_grows(grown: Grown) -> None:
    plans = Plans(grown.server)
    failed = []
    for case in CASES:
        staff = case.row.right is Right.STAFF or case.of is Of.STAFF
        caller = grown.callers["staff" if staff else "own admin"]
        path, query, body, text = filled(case, grown.world, {})
        answer = caller.send(case.row.method, path, query=query, json=body, text=text, media_type=case.row.takes)
        if answer.status >= 500:
            failed.append((str(case), answer.status, answer.content[:300]))
    assert failed == []
    reads = [read for read in plans.reads() if grown.is_grown(read)]
    assert len(reads) > 500, "the server tells no plans"
    searched = {str(read) for read in reads if read.step == "Seq Scan" or read.thrown_away > THROWN_AWAY}
    assert not searched, "\n".join(sorted(searched))
