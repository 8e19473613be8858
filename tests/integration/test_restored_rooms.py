"""One room after the other is put back to a backup of before: what the others know of it is taken back (issue 6.4).

The embedded set-up: the database of a room is its file, so the restore is a copy. `tests/faults/test_restore.py` does
the same on PostgreSQL, with dumps, for the log of licensing and for history.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http_client import Person, eventually
from tests.integration.import_world import finished
from tests.integration.installation import Installation
from tests.integration.tenancy.devices import add, order
from tests.integration.tenancy.people import PASSWORD, found, register


@dataclass
class Customer:
    """A company with a project, a device and licenses in both."""

    admin: Person
    project: str
    device: str
    mac: str

    def login(self) -> Person:
        """Log in anew; a restore of accounts ended the session."""
        return self.admin.login(self.admin.tokens["user"]["email"], PASSWORD)

    def stock(self) -> dict[str, int]:
        """Return what lies in the project."""
        items = self.admin.get("/v1/balance", project=self.project).expect(200)["items"]
        return {item["license_type"]: item["quantity"] for item in items}

    def installed(self, device: str = "") -> int:
        """Return how many licenses are on the device."""
        items = self.admin.get(f"/v1/devices/{device or self.device}/licenses").expect(200)["items"]
        return sum(item["quantity"] for item in items)


class Restored:
    """An installation whose rooms can be put back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.installation = Installation("embedded", folder / "data").start()
        self.staff = self.installation.staff()

    def customer(self, name: str) -> Customer:
        """Return a new company with 20 licenses, 8 of them on a device."""
        self.number += 1
        mac = f"00-90-33-E9-00-{self.number:02X}"
        admin = found(self.installation, "Rest", "Ored", f"{name} {self.number}")
        project = str(admin.get("/v1/projects").expect(200)["items"][0]["id"])
        key = order(self.staff, f"REST-{self.number}", [mac], {"port8": 20})["activation_key"]
        admin.post("/v1/activations", {"project_id": project, "key": key}).expect(201)
        device = add(admin, project, [mac])[mac]
        self.assign(admin, device, 8)
        return Customer(admin, project, device, mac)

    def assign(self, admin: Person, device: str, quantity: int) -> None:
        """Put licenses on a device; a copy that is behind, as of a guest's right, says 503 and "repeat"."""
        body, key = {"licenses": [{"license_type": "port8", "quantity": quantity}]}, str(uuid.uuid4())
        path = f"/v1/devices/{device}/licenses"
        answers = (admin.post(path, body, key=key) for _ in count())
        answer = eventually(lambda: next((one for one in islice(answers, 1) if one.status != 503), None), "an answer")
        assert answer is not None
        answer.expect(201)

    def back_up(self, room: str) -> None:
        """Keep a room's database as it is once everything was told."""
        eventually(self.is_clean, "a clean audit before the backup", 60)
        self.installation.stop()
        shutil.copy(self._file(room), self.folder / f"{room}.kept")
        self._start()

    def restore(self, room: str) -> str:
        """Put a room back, reconcile it, and return what the command told."""
        eventually(self.is_clean, "a clean audit before the restore", 60)
        self.installation.stop()
        for path in self._file(room).parent.glob(f"{room}.sqlite3*"):
            path.unlink()
        shutil.copy(self.folder / f"{room}.kept", self._file(room))
        self._start()
        command = ("deploy.admin", "reconcile-events", room)
        rehearsed = self.installation.run(*command, "--dry-run").stdout
        told = self.installation.run(*command).stdout
        assert next(line for line in told.splitlines() if line not in rehearsed).startswith("Reconciled: ")
        assert "Nothing to do" in self.installation.run(*command).stdout
        return told

    def is_clean(self) -> bool:
        """Tell whether the audit finds nothing."""
        return self.installation.run("deploy.audit", check=False).returncode == 0

    def settled(self) -> None:
        """Wait until the audit finds nothing, or fail with what it finds."""
        try:
            eventually(self.is_clean, "a clean audit", 45)
        except AssertionError:
            text = self.installation.run("deploy.audit", check=False).stdout
            wrong = [line for line in text.splitlines() if "  ok" not in line]
            raise AssertionError("\n".join(wrong)) from None

    def _file(self, room: str) -> Path:
        return self.installation.folder / f"{room}.sqlite3"

    def _start(self) -> None:
        self.installation.start()
        self.staff = self.installation.staff()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    made = Restored(tmp_path_factory.mktemp("restored"))
    yield made
    assert made.installation.stop() == 0


def moved(world: Restored, *customers: Customer) -> None:
    """Let people talk to the gateway where it is by now."""
    for one in customers:
        one.admin.base = world.installation.base
        one.login()


