"""Deletion of a project through three real rooms and their databases: races, and cuts at every step (PRJ-4, L8).

The rooms call each other directly instead of over the bus; events are carried from outbox to handler by hand, so that a
test decides whether a room has learned of something.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from deploy.bare.postgresql import Server
from services.accounts.fake import FakeAccounts
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call, make_database
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.devices.service import DevicesService
from services.licensing.commands import deletion
from services.licensing.service import LicensingService
from services.projects.service import ProjectsService

ROUNDS = {"postgresql": 200, "sqlite": 50}
STEPS = (
    "begun",
    "count_devices",
    "count_projects",
    "counted",
    "closed_here",
    "close_devices",
    "close_projects",
    "settled",
    "told",
)
FIRST_MAC = 0xB00000
LONGEST_CALL_SECONDS = 0.005
LONGEST_DELAY_SECONDS = 0.12


class Room:
    """A room called without a bus: its procedures load the request by the entrypoint's own schema."""

    def __init__(self, service: Any, **dependencies: Any) -> None:
        self._service = service()
        for name, value in dependencies.items():
            setattr(self._service, name, value)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        method = getattr(self._service, name)
        (entrypoint,) = method.nameko_entrypoints

        def ask(call: Call, **request: Any) -> dict[str, Any]:
            # As long as a bus may take, so that calls of several callers come between each other.
            time.sleep(random.uniform(0, LONGEST_CALL_SECONDS))
            return method(call, entrypoint.schema().load(request)) or {}

        return ask


class World:
    """Three rooms, two companies, devices enough, and a call of each kind."""

    def __init__(self, databases: dict[str, Database]) -> None:
        self.databases = databases
        accounts = FakeAccounts()
        self.company, self.guest, self.user = new_id(), new_id(), new_id()
        for company, name in ((self.company, "Acme"), (self.guest, "Beta")):
            accounts.add_company(company, name)
            accounts.add_user(new_id(), f"user@{name.lower()}.example", "U U", company)
        self.projects = Room(ProjectsService, database=databases["projects"], accounts=accounts)
        self.devices = Room(DevicesService, database=databases["devices"])
        self.devices._service.projects = self.projects
        self.licensing = Room(
            LicensingService, database=databases["licensing"], devices=self.devices, projects=self.projects
        )
        self._seen = dict.fromkeys(databases, "")

    def admin(self, command_id: str | None = None) -> Call:
        """Return a call of the company's administrator."""
        return make_call(user=self.user, company=self.company, command_id=command_id)

    def staff(self) -> Call:
        """Return a call of the vendor's staff."""
        return make_call(staff=True)

    def project(self) -> str:
        """Make a project."""
        made = self.projects.create_project(self.admin(), name=f"Project {new_id()}")
        return str(made["id"])

    def order(self, licenses: dict[str, int], macs: list[str]) -> str | None:
        """Enter an order and return its key."""
        entered = self.licensing.enter_order(
            self.staff(),
            number=new_id(),
            devices=[{"hardware_id": mac, "type": "IP6000", "shipped_on": "2026-11-02"} for mac in macs],
            licenses=[{"license_type": name, "quantity": quantity} for name, quantity in licenses.items()],
        )
        key: str | None = entered["activation_key"]
        return key

    def carry_events(self) -> None:
        """Give every room the events of the others that it has not seen."""
        subscriptions = {
            "projects": (("devices", "on_projects_events"), ("licensing", "on_projects_events")),
            "licensing": (("devices", "on_licensing_events"), ("projects", "on_licensing_events")),
        }
        for source, listeners in subscriptions.items():
            events = self._new_events(source)
            for room, handler in listeners:
                apply = getattr(getattr(self, room)._service, handler)
                self.databases[room].write(partial(_deliver, apply, events))

    def _new_events(self, source: str) -> list[Event]:
        statement = sa.select(outbox.c.id, outbox.c.event).where(outbox.c.id > self._seen[source]).order_by(outbox.c.id)
        rows = self.databases[source].read(lambda connection: connection.execute(statement).all())
        self._seen[source] = rows[-1].id if rows else self._seen[source]
        return [Event.from_document({**json.loads(row.event), "sequence": 1}) for row in rows]

    def exists(self, project_id: str) -> bool:
        """Tell whether the project is there."""
        seen = outcome_of(partial(self.projects.get_access, self.admin(), project_id=project_id))
        assert seen in ("done", "projects.not_found"), seen
        return seen == "done"

    def contents(self, project_id: str) -> dict[str, int]:
        """Return what is in a project, read from the rooms' own tables."""

        def count(room: str, statement: str) -> int:
            def work(connection: Connection) -> int:
                return int(connection.execute(sa.text(statement), {"project": project_id}).scalar_one())

            return self.databases[room].read(work)

        return {
            "devices": count(
                "devices", "SELECT count(*) FROM devices WHERE project_id = :project AND deleted_at IS NULL"
            ),
            "keys": count("licensing", "SELECT count(*) FROM activation_keys WHERE used_project_id = :project"),
            "balance": count(
                "licensing", "SELECT coalesce(sum(n), 0) FROM balances WHERE pool_id = 'project:' || :project"
            ),
            "rights": count("projects", "SELECT count(*) FROM project_rights WHERE project_id = :project"),
        }


