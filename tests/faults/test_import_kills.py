"""An import of a company ends the same, whatever is killed at whatever step, and nobody sees half of it.

Fail points hold every step open for a while, so that a kill hits the middle of a transaction, not the pause between.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.faults.fleet_world import World
from tests.integration.http_client import Person, eventually
from tests.integration.import_world import balance, email_of, found, login_of, macs, stock
from tests.integration.installation import Installation

STEPS = (
    "accounts.import.in_switch",
    *(f"{room}.merge.end" for room in ("projects", "devices", "licensing", "history")),
)
ROOMS = ("projects", "devices", "licensing-1", "licensing-2", "history")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give a fleet in which every step of an import takes a while."""
    slow = ";".join(f"{step}=sleep:1.5" for step in STEPS)
    running = Installation("fleet", tmp_path_factory.mktemp("imports") / "data", {"TESSERA_FAIL_POINTS": slow}).start()
    yield running
    assert "clean" in running.run("deploy.audit").stdout
    assert running.stop() == 0


class Import:
    """Two companies and one import of the second into the first, sent until it is answered."""

    def __init__(self, fleet: Installation) -> None:
        self.fleet = fleet
        self.ours, self.other = found(fleet, "ada", "Ours Ltd"), found(fleet, "otto", "Other Ltd")
        staff, self.hardware = fleet.staff(), macs(2)
        stock(staff, self.ours, self.hardware[:1], {"operators7": 10})
        stock(staff, self.other, self.hardware[1:], {"operators7": 30})
        self.key = str(uuid.uuid4())
        self.answers: list[int] = []
        self.job: dict[str, Any] = {}
        self.thread = threading.Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        sender = Person(self.fleet.base)
        sender.use(self.ours.tokens)
        end = time.monotonic() + 90
        while time.monotonic() < end and not self.job:
            try:
                answer = sender.post("/v1/company/imports", login_of(self.other), key=self.key)
            except requests.RequestException:
                self.answers.append(0)
            else:
                self.answers.append(answer.status)
                if answer.status == 202:
                    self.job = answer.body
            time.sleep(0.2)

    def kill(self, *names: str) -> None:
        """Kill processes at once."""
        pids = World(self.fleet, self.ours).pids()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)

    def settled(self) -> dict[str, Any]:
        """Wait for the answer, then for the end of the job."""
        self.thread.join(100)
        assert self.job, self.answers

        def shown() -> dict[str, Any] | None:
            # What was killed is missed for a moment.
            try:
                answer = self.ours.get(f"/v1/jobs/{self.job['id']}")
            except requests.RequestException:
                return None
            return answer.body if answer.status == 200 and answer.body["state"] == "done" else None

        ended = eventually(shown, "the end of the import", 90)
        assert ended is not None
        return ended

    def check(self) -> None:
        """Fail unless everything is as after an import that nobody disturbed."""
        names = {item["name"]: item["foreign"] for item in self.ours.get("/v1/projects").expect(200)["items"]}
        assert names == {"DEFAULT": False, "DEFAULT (Other Ltd)": False}
        assert balance(self.ours) == {"operators7": 40}
        devices = self.ours.get("/v1/devices").expect(200)["items"]
        assert sorted(item["hardware_id"] for item in devices) == sorted(self.hardware)
        users = {item["email"]: item["role"] for item in self.ours.get("/v1/company/users").expect(200)["items"]}
        assert users == {email_of(self.ours): "admin", email_of(self.other): "member"}
        assert self.other.get("/v1/projects").status == 401

    def looks_unchanged(self) -> bool:
        """Tell whether both companies still are what they were."""
        return all(
            [item["name"] for item in _items(person, "/v1/projects")] == ["DEFAULT"]
            and balance(person) == {"operators7": quantity}
            for person, quantity in ((self.ours, 10), (self.other, 30))
        )


def _items(person: Person, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = person.get(path).expect(200)["items"]
    return items


def test_undisturbed_it_is_invisible_until_the_switch(fleet: Installation) -> None:
    run = Import(fleet)
    run.thread.start()
    time.sleep(0.6)
    assert run.looks_unchanged()
    run.settled()
    assert run.answers == [202]
    run.check()


def test_accounts_killed_within_the_switch_has_changed_nothing(fleet: Installation) -> None:
    run = Import(fleet)
    run.thread.start()
    time.sleep(0.8)
    run.kill("accounts")
    eventually(lambda: run.other.get("/v1/company").status == 200, "the other company, still there", 30)
    run.settled()
    run.check()


def test_accounts_killed_right_behind_the_switch_finishes_it(fleet: Installation) -> None:
    run = Import(fleet)
    run.thread.start()
    eventually(lambda: run.job, "the answer", 30)
    run.kill("accounts")
    run.settled()
    run.check()


def test_every_room_killed_while_it_applies_finishes_it(fleet: Installation) -> None:
    run = Import(fleet)
    run.thread.start()
    eventually(lambda: run.job, "the answer", 30)
    for pause in (0.4, 0.8):
        time.sleep(pause)
        run.kill(*ROOMS)
        eventually(lambda: fleet_is_whole(fleet, run), "all processes", 30)
    run.settled()
    run.check()


def test_everything_killed_at_once_finishes_it(fleet: Installation) -> None:
    run = Import(fleet)
    run.thread.start()
    eventually(lambda: run.job, "the answer", 30)
    time.sleep(0.5)
    run.kill("accounts", *ROOMS, "gateway", "rabbitmq")
    run.settled()
    eventually(lambda: requests.get(f"{fleet.base}/readyz", timeout=5).status_code == 200, "the fleet", 60)
    run.check()


def fleet_is_whole(fleet: Installation, run: Import) -> bool:
    """Tell whether the supervisor has every process running again."""
    pids = World(fleet, run.ours).pids()
    return all(name in pids and Path(f"/proc/{pids[name]}").exists() for name in ("accounts", *ROOMS))
