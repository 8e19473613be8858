"""`make audit` beside people at work: nothing is found where nothing is wrong, and what is wrong all the same."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from tests.integration.http_client import Person
from tests.integration.import_world import found, macs, stock
from tests.integration.installation import Installation

WORKERS = 3
# Other tests take their share of the machine: what is published late is no finding here.
_PATIENT = ("--patience", "60")


@dataclass
class Busy:
    """A company whose people assign, take back and redeem until they are told to stop."""

    installation: Installation
    admin: Person
    staff: Person
    project: str
    devices: list[str]
    stopping: threading.Event = field(default_factory=threading.Event)
    done: list[int] = field(default_factory=lambda: [0] * WORKERS)
    errors: list[str] = field(default_factory=list)

    def work(self, number: int) -> None:
        """Book over and over on a device of one's own, and redeem a key now and then."""
        person = Person(self.installation.base)
        person.session.headers["Authorization"] = self.admin.session.headers["Authorization"]
        path = f"/v1/devices/{self.devices[number]}/licenses"
        body = {"licenses": [{"license_type": "port8", "quantity": 1}], "sources": []}
        while not self.stopping.is_set():
            answer = person.post(path, body)
            if answer.status == 201:
                line = answer.body["licenses"][0]["id"]
                answer = person.send("DELETE", f"{path}/{line}")
            if answer.status not in (200, 204, 429, 503):
                self.errors.append(f"{answer.status}: {answer.content[:300]!r}")
                return
            self.done[number] += 1

    def redeem(self) -> None:
        """Enter an order and redeem its key."""
        order = {
            "number": f"busy-{uuid.uuid4().hex[:10]}",
            "devices": [],
            "licenses": [{"license_type": "fax8", "quantity": 1}],
        }
        answer = self.staff.post("/v1/staff/orders", order)
        if answer.status == 201:
            self.admin.post("/v1/activations", {"project_id": self.project, "key": answer.body["activation_key"]})

    def databases(self) -> str:
        """Return the address of the rooms' databases, with a place for the room's name."""
        written = self.installation.folder / "environment.json"
        if written.exists():
            return str(json.loads(written.read_text())["TESSERA_DATABASE_URI"])
        return f"sqlite:///{self.installation.folder}/{{service}}.sqlite3"

    @contextmanager
    def tampered(self, room: str, change: str, back: str) -> Iterator[None]:
        """Change something behind everybody's back, and take it back."""
        engine = sa.create_engine(self.databases().replace("{service}", room), connect_args={})
        try:
            with engine.begin() as connection:
                assert connection.execute(sa.text(change)).rowcount == 1
            yield
        finally:
            with engine.begin() as connection:
                connection.execute(sa.text(back))
            engine.dispose()


@pytest.fixture
def busy(installation: Installation) -> Iterator[Busy]:
    staff = installation.staff()
    admin = found(installation, "busy", "Busy Ltd")
    hardware = macs(WORKERS)
    project, records = stock(staff, admin, hardware, {"port8": 100, "mobility8": 7, "fax8": 1})
    company = Busy(installation, admin, staff, project, [records[mac] for mac in hardware])
    workers = [threading.Thread(target=company.work, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    yield company
    company.stopping.set()
    for worker in workers:
        worker.join(120)
    assert company.errors == []
    assert min(company.done) > 0


def test_the_audit_of_a_busy_installation_finds_nothing_but_what_is_wrong(busy: Busy) -> None:
    for _ in range(2):
        before = list(busy.done)
        busy.redeem()
        result = busy.installation.run("deploy.audit", *_PATIENT, check=False)
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
        assert busy.done != before, "nobody worked meanwhile"
    # Nobody books this type: what is added to its balance stays added.
    balance = (
        f"UPDATE balances SET n = n {{}} 1 WHERE pool_id = 'project:{busy.project}' AND license_type = 'mobility8'"
    )
    name = f"UPDATE projects SET name = {{}} WHERE id = '{busy.project}'"
    with (
        busy.tampered("licensing", balance.format("+"), balance.format("-")),
        busy.tampered("devices", name.format("name || '!'"), name.format("replace(name, '!', '')")),
    ):
        result = busy.installation.run("deploy.audit", *_PATIENT, check=False)
    assert result.returncode == 1, result.stdout[-4000:] + result.stderr[-2000:]
    wrong = [line for line in result.stdout.splitlines() if line.startswith(" ") or "WRONG" in line]
    assert any("caches 8 mobility8, its entries sum to 7" in line for line in wrong), wrong
    assert any(f"projects {busy.project}: devices has" in line for line in wrong), wrong
    assert all(busy.project in line or "WRONG" in line or "mobility8" in line for line in wrong), wrong