def _deliver(apply: Callable[[Unit, list[Event]], None], events: list[Event], unit: Unit) -> None:
    apply(unit, events)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Three rooms on one kind of server; every room has a database of its own."""
    names = {room: f"test_{room}_{secrets.token_hex(4)}" for room in ("projects", "devices", "licensing")}
    if request.param == "sqlite":
        uris = {room: f"sqlite:///{tmp_path / name}.sqlite" for room, name in names.items()}
    else:
        server: Server = request.getfixturevalue("postgresql")
        uris = {room: server.create_database(name) for room, name in names.items()}
    databases = {room: make_database(room, uri, tmp_path / room) for room, uri in uris.items()}
    yield World(databases)
    set_fail_points("")
    for database in databases.values():
        database.close()
    if request.param == "postgresql":
        for name in names.values():
            server.drop_database(name)


def outcome_of(work: Callable[[], Any]) -> str:
    """Run a command and return `done`, or the code of its refusal; an unknown outcome is asked again."""
    for _ in range(20):
        try:
            result = work()
        except ServiceError as error:
            if error.kind != "unavailable":
                return error.code
        else:
            items = result.get("items", [{"result": "added"}]) if isinstance(result, dict) else [{"result": "added"}]
            return "done" if items[0]["result"] == "added" else str(items[0]["code"])
    raise AssertionError("no outcome")


def test_deleting_and_adding_at_once_leave_no_orphan(world: World) -> None:
    """Let a device, a key, a correction and a right race with two deletions of the same project."""
    shuffle = random.Random(20261124)
    rounds = ROUNDS[world.databases["licensing"].dialect]
    macs = [_mac(number) for number in range(rounds)]
    world.order({}, macs)
    keys = [world.order({"port8": 1}, []) for _ in range(rounds // 2)]
    found: Counter[str] = Counter()
    allowed = {
        "done", "projects.not_empty", "projects.not_found", "projects.closed", "devices.project_closed",
    }  # fmt: skip
    with ThreadPoolExecutor(6) as pool:
        for number in range(rounds):
            project = world.project()
            if number % 3 == 0:
                world.carry_events()
            racers = _racers(world, project, macs[number], keys[number // 2] if number % 2 else None)
            adders = shuffle.sample(racers[2:], k=shuffle.randint(1, len(racers) - 2))
            # A deletion takes more steps than an addition; the delays let the addition come between any two of them.
            late = [partial(_after, shuffle.uniform(0, LONGEST_DELAY_SECONDS), racer) for racer in adders]
            outcomes = list(pool.map(outcome_of, [*racers[:2], *late]))
            assert set(outcomes) <= allowed, outcomes
            world.carry_events()
            contents = world.contents(project)
            if world.exists(project):
                found["kept"] += 1
                assert any(contents.values()), (number, outcomes)
                if contents["devices"] == 0:
                    # It is open again in every room: what was refused above is taken now.
                    add = racers[2]
                    assert outcome_of(add) == "done", (number, outcomes)
            else:
                found["deleted"] += 1
                assert not any(contents.values()), (number, contents, outcomes)
    # Both happen, or the race is none.
    assert min(found["kept"], found["deleted"]) > rounds // 50, found


def _after(seconds: float, work: Callable[[], Any]) -> Any:
    time.sleep(seconds)
    return work()


def _racers(world: World, project: str, mac: str, key: str | None) -> list[Callable[[], Any]]:
    """Return two deletions, and then everything that adds to a project."""
    delete = world.licensing.delete_project
    calls = [world.admin() for _ in range(5)]
    correction = {"project_id": project, "license_type": "port8", "quantity": 2, "reason": "race"}
    staff = world.staff()
    racers: list[Callable[[], Any]] = [
        lambda: delete(calls[0], project_id=project),
        lambda: delete(calls[1], project_id=project),
        lambda: world.devices.add_devices(
            replace(calls[2], command_id=new_id()), project_id=project, hardware_ids=[mac]
        ),
        lambda: world.projects.add_right(calls[3], project_id=project, email="user@beta.example"),
        lambda: world.licensing.correct_balance(staff, **correction),
    ]
    if key is not None:
        racers.append(lambda: world.licensing.activate_key(calls[4], project_id=project, key=key))
    return racers


@pytest.mark.parametrize("then", ["the client repeats", "nobody comes"])
def test_a_deletion_that_was_cut_off_ends_as_if_it_was_not(
    world: World, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = [_mac(number) for number in range(len(STEPS))]
    world.order({}, macs)
    for step, mac in zip(STEPS, macs, strict=True):
        project, first = world.project(), world.admin()
        world.carry_events()
        set_fail_points(f"licensing.project_deletion.{step}=raise")
        with pytest.raises(InjectedFault):
            world.licensing.delete_project(first, project_id=project)
        set_fail_points("")
        if then == "the client repeats":
            assert world.licensing.delete_project(first, project_id=project) == {}, step
            assert not world.exists(project), step
        else:
            with monkeypatch.context() as patch:
                patch.setattr(deletion, "ABANDONED_AFTER", timedelta(seconds=-60))
                patch.setattr(deletion, "TOLD_AFTER", timedelta(seconds=-60))
                world.databases["licensing"].write(deletion.settle_abandoned)
            world.carry_events()
            assert world.exists(project) is (step not in ("settled", "told")), step
        world.carry_events()

        def add(project: str = project, mac: str = mac) -> dict[str, Any]:
            return world.devices.add_devices(world.admin(), project_id=project, hardware_ids=[mac])

        assert outcome_of(add) == ("done" if world.exists(project) else "projects.not_found"), step


def test_archiving_and_adding_at_once_leave_no_device_in_the_archive(world: World) -> None:
    macs = [_mac(number) for number in range(40)]
    world.order({}, macs)
    found: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for number, mac in enumerate(macs):
            project = world.project()
            calls = world.admin(), world.admin()
            works = [
                partial(world.devices.archive_project, calls[0], project_id=project, archived=True),
                partial(world.devices.add_devices, calls[1], project_id=project, hardware_ids=[mac]),
            ]
            works[number % 2] = partial(_after, number / len(macs) / 50, works[number % 2])
            outcomes = list(pool.map(outcome_of, works))
            world.carry_events()
            archived = world.projects.get_access(world.admin(), project_id=project)["state"] == "archived"
            assert archived is (world.contents(project)["devices"] == 0), outcomes
            found["archived" if archived else "added"] += 1
    assert len(found) == 2, found


def _mac(number: int) -> str:
    text = f"{FIRST_MAC + number:06X}"
    return f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}"
