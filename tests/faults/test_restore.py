"""Restore drill: one room's database is put back to an earlier moment while the others went on (rule R25).

The how-to `docs/how-to/restore-a-backup.md` tells these very steps.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bare.postgresql import PostgreSQL, _newest_programs
from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation


class Drill:
    """A fleet on PostgreSQL, staff that enters orders, and backups of single rooms."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Installation("fleet", folder / "data").start()
        self.folder = folder
        self.staff: Person = self.fleet.staff()
        plan = json.loads((folder / "data" / "nodes.json").read_text())
        self.server = PostgreSQL(Path(plan["folder"]) / "postgresql", port=plan["postgresql"])
        self._programs = _newest_programs()

    def order(self, number: str) -> None:
        """Enter an order of licenses."""
        lines = [{"license_type": "port8", "quantity": 1}]
        self.staff.post("/v1/staff/orders", {"number": number, "licenses": lines}).expect(201)

    def ordered(self) -> set[str]:
        """Return the orders that history has lines of."""
        found = self.staff.get("/v1/history", action="order_entered", limit=100).expect(200)["items"]
        return {item["subject"] for item in found if item["subject"].startswith("DRILL-")}

    def back_up(self, room: str) -> None:
        """Dump a room's database under the running fleet."""
        target = str(self.folder / f"{room}.dump")
        self._run("pg_dump", "-Fc", "-f", target, "-d", self._address(room))

    def restore(self, room: str) -> None:
        """Put a room's database back to its dump, under the running fleet."""
        self.server.drop_database(room)
        self.server.create_service(room)
        self._run("pg_restore", "--exit-on-error", "-d", self._address(room), str(self.folder / f"{room}.dump"))

    def audit(self) -> subprocess.CompletedProcess[str]:
        """Audit the running fleet."""
        return self.fleet.run("deploy.audit", check=False)

    def reconcile(self, room: str, *more: str) -> str:
        """Run the command."""
        return self.fleet.run("deploy.admin", "reconcile-events", room, *more).stdout

    def is_clean(self) -> bool:
        """Tell whether the audit finds nothing."""
        return self.audit().returncode == 0

    def _address(self, room: str) -> str:
        return self.server.uri(room).replace("+psycopg2", "")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    made = Drill(tmp_path_factory.mktemp("drill"))
    yield made
    assert made.fleet.stop() == 0


def test_licensing_restored_under_a_history_that_is_ahead(drill: Drill) -> None:
    """Issue 6.4: history passed over what licensing did after its restore, and nobody heard of it."""
    drill.order("DRILL-KEPT")
    eventually(lambda: drill.ordered() == {"DRILL-KEPT"}, "history knows the first order", 30)
    drill.back_up("licensing")
    drill.order("DRILL-LOST-1")
    drill.order("DRILL-LOST-2")
    eventually(lambda: len(drill.ordered()) == 3, "history knows all orders", 30)
    drill.restore("licensing")
    eventually(lambda: drill.staff.get("/v1/staff/orders/DRILL-KEPT").status == 200, "licensing is back", 60)
    drill.staff.get("/v1/staff/orders/DRILL-LOST-1").refused(404, "licensing.order_not_found")
    drill.order("DRILL-NEW-1")
    drill.order("DRILL-NEW-2")

    def is_told() -> bool:
        return "reconcile-events licensing" in drill.audit().stdout

    eventually(is_told, "the audit tells that licensing is not followed", 60)
    assert not drill.ordered() & {"DRILL-NEW-1", "DRILL-NEW-2"}

    rehearsed = drill.reconcile("licensing", "--dry-run")
    for name in ("DRILL-LOST-1", "DRILL-LOST-2"):
        assert name in rehearsed
    assert "DRILL-NEW" not in rehearsed
    assert "goes on in the epoch" in drill.reconcile("licensing")
    everything = {"DRILL-KEPT", "DRILL-LOST-1", "DRILL-LOST-2", "DRILL-NEW-1", "DRILL-NEW-2", "DRILL-AFTER"}
    drill.order("DRILL-AFTER")
    eventually(lambda: drill.ordered() == everything, "history follows licensing again", 60)
    eventually(drill.is_clean, "a clean audit", 60)
    assert "lines whose events a restore of licensing lost" in drill.audit().stdout
    assert "Nothing to do" in drill.reconcile("licensing")


def test_history_restored_catches_up_by_itself(drill: Drill) -> None:
    drill.back_up("history")
    before = drill.ordered()
    drill.order("DRILL-LATER-1")
    drill.order("DRILL-LATER-2")
    eventually(lambda: len(drill.ordered()) == len(before) + 2, "history knows the later orders", 30)
    drill.restore("history")
    later = before | {"DRILL-LATER-1", "DRILL-LATER-2"}
    eventually(
        lambda: drill.staff.get("/v1/history").status == 200 and drill.ordered() == later, "history caught up", 90
    )
    # Lines of several sources come in another order than before: heads that were signed since do not fit.
    drill.reconcile("history")
    eventually(drill.is_clean, "a clean audit", 60)
