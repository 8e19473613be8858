"""Import of a company as devices sees it: records follow their projects, a device that both have becomes one record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import CompanyMerge
from services.chassis.context import Call
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.devices import api
from services.devices.audit import report
from services.devices.commands import merges as commands
from services.devices.commands import projects
from services.devices.models import Device, Project
from services.devices.tests.conftest import SEED, Company, Room

FIRST, SECOND, THIRD, _ = SEED


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


def add(room: Room, company: Company, *hardware_ids: str) -> dict[str, str]:
    """Let a company have devices, whoever has them too; returns the records by hardware id."""
    answer = room.add_devices(
        company.call(),
        project_id=company.project,
        hardware_ids=list(hardware_ids),
        accept_warnings=[{"hardware_id": one, "code": "devices.in_other_company"} for one in hardware_ids],
    )
    return {item["hardware_id"]: item["device_id"] for item in answer["items"]}


def merge_of(into: Company, *gone: Company) -> CompanyMerge:
    return CompanyMerge(new_id(), into.id, gone[0].id, tuple(one.id for one in gone), "Other")


def apply(room: Room, *merges: CompanyMerge) -> None:
    told = [
        Event(new_id(), "accounts", "company_merged", datetime.now(UTC), merge.gone_id, 1, merge.data(copy=copy))
        for merge in merges
        for copy in (False, True)
    ]
    room.database.write(lambda unit: commands.apply_accounts_events(unit, told))


def rows(room: Room, table: Any) -> list[Any]:
    statement = sa.select(*table.__table__.c).order_by(table.id)
    return list(room.database.read(lambda connection: connection.execute(statement).all()))


def living(room: Room) -> dict[str, tuple[str, str]]:
    return {row.hardware_id: (row.id, row.company_id) for row in rows(room, Device) if row.deleted_at is None}


def counts(room: Room) -> list[dict[str, int]]:
    return [one["data"]["counts"] for one in room.events() if one["type"] == "company_merge_applied"]


def flaws(room: Room) -> list[str]:
    """Audit the room; nothing relays its events here, so what waits for that is no flaw, and nothing is numbered."""
    checks = room.database.read(report, snapshot=True).checks
    left_out = ("every event published", "every record told once", "what was built is as it was told")
    return [flaw for check in checks if check.name not in left_out for flaw in check.flaws]


def test_records_follow_their_projects(room: Room, reseller: Company, customer: Company) -> None:
    ours, theirs = add(room, reseller, FIRST), add(room, customer, SECOND)
    apply(room, merge_of(reseller, customer))
    assert living(room) == {FIRST: (ours[FIRST], reseller.id), SECOND: (theirs[SECOND], reseller.id)}
    assert {row.company_id for row in rows(room, Project)} == {reseller.id}
    shown = room.get_device(reseller.call(), device_id=theirs[SECOND])
    assert (shown["company_id"], shown["foreign"], shown["project_id"]) == (reseller.id, False, customer.project)
    assert counts(room) == [{"devices": 1, "joined": 0}]
    room.projects.projects[customer.project]["company_id"] = reseller.id
    with pytest.raises(ServiceError) as caught:
        room.get_device(customer.call(), device_id=theirs[SECOND])
    assert caught.value.code == "devices.device_not_found"
    assert flaws(room) == []


def test_a_device_of_both_becomes_one_record_and_both_ids_find_it(
    room: Room, reseller: Company, customer: Company
) -> None:
    ours, theirs = add(room, reseller, FIRST)[FIRST], add(room, customer, FIRST)[FIRST]
    room.update_device(reseller.call(), device_id=ours, comment="ours")
    room.update_device(customer.call(), device_id=theirs, comment="theirs", license_comment="paid by them")
    apply(room, merge_of(reseller, customer))
    assert living(room) == {FIRST: (ours, reseller.id)}
    for device_id in (ours, theirs):
        shown = room.get_device(reseller.call(), device_id=device_id)
        assert (shown["id"], shown["comment"], shown["license_comment"]) == (ours, "ours", "paid by them")
        assert room.get_device_facts(reseller.call(), device_id=device_id)["held_by_others"] is False
    (told,) = [one for one in room.events() if one["type"] == "device_merged"]
    assert api.EVENTS["device_merged"]().validate(told["data"]) == {}
    assert (told["subject"], told["deviceid"], told["companyid"]) == (theirs, ours, reseller.id)
    assert told["data"]["comment"] == "theirs"
    assert counts(room) == [{"devices": 1, "joined": 1}]
    assert flaws(room) == []


def test_the_old_id_takes_writes_too_and_ends_with_the_record(room: Room, reseller: Company, customer: Company) -> None:
    ours, theirs = add(room, reseller, FIRST)[FIRST], add(room, customer, FIRST)[FIRST]
    apply(room, merge_of(reseller, customer))
    assert room.update_device(reseller.call(), device_id=theirs, comment="new")["id"] == ours
    moved = room.move_devices(reseller.call(), device_ids=[theirs, ours], project_id=customer.project)
    assert [item["code"] for item in moved["items"]] == [None, "devices.repeated_in_request"]
    assert room.get_device(reseller.call(), device_id=ours)["project_id"] == customer.project
    room.delete_device(reseller.call(), device_id=theirs)
    assert living(room) == {}
    with pytest.raises(ServiceError) as caught:
        room.get_device(reseller.call(), device_id=theirs)
    assert caught.value.code == "devices.device_not_found"


def test_ids_are_handed_on_through_a_chain_of_imports(room: Room, reseller: Company, customer: Company) -> None:
    third = room.company()
    ids = [add(room, company, FIRST)[FIRST] for company in (reseller, customer, third)]
    apply(room, merge_of(customer, third))
    apply(room, merge_of(reseller, customer, third))
    assert living(room) == {FIRST: (ids[0], reseller.id)}
    assert {room.get_device(reseller.call(), device_id=one)["id"] for one in ids} == {ids[0]}
    assert flaws(room) == []


def test_merges_in_the_wrong_order_end_the_same(room: Room, reseller: Company, customer: Company) -> None:
    third = room.company()
    ids = [add(room, company, FIRST, SECOND)[FIRST] for company in (customer, third)]
    apply(room, merge_of(reseller, customer, third))
    apply(room, merge_of(customer, third))
    assert {company for _, company in living(room).values()} == {reseller.id}
    assert {room.get_device(reseller.call(), device_id=one)["id"] for one in ids} == {living(room)[FIRST][0]}
    assert flaws(room) == []


@pytest.mark.parametrize("point", ["devices.merge.begin", "devices.merge.end"])
def test_killed_anywhere_the_next_try_ends_the_same(
    room: Room, reseller: Company, customer: Company, point: str
) -> None:
    ours, theirs = add(room, reseller, FIRST), add(room, customer, FIRST, SECOND)
    merge, before, events = merge_of(reseller, customer), rows(room, Device), len(room.events())
    set_fail_points(f"{point}=raise")
    with pytest.raises(InjectedFault):
        apply(room, merge)
    assert (rows(room, Device), len(room.events())) == (before, events)
    set_fail_points("")
    for _ in range(2):
        apply(room, merge)
    assert living(room) == {FIRST: (ours[FIRST], reseller.id), SECOND: (theirs[SECOND], reseller.id)}
    assert counts(room) == [{"devices": 2, "joined": 1}, {"devices": 0, "joined": 0}]


def test_what_is_told_late_of_a_project_is_stored_under_the_company_of_today(
    room: Room, reseller: Company, customer: Company
) -> None:
    add(room, customer, FIRST)
    apply(room, merge_of(reseller, customer))
    data = {"project_id": customer.project, "name": "Late", "state": "open", "version": 7}
    late = Event(
        new_id(), "projects", "project_changed", datetime.now(UTC), customer.project, 1, data, companyid=customer.id
    )
    room.database.write(lambda unit: projects.apply_projects_events(unit, [late]))
    assert {(row.company_id, row.name) for row in rows(room, Project)} == {(reseller.id, "Late")}
    # And one that this room hears of only now, through somebody whose token is of a moment before.
    project = room.projects.add(customer.id)
    room.add_devices(customer.call(), project_id=project, hardware_ids=[SECOND])
    assert living(room)[SECOND][1] == reseller.id
    assert flaws(room) == []


def test_the_rehearsal_tells_what_the_import_then_does(room: Room, reseller: Company, customer: Company) -> None:
    add(room, reseller, FIRST)
    add(room, customer, FIRST, SECOND, THIRD)
    call: Call = reseller.call()
    absorbing = {"companies": [customer.id], "name": "Other"}
    call.claims.update(scopes=["rehearsal"], absorbing=absorbing)  # type: ignore[attr-defined]
    before = rows(room, Device)
    answer = commands.rehearse_merge(room.database, call)
    assert api.MergeRehearsed().validate(answer) == {}
    assert answer == {"devices": {"count": 3, "held_by_both_count": 1, "held_by_both": [FIRST]}}
    assert rows(room, Device) == before
    with pytest.raises(ServiceError) as caught:
        commands.rehearse_merge(room.database, reseller.call())
    assert caught.value.code == "accounts.scope_needed"
