"""A fleet with one company that has a stock of registrations and devices to spend them on."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.load import AssigningClient, Books
from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation

STOCK = 200_000
CLIENTS = 4
DEVICES = 48  # each holds 2,000 of a counted type, and all runs share them


@dataclass
class World:
    """One fleet and what was put into it."""

    fleet: Installation
    admin: Person
    devices: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    before: int = 0

    def load(self) -> tuple[Books, list[AssigningClient]]:
        """Start the clients, once history has caught up with what was done before."""
        self.admin.refresh()
        self.before = self.installed()
        eventually(lambda: self.history_lines() == self.before, "a complete history before the load", 60)
        books = Books()
        token = self.admin.tokens["access_token"]
        clients = [AssigningClient(self.fleet.base, token, self.devices[n::CLIENTS], books) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        return books, clients

    def end_load(self, clients: list[AssigningClient]) -> None:
        """Let every client bring its operation to the end."""
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join(120)
            assert not client.is_alive(), "a client hangs"

    def pids(self) -> dict[str, int]:
        """Return the processes of the fleet by name."""
        table: dict[str, int] = json.loads((self.fleet.folder / "processes.json").read_text())
        return table

    def kill_at_random(self, names: tuple[str, ...], seconds: float, seed: int) -> None:
        """Kill processes whose name starts with one of `names`, every 2 to 5 s."""
        chance = random.Random(seed)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(2, 5))
            candidates = sorted(name for name in self.pids() if name.startswith(names))
            if not candidates:
                # The only one of its kind is dead, and not started again yet.
                continue
            name = chance.choice(candidates)
            try:
                os.kill(self.pids()[name], signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed.append(name)

    def installed(self) -> int:
        """Return how many registrations the devices hold."""
        return sum(
            line["quantity"]
            for device in self.devices
            for line in self._all(f"/v1/devices/{device}/licenses")
            if line["license_type"] == "registrations7"
        )

    def balance(self) -> int:
        """Return what is left."""
        items = self.admin.get("/v1/balance").expect(200)["items"]
        return sum(item["quantity"] for item in items if item["license_type"] == "registrations7")

    def history_lines(self) -> int:
        """Count the company's history lines of assigned registrations."""
        return sum(
            1
            for line in self._all("/v1/history", action="licenses_assigned")
            for assigned in line["data"]["licenses"]
            if assigned["license_type"] == "registrations7" and line["device_id"] in self.devices
        )

    def _all(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield everything in a list, page by page."""
        cursor = None
        while True:
            page = self.admin.get(path, limit=200, **query, **({"cursor": cursor} if cursor else {})).expect(200)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def differences(self, books: Books) -> list[str]:
        """Return every way in which the books and the installation differ."""
        return list(self.find_differences(books))

    def find_differences(self, books: Books) -> Iterator[str]:
        """Yield every way in which the books and the installation differ, those first that need no waiting."""
        executed = self.installed() - self.before
        if not books.acknowledged <= executed <= books.acknowledged + books.unknown:
            yield f"acknowledged {books.acknowledged}, unknown {books.unknown}, executed {executed}"
        if self.balance() + self.installed() != STOCK:
            yield f"balance {self.balance()} + installed {self.installed()} is not {STOCK}"
        wait = 60.0
        deadline = time.monotonic() + wait
        lines = self.history_lines() - self.before
        while lines != executed and time.monotonic() < deadline:
            time.sleep(1)
            lines = self.history_lines() - self.before
        if lines != executed:
            yield f"history has {lines} lines for {executed} assignments after {wait:.0f} s"
        audit = self.fleet.run("deploy.audit", check=False)
        if audit.returncode != 0:
            yield f"auditor: {audit.stdout[-1500:]} {audit.stderr[-500:]}"


def make_world(folder: Path, kind: str = "fleet") -> World:
    """Start a fleet and give its demo company a stock and devices."""
    fleet = Installation(kind, folder).start()
    staff, admin = fleet.staff(), fleet.admin()
    project = admin.get("/v1/projects").expect(200)["items"][0]["id"]
    number = "load-1"
    macs = [f"00-90-33-77-00-{n:02X}" for n in range(DEVICES)]
    licenses = [
        {"license_type": "registrations7", "quantity": STOCK},
        {"license_type": "pbx7-2000", "quantity": DEVICES},
    ]
    devices = [{"hardware_id": mac, "type": "IP6000", "shipped_on": "2026-11-02"} for mac in macs]
    order = staff.post("/v1/staff/orders", {"number": number, "devices": devices, "licenses": licenses}).expect(201)
    admin.post("/v1/activations", {"project_id": project, "key": order["activation_key"]}).expect(201)
    added = admin.post("/v1/devices", {"project_id": project, "order_number": number}).expect(200)
    world = World(fleet, admin, [item["device_id"] for item in added["items"]])
    for device in world.devices:
        admin.post(
            f"/v1/devices/{device}/licenses", {"licenses": [{"license_type": "pbx7-2000", "quantity": 1}]}
        ).expect(201)
    return world


def settle(world: World) -> None:
    """Wait until a fresh operation succeeds, at most 30 s after the last fault."""
    eventually(lambda: world.admin.get("/v1/balance").status == 200, "a read after the faults", 30)
