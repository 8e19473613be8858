"""Deleting a project: what is in the way, who may, what a cut-off leaves behind, what closed projects take (PRJ-4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.context import Call
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError, conflict, unavailable
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.licensing.commands import deletion
from services.licensing.commands.events import apply_projects_events
from services.licensing.commands.keys import create_key
from services.licensing.models import Project, ProjectDeletion
from services.licensing.store import projects
from services.licensing.tests.world import World
from services.projects.api import ProjectCopy

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


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


def delete(world: World, project_id: str, call: Call | None = None) -> dict[str, Any]:
    """Delete a project."""
    return world.ask("delete_project", call or world.admin(), project_id=project_id)


def refused(code: str, world: World, project_id: str, call: Call | None = None) -> ServiceError:
    """Expect the refusal of a deletion."""
    with pytest.raises(ServiceError) as caught:
        delete(world, project_id, call)
    assert caught.value.code == code, caught.value
    return caught.value


def state(world: World, project_id: str) -> str:
    """Return whether this room takes the project for open."""
    copy = world.database.read(lambda connection: projects.get(connection, project_id))
    return copy.state if copy is not None else "unknown"


def told(world: World) -> list[dict[str, Any]]:
    """Return the data of the events that settle deletions."""
    rows = world.database.read(lambda c: c.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all())
    events = [json.loads(row) for row in rows]
    return [event["data"] for event in events if event["type"] == "project_deletion_settled"]


def look(world: World) -> int:
    """Look for deletions that nobody drives, as the timer does."""
    return world.database.write(deletion.settle_abandoned)


def test_a_refusal_names_everything_in_the_way_and_changes_nothing(world: World) -> None:
    project = world.project("Berlin")
    world.stock({"port8": 7, "pbx7-10": 1}, project)
    world.device(project=project)
    world.projects.let(project, new_id())

    def store_open_key(unit: Unit) -> None:
        create_key(unit, world.database, {}, created_by=world.user, company_id=world.company, project_id=project)

    world.database.write(store_open_key)
    before = world.events()
    refusal = refused("projects.not_empty", world, project)
    blockers = {"devices": 1, "activation_keys": 2, "rights": 1, "balance": 8}
    assert (refusal.status, refusal.extra) == (409, {"blockers": blockers})
    assert "2 activation keys" in refusal.detail
    assert world.events() == before
    assert state(world, project) == "open"
    assert world.projects.closings == world.devices.closings == {}
    assert look(world) == 0


def test_an_empty_project_is_deleted_once_and_the_repetition_gets_the_first_answer(world: World) -> None:
    project = world.project("Berlin")
    first = world.admin("first")
    assert delete(world, project, first) == {}
    assert delete(world, project, first) == {}
    assert project not in world.projects.projects
    for call in (world.admin(), make_call(company=new_id(), command_id="first")):
        refused("projects.not_found", world, project, call)
    assert state(world, project) == "closed"
    assert (world.events(), look(world)) == ([], 0)


def test_a_refusal_is_repeated_although_the_project_is_empty_by_now(world: World) -> None:
    project = world.project("Berlin")
    device = world.device(project=project)
    first = world.admin("first")
    refused("projects.not_empty", world, project, first)
    del world.devices.records[device]
    assert refused("projects.not_empty", world, project, first).extra["blockers"]["devices"] == 1
    assert delete(world, project) == {}


def test_who_may_not_delete_learns_and_changes_nothing(world: World) -> None:
    project, guest = world.project("Berlin"), new_id()
    world.projects.let(project, guest)
    for call, code in (
        (make_call(company=guest), "access.power_needed"),
        (make_call(staff=True), "access.power_needed"),
        (make_call(company=new_id()), "projects.not_found"),
        (world.admin(scopes=("read",)), "accounts.scope_needed"),
    ):
        refused(code, world, project, call)
    unknown = refused("projects.not_found", world, new_id(), make_call(company=new_id()))
    assert refused("projects.not_found", world, project, make_call(company=new_id())).args == unknown.args
    with world.database.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ProjectDeletion)).scalar_one() == 0
    member = world.admin(role="member")
    assert delete(world, world.project("Paris"), member) == {}


@pytest.mark.parametrize("step", STEPS)
def test_a_deletion_that_was_cut_off_is_finished_by_its_repetition(world: World, step: str) -> None:
    project, first = world.project("Berlin"), world.admin("first")
    set_fail_points(f"licensing.project_deletion.{step}=raise")
    with pytest.raises(InjectedFault):
        delete(world, project, first)
    set_fail_points("")
    assert delete(world, project, first) == {}
    assert project not in world.projects.projects
    assert state(world, project) == "closed"


@pytest.mark.parametrize("step", STEPS)
def test_a_deletion_that_was_cut_off_is_joined_by_another_one(world: World, step: str) -> None:
    project = world.project("Berlin")
    set_fail_points(f"licensing.project_deletion.{step}=raise")
    with pytest.raises(InjectedFault):
        delete(world, project)
    set_fail_points("")
    assert delete(world, project) == {}
    refused("projects.not_found", world, project)
    assert project not in world.projects.projects
    assert state(world, project) == "closed"


@pytest.mark.parametrize("step", STEPS)
def test_a_deletion_that_was_cut_off_is_settled_without_anyone(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, first = world.project("Berlin"), world.admin("first")
    set_fail_points(f"licensing.project_deletion.{step}=raise")
    with pytest.raises(InjectedFault):
        delete(world, project, first)
    set_fail_points("")
    assert (look(world), told(world)) == (0, [])
    monkeypatch.setattr(deletion, "ABANDONED_AFTER", timedelta(seconds=-60))
    monkeypatch.setattr(deletion, "TOLD_AFTER", timedelta(seconds=-60))
    assert look(world) == 1
    assert look(world) == 0
    if step in ("settled", "told"):
        assert [event["outcome"] for event in told(world)] == ["deleted"]
        assert state(world, project) == "closed"
        return
    closing = step in ("closed_here", "close_devices", "close_projects")
    assert [event["outcome"] for event in told(world)] == (["abandoned"] if closing else [])
    assert state(world, project) == "open"
    for event in told(world):
        assert set(world.projects.closings.values()) | set(world.devices.closings.values()) <= {event["closing_id"]}
    world.projects.closings.clear()
    world.devices.closings.clear()
    # The client that comes back with its key begins anew.
    assert delete(world, project, first) == {}
    assert project not in world.projects.projects


def test_what_another_room_refuses_opens_everything_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    project = world.project("Berlin")
    with monkeypatch.context() as patch:
        real = world.projects.close_project

        def right_in_between(call: Call, *, dry_run: bool, **which: Any) -> dict[str, Any]:
            return {"rights": 0} if dry_run else {"rights": 3}

        patch.setattr(world.projects, "close_project", right_in_between)
        assert refused("projects.not_empty", world, project).extra["blockers"]["rights"] == 3
        assert (state(world, project), world.devices.closings, told(world)) == ("open", {}, [])

        def closed_for_another(call: Call, *, dry_run: bool, **which: Any) -> dict[str, Any]:
            if dry_run:
                return real(call, dry_run=True, **which)
            raise conflict("projects.closed", "Closed.")

        patch.setattr(world.projects, "close_project", closed_for_another)
        refused("projects.closed", world, project)
        assert (state(world, project), world.devices.closings) == ("open", {})
    assert delete(world, project) == {}


def test_a_room_that_does_not_answer_is_told_by_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    project, first = world.project("Berlin"), world.admin("first")

    def away(*_: Any, **__: Any) -> dict[str, Any]:
        raise unavailable()

    with monkeypatch.context() as patch:
        patch.setattr(type(world.devices), "close_project", away)
        refused("service.unavailable", world, project, first)
    with monkeypatch.context() as patch:
        patch.setattr(world.projects, "delete_closed_project", away)
        assert delete(world, project, first) == {}
    [event] = told(world)
    assert (event["outcome"], event["project_id"]) == ("deleted", project)
    assert look(world) == 0


def test_nothing_is_added_to_a_project_that_is_being_deleted(world: World) -> None:
    project = world.project("Berlin")
    keys = [world.order_key({"port8": 1}) for _ in range(2)]
    set_fail_points("licensing.project_deletion.closed_here=raise")
    with pytest.raises(InjectedFault):
        delete(world, project)
    set_fail_points("")
    correction = {"license_type": "port8", "quantity": 1, "reason": "Goodwill"}
    for name, call, body in (
        ("activate_key", world.admin(), {"key": keys[0]}),
        ("correct_balance", world.staff(), correction),
    ):
        with pytest.raises(ServiceError) as caught:
            world.ask(name, call, project_id=project, **body)
        assert caught.value.code == "projects.closed"
    assert delete(world, project) == {}
    with pytest.raises(ServiceError) as caught:
        world.ask("get_balance", world.admin(), project=project)
    assert caught.value.code == "projects.not_found"


def test_an_archived_project_takes_nothing_and_is_in_no_sum(world: World) -> None:
    project = world.project("Berlin")
    world.stock({"port8": 5}, project)
    world.projects.update_project(world.admin(), project_id=project, archived=True)
    key = world.order_key({"port8": 1})
    correction = {"license_type": "port8", "quantity": 1, "reason": "Goodwill"}
    for name, call, body in (
        ("activate_key", world.admin(), {"key": key}),
        ("correct_balance", world.staff(), correction),
    ):
        with pytest.raises(ServiceError) as caught:
            world.ask(name, call, project_id=project, **body)
        assert caught.value.code == "projects.archived"
    archived = ProjectCopy(project, world.company, "Berlin", "archived", 2)
    world.database.write(lambda unit: projects.save(unit.connection, archived))
    assert world.balance() == {}
    assert world.balance(project) == {"port8": 5}
    with pytest.raises(ServiceError) as caught:
        world.assign(world.device(), {"port8": 1}, sources=[project])
    assert caught.value.code == "licensing.source_not_usable"
    # What is empty may be deleted from the archive too, and what refuses it stays archived.
    refused("projects.not_empty", world, project)
    assert state(world, project) == "archived"


def test_an_older_answer_does_not_replace_a_newer_event(world: World) -> None:
    project = world.project("Berlin")

    def tell(version: int | None, state: str, type: str = "project_changed") -> None:
        data: dict[str, object] = {"project_id": project, "name": "Berlin", "state": state}
        data |= {"version": version} if version is not None else {}
        event = Event(new_id(), "projects", type, datetime.now(UTC), project, 1, data, companyid=world.company)
        world.database.write(lambda unit: apply_projects_events(unit, [event]))

    for version, given, kept in ((3, "archived", "archived"), (2, "open", "archived"), (None, "open", "open")):
        tell(version, given)
        assert state(world, project) == kept
    tell(4, "deleted", "project_deleted")
    assert state(world, project) == "closed"
    old = ProjectCopy(project, world.company, "Berlin", "open", 3)
    world.database.write(lambda unit: projects.save(unit.connection, old))
    assert state(world, project) == "closed"


def test_what_a_deleted_project_paid_comes_back_to_its_company(world: World) -> None:
    # A guest pays for a device of another company from a project that is deleted afterwards.
    guest = new_id()
    guests = make_call(company=guest)
    source, spare = world.projects.add(guest, "Source"), world.projects.add(guest, "Spare")
    for project in (source, spare):
        world.projects.let(world.home, guest)
        key = world.order_key({"port8": 5})
        world.ask("activate_key", replace(guests, command_id=new_id()), project_id=project, key=key)
    device = world.device()
    world.devices.share(world.home, guest)
    assigned = world.assign(device, {"port8": 5}, replace(guests, command_id=new_id()), sources=[source])
    set_closed = sa.update(Project).where(Project.id == source).values(closing_id=new_id())
    world.database.write(lambda unit: unit.execute(set_closed) and None)
    line = assigned["licenses"][0]["id"]
    world.ask("take_back", world.admin(), device_id=device, line_id=line)
    assert world.balance(spare, guests) == {"port8": 10}
    # It was no deletion, and the audit would say so.
    world.database.write(lambda unit: unit.execute(sa.update(Project).values(closing_id=None)) and None)
    world.check()


def test_the_audit_finds_what_a_deletion_must_not_leave_behind(world: World) -> None:
    deleted, stuck, closed = (world.project(name) for name in ("Deleted", "Stuck", "Closed"))
    world.stock({"port8": 5}, closed)
    assert delete(world, deleted) == {}
    world.check()
    set_fail_points("licensing.project_deletion.closed_here=raise")
    with pytest.raises(InjectedFault):
        delete(world, stuck)
    set_fail_points("")
    world.check()

    def spoil(unit: Unit) -> None:
        old = unit.now - timedelta(minutes=6)
        unit.execute(sa.update(ProjectDeletion).where(ProjectDeletion.project_id == stuck).values(started_at=old))
        unit.execute(sa.update(Project).where(Project.id == closed).values(closing_id=new_id()))
        unit.execute(sa.update(ProjectDeletion).where(ProjectDeletion.project_id == deleted).values(project_id=closed))

    world.database.write(spoil)
    with pytest.raises(AssertionError) as caught:
        world.check()
    for flaw in (
        f"{stuck} is closing",
        f"{closed} has a balance",
        f"to the deleted project {closed}",
        "no deletion any",
    ):
        assert flaw in str(caught.value)


def test_who_only_counts_settles_nothing_that_another_one_is_closing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One has counted nothing and closes; the other counts a right that was given in between.
    project = world.project("Berlin")
    real = world.projects.close_project
    nested: list[bool] = []

    def close(call: Call, *, dry_run: bool, **which: Any) -> dict[str, Any]:
        if dry_run and not nested:
            nested.append(True)
            with pytest.raises(InjectedFault):
                delete(world, project)
            set_fail_points("")
            return {"rights": 1}
        return real(call, dry_run=dry_run, **which)

    monkeypatch.setattr(world.projects, "close_project", close)
    set_fail_points("licensing.project_deletion.closed_here=raise")
    assert delete(world, project) == {}
    assert project not in world.projects.projects


def test_a_closing_that_still_runs_is_no_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.4: the deletion was given up while devices was closing the project, which then stayed closed there."""
    project = world.project("Berlin")
    close = type(world.devices).close_project

    def still_runs(*arguments: Any, **more: Any) -> Any:
        answer = close(*arguments, **more)
        if more.get("dry_run"):
            return answer
        raise conflict("idempotency.in_progress", "The first request still runs.")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.devices), "close_project", still_runs)
        refused("idempotency.in_progress", world, project, world.admin("first"))
    assert told(world) == []
    assert state(world, project) == "closed"
    assert delete(world, project, world.admin("first")) == {}
    assert project not in world.projects.projects
