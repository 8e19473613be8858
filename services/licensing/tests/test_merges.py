"""Import of a company as licensing sees it: balances and keys follow, ledger and lines stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import CompanyMerge
from services.chassis.context import Call
from services.chassis.data.aliases import check_unused
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.licensing import api
from services.licensing.commands import merges
from services.licensing.commands.events import apply_projects_events
from services.licensing.models import ActivationKey, DeviceLine, Project, Transfer, TransferEntry
from services.licensing.tests.world import World


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


class Other:
    """Another company with a project that holds licenses, and a device with some of them."""

    def __init__(self, world: World) -> None:
        self.world, self.id, self.user = world, new_id(), new_id()
        self.home = world.project("Theirs", self.id)
        world.ask(
            "activate_key", self.call(), project_id=self.home, key=world.order_key({"operators7": 9, "pbx7-10": 1})
        )
        self.device = world.device(project=self.home, company=self.id)
        self.line = world.assign(self.device, {"pbx7-10": 1, "operators7": 2}, self.call())["licenses"]

    def call(self) -> Call:
        return make_call(user=self.user, company=self.id)


@pytest.fixture
def other(world: World) -> Other:
    world.stock({"operators7": 5})
    return Other(world)


def merge_of(world: World, other: Other) -> CompanyMerge:
    return CompanyMerge(new_id(), world.company, other.id, (other.id,), "Other")


def apply(world: World, merge: CompanyMerge) -> None:
    told = [
        Event(new_id(), "accounts", "company_merged", datetime.now(UTC), merge.gone_id, 1, merge.data(copy=copy))
        for copy in (False, True)
    ]
    world.database.write(lambda unit: merges.apply_accounts_events(unit, told))


def follow(world: World, other: Other) -> None:
    """Let the neighbors' doubles apply the merge as the rooms do."""
    world.projects.projects[other.home]["company_id"] = world.company
    world.devices.projects[other.home] = world.company
    for key, record in list(world.devices.records.items()):
        if record.company_id == other.id:
            world.devices.records[key] = replace(record, company_id=world.company)


def rows(world: World, table: Any) -> list[Any]:
    statement = sa.select(*table.__table__.c).order_by(*table.__table__.primary_key.columns)
    return list(world.database.read(lambda connection: connection.execute(statement).all()))


def flaws(world: World) -> list[str]:
    columns = (Project.company_id, ActivationKey.company_id, ActivationKey.used_company_id)
    return list(world.database.read(lambda connection: check_unused(connection, columns), snapshot=True).flaws)


def test_balances_and_keys_follow_and_the_ledger_stays(world: World, other: Other) -> None:
    before = [rows(world, table) for table in (Transfer, TransferEntry, DeviceLine)]
    apply(world, merge_of(world, other))
    assert [rows(world, table) for table in (Transfer, TransferEntry, DeviceLine)] == before
    assert {row.company_id for row in rows(world, Project)} == {world.company}
    assert {row.used_company_id for row in rows(world, ActivationKey) if row.state == "used"} == {world.company}
    assert world.balance() == {"operators7": 12}
    assert world.balance(project=other.home) == {"operators7": 7}
    follow(world, other)
    added = world.ask("list_activations", world.admin())["items"]
    assert {item["project"]["id"] for item in added} == {world.home, other.home}
    assert flaws(world) == []
    world.check()


def test_with_a_token_of_after_the_switch_both_are_one_before_the_rows_follow(world: World, other: Other) -> None:
    assert world.balance(call=world.admin(absorbed=(other.id,))) == {"operators7": 12}
    apply(world, merge_of(world, other))
    assert world.balance(call=world.admin(absorbed=(other.id,))) == {"operators7": 12}


def test_what_the_other_company_assigned_can_be_taken_back_and_drawn_from_both(world: World, other: Other) -> None:
    apply(world, merge_of(world, other))
    follow(world, other)
    merged = world.admin(absorbed=(other.id,))
    line = next(one["id"] for one in other.line if one["license_type"] == "operators7")
    world.ask("take_back", merged, device_id=other.device, line_id=line)
    assert world.balance() == {"operators7": 14}
    world.assign(other.device, {"operators7": 12}, world.admin(absorbed=(other.id,)), sources=[world.home])
    assert world.balance() == {"operators7": 2}
    assert {company for _, company in world.events()[-2:]} == {world.company}
    world.check()


@pytest.mark.parametrize("point", ["licensing.merge.begin", "licensing.merge.end"])
def test_killed_anywhere_the_next_try_ends_the_same(world: World, other: Other, point: str) -> None:
    merge, before, events = merge_of(world, other), rows(world, Project), len(world.events())
    set_fail_points(f"{point}=raise")
    with pytest.raises(InjectedFault):
        apply(world, merge)
    assert (rows(world, Project), len(world.events())) == (before, events)
    set_fail_points("")
    for _ in range(2):
        apply(world, merge)
    assert world.balance() == {"operators7": 12}
    assert [name for name, _ in world.events()].count("company_merge_applied") == 2
    world.check()


def test_what_is_told_late_of_a_project_is_stored_under_the_company_of_today(world: World, other: Other) -> None:
    apply(world, merge_of(world, other))
    for project in (other.home, new_id()):
        data = {"project_id": project, "name": "Late", "state": "open", "version": 9}
        late = Event(new_id(), "projects", "project_changed", datetime.now(UTC), project, 1, data, companyid=other.id)
        world.database.write(partial(apply_projects_events, events=[late]))
    assert {row.company_id for row in rows(world, Project)} == {world.company}
    assert flaws(world) == []


def test_the_rehearsal_tells_what_the_import_then_moves(world: World, other: Other) -> None:
    call = world.admin()
    absorbing = {"companies": [other.id], "name": "Other"}
    call.claims.update(scopes=["rehearsal"], absorbing=absorbing)  # type: ignore[attr-defined]
    before = rows(world, Project)
    answer = merges.rehearse_merge(world.database, call)
    assert api.MergeRehearsed().validate(answer) == {}
    assert answer == {
        "balance": {"items": [{"license_type": "operators7", "name": "Operators7", "version": 7, "quantity": 7}]},
        "activation_keys": {"added": 1, "created": 0},
    }
    assert rows(world, Project) == before
    with pytest.raises(ServiceError) as caught:
        merges.rehearse_merge(world.database, world.admin())
    assert caught.value.code == "accounts.scope_needed"


def test_a_key_added_while_the_import_goes_on_is_the_importing_companys(
    world: World, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.4: a late write with the old token stored the key under the id of the company that was gone."""
    key = world.order_key({"port8": 3})
    merge = merge_of(world, other)
    asked = type(world.projects).get_access

    def asked_just_before(*arguments: Any, **more: Any) -> Any:
        answer = asked(*arguments, **more)
        # It is another worker's doing, not the command's.
        Context().run(apply, world, merge)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(type(world.projects), "get_access", asked_just_before)
        world.ask("activate_key", other.call(), project_id=other.home, key=key)
    columns = (Project.company_id, ActivationKey.company_id, ActivationKey.used_company_id)
    assert world.database.read(lambda connection: check_unused(connection, columns), snapshot=True).flaws == ()