def test_projects_restored_gives_nobodys_licenses_away(world: Restored) -> None:
    before, guest = world.customer("Before"), world.customer("Guest")
    ended, deleted = (
        str(before.admin.post("/v1/projects", {"name": name}).expect(201)["id"]) for name in ("Ended", "Deleted")
    )
    email = guest.admin.tokens["user"]["email"]
    grant = f"/v1/projects/{before.project}/rights"
    ended_grant = f"/v1/projects/{ended}/rights"
    before.admin.post(ended_grant, {"email": email}).expect(201)
    world.back_up("projects")
    moved(world, before, guest)
    after = world.customer("After")
    before.admin.send("PATCH", f"/v1/projects/{before.project}", {"name": "Renamed"}).expect(200)
    before.admin.post(grant, {"email": email}).expect(201)
    guest_id = str(guest.admin.company["id"]) if guest.admin.company else ""
    before.admin.send("DELETE", f"{ended_grant}/{guest_id}").expect(204)
    before.admin.send("DELETE", f"/v1/projects/{deleted}").expect(204)
    told = world.restore("projects")
    moved(world, before, guest, after)
    assert f"project {after.project} 'DEFAULT' of company" in told
    for sentence in ("was changed after", "was deleted after", "grant it again", "ended after the backup: told anew"):
        assert told.count(sentence) == 1, told
    world.settled()
    assert [item["id"] for item in after.admin.get("/v1/projects").expect(200)["items"]] == [after.project]
    assert (after.stock(), after.installed()) == ({"port8": 12}, 8)
    world.assign(after.admin, after.device, 2)
    assert deleted not in [item["id"] for item in before.admin.get("/v1/projects").expect(200)["items"]]
    # What is changed from now on is heard everywhere.
    before.admin.send("PATCH", f"/v1/projects/{before.project}", {"name": "Once more"}).expect(200)
    before.admin.post(grant, {"email": email}).expect(201)
    world.assign(guest.admin, before.device, 1)
    world.settled()


def test_devices_restored_loses_no_order_no_mark_and_no_license(world: Restored) -> None:
    before, marked, sold = (world.customer(name) for name in ("Before", "Marked", "Sold"))
    world.back_up("devices")
    moved(world, before, marked, sold)
    after = world.customer("After")
    world.staff.send("PATCH", f"/v1/staff/devices/{marked.mac}", {"rma": True}).expect(200)
    sold.admin.send("DELETE", f"/v1/devices/{sold.device}").expect(204)
    world.assign(before.admin, before.device, 1)
    told = world.restore("devices")
    moved(world, before, marked, sold, after)
    for sentence in ("are registered again", "marked for repair after", "deleted again", "adds the device again"):
        assert told.count(sentence) == 1, told
    company_id = after.admin.company["id"] if after.admin.company else ""
    assert f"of {after.mac} was made after the backup: company {company_id} adds the device again" in told
    world.settled()
    sold.admin.get(f"/v1/devices/{sold.device}").refused(404, "devices.device_not_found")
    refused = marked.admin.post(
        f"/v1/devices/{marked.device}/licenses", {"licenses": [{"license_type": "port8", "quantity": 1}]}
    )
    assert refused.status == 409, refused.body
    again = add(after.admin, after.project, [after.mac])[after.mac]
    assert (after.installed(again), after.stock()) == (8, {"port8": 12})
    world.assign(after.admin, again, 2)
    assert before.installed() == 9
    world.settled()


def test_accounts_restored_leaves_no_company_out_of_reach(world: Restored) -> None:
    before = world.customer("Before")
    world.back_up("accounts")
    moved(world, before)
    after = world.customer("After")
    company: dict[str, Any] = after.admin.company or {}
    told = world.restore("accounts")
    moved(world, before)
    assert f"tessera-admin take-back-company {company['id']} E-MAIL" in told
    stranger = register(world.installation, "Again", "Registered")
    email = stranger.tokens["user"]["email"]
    world.installation.run("deploy.admin", "take-back-company", company["id"], email)
    stranger.refresh()
    assert (stranger.company or {})["name"] == company["name"]
    back = Customer(stranger, after.project, after.device, after.mac)
    assert (back.stock(), back.installed()) == ({"port8": 12}, 8)
    unknown = world.installation.run("deploy.admin", "take-back-company", company["id"][::-1], email, check=False)
    assert (unknown.returncode, "No room knows a company" in unknown.stderr) == (1, True)
    world.settled()


def test_accounts_restored_names_lost_imports_and_tells_names_anew(world: Restored) -> None:
    ours, other, renamed = (world.customer(name) for name in ("Ours", "Other", "Old Name"))
    world.back_up("accounts")
    moved(world, ours, other, renamed)
    old_name = renamed.admin.company["name"] if renamed.admin.company else ""
    renamed.admin.send("PATCH", "/v1/company", {"name": f"New {old_name}"}).expect(200)
    login = {"email": other.admin.tokens["user"]["email"], "password": PASSWORD}
    finished(ours.admin, ours.admin.post("/v1/company/imports", login).expect(202))
    told = world.restore("accounts")
    moved(world, ours, other, renamed)
    ids = [str(one.admin.company["id"]) for one in (ours, other) if one.admin.company]
    assert f"was imported by {ids[0]} after the backup: an administrator" in told
    assert f"was called 'New {old_name}' after the backup: told as {old_name!r} again" in told
    assert told.count("after the backup") == 2, told
    finished(ours.admin, ours.admin.post("/v1/company/imports", login).expect(202))
    world.settled()
    back = Customer(ours.admin, other.project, other.device, other.mac)
    assert (back.stock(), back.installed()) == ({"port8": 12}, 8)
    world.assign(ours.admin, other.device, 1)
