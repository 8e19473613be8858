"""Assigning, taking back, floating licenses, corrections: the ledger moves by exactly what was said."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.data.db import last_was_replay
from services.chassis.ids import new_id
from services.licensing.api.licenses import WHY_NOT_RETURNED
from services.licensing.commands.returns import sorting
from services.licensing.models import Balance, CatalogueState, CatalogueVersion, LicenseType
from services.licensing.queries.licenses import return_obstacle
from services.licensing.store import catalogue as catalogue_store
from services.licensing.store import ledger
from services.licensing.tests.test_keys_and_orders import LICENSES, refused
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World

FULL = {"pbx7-100": 1, "voicemail7-100": 1, "registrations7": 40}


def lines_of(world: World, device: str) -> dict[str, dict[str, Any]]:
    answer = world.ask("list_device_licenses", world.admin(), device_id=device)
    return {line["license_type"]: line for line in answer["items"]}


def edit_catalogue(world: World, monkeypatch: pytest.MonkeyPatch, statement: Any) -> None:
    """Edit the catalogue as the editor of staff will, and let it be seen at once."""

    def work(unit: Any) -> None:
        unit.execute(statement)
        unit.execute(sa.update(CatalogueState).values(revision=CatalogueState.revision + 1))

    world.database.write(work)
    monkeypatch.setattr(catalogue_store, "_FRESH_SECONDS", 0.0)


def test_the_story_s_assignment(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    rehearsed = world.assign(device, FULL, dry_run=True)
    assert {line["id"] for line in rehearsed["licenses"]} == {None}
    assert world.balance() == LICENSES
    assert world.installed(device) == {}
    answer = world.assign(device, FULL)
    assert {line["license_type"]: line["quantity"] for line in answer["licenses"]} == FULL
    assert {(share["id"], share["name"]) for share in answer["drawn"]} == {(world.home, "Home")}
    assert world.installed(device) == FULL
    assert world.balance() == {"registrations7": 20, "port8": 20}
    assert world.events()[-1] == ("licenses_assigned", world.company)
    world.check()


def test_the_same_command_again_books_once(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    first = world.assign(device, {"port8": 5}, world.admin("a1"))
    assert world.assign(device, {"port8": 5}, world.admin("a1")) == first
    refused("idempotency.key_reused", world.assign, device, {"port8": 6}, world.admin("a1"))
    assert world.balance()["port8"] == 15
    world.assign(device, {"port8": 5})
    assert world.balance()["port8"] == 10
    world.check()


def test_a_broken_rule_is_named_with_its_numbers_and_nothing_happens(world: World) -> None:
    world.stock(LICENSES)
    device, events = world.device(), len(world.events())
    refusal = refused("licensing.rule_violated", world.assign, device, {"voicemail7-100": 1})
    assert refusal.extra["rule"] == "same_size_as_pbx"
    refusal = refused(
        "licensing.rule_violated", world.assign, device, {"pbx7-100": 1, "registrations7": 101}, dry_run=True
    )
    assert refusal.extra["rule"] == "registrations_within_pbx"
    assert refusal.extra["allowed"] == 100
    phone = world.device("IP110")
    assert refused("licensing.rule_violated", world.assign, phone, {"port8": 1}).extra["maximum"] == 0
    assert world.balance() == LICENSES
    assert len(world.events()) == events
    world.check()


def test_a_shortage_tells_who_holds_some_and_is_met_from_the_chosen_in_their_order(world: World) -> None:
    first, second, third = (world.project(name) for name in ("First", "Second", "Third"))
    world.stock({"port8": 10})
    for project, quantity in ((first, 3), (second, 4), (third, 50)):
        world.stock({"port8": quantity}, project)
    device = world.device()
    refusal = refused("licensing.insufficient_balance", world.assign, device, {"port8": 15})
    (shortage,) = refusal.extra["shortages"]
    assert (shortage["license_type"], shortage["missing"]) == ("port8", 5)
    assert [(p["name"], p["available"]) for p in shortage["projects"]] == [("First", 3), ("Second", 4), ("Third", 50)]
    refusal = refused("licensing.insufficient_balance", world.assign, device, {"port8": 15}, sources=[first])
    assert refusal.extra["shortages"][0]["missing"] == 2
    answer = world.assign(device, {"port8": 15}, sources=[second, first, third])
    assert [(share["name"], share["quantity"]) for share in answer["drawn"]] == [
        ("Home", 10),
        ("Second", 4),
        ("First", 1),
    ]
    assert [world.balance(p).get("port8", 0) for p in (world.home, first, second, third)] == [0, 2, 0, 50]
    world.check()


def test_only_what_is_short_is_told(world: World) -> None:
    world.stock({"fax8": 9, "port8": 10, "mobility8": 1})
    device = world.device()
    refusal = refused("licensing.insufficient_balance", world.assign, device, {"fax8": 9, "port8": 12, "mobility8": 1})
    assert [(s["license_type"], s["missing"]) for s in refusal.extra["shortages"]] == [("port8", 2)]
    assert world.balance() == {"fax8": 9, "port8": 10, "mobility8": 1}
    world.check()


def test_nothing_is_drawn_from_projects_that_were_not_named_or_are_not_one_s_own(world: World) -> None:
    other = World(world.database)
    other.stock({"port8": 100})
    world.stock({"port8": 1})
    device = world.device()
    refused("projects.not_found", world.assign, device, {"port8": 2}, sources=[other.home])
    refused("projects.not_found", world.assign, device, {"port8": 2}, sources=[new_id()])
    refusal = refused("licensing.insufficient_balance", world.assign, device, {"port8": 2})
    assert refusal.extra["shortages"][0]["projects"] == []
    assert other.balance() == {"port8": 100}
    world.check()


def test_a_guest_draws_from_the_project_and_then_from_own_ones(world: World) -> None:
    guest = World(world.database)
    guest.projects, guest.devices = world.projects, world.devices
    guest.home = guest.project("Guest's own")
    world.stock({"port8": 3})
    reserve = world.project("Reserve")
    world.stock({"port8": 100}, reserve)
    guest.stock({"port8": 10})
    device = world.device()
    refused("devices.device_not_found", guest.assign, device, {"port8": 1})
    world.projects.let(world.home, guest.company)
    world.devices.share(world.home, guest.company)
    refusal = refused("licensing.insufficient_balance", guest.assign, device, {"port8": 5})
    assert [p["id"] for p in refusal.extra["shortages"][0]["projects"]] == [guest.home]
    refused("projects.not_found", guest.assign, device, {"port8": 5}, sources=[reserve])
    answer = guest.assign(device, {"port8": 5}, sources=[guest.home])
    assert world.balance(world.home) == {}
    assert guest.balance() == {"port8": 8}
    assert world.events()[-2:] == [("licenses_assigned", world.company), ("licenses_assigned", guest.company)]
    line = answer["licenses"][0]["id"]
    refused("access.power_needed", guest.ask, "take_back", guest.admin(), device_id=device, line_id=line)
    world.ask("take_back", world.admin(), device_id=device, line_id=line)
    assert world.balance(world.home) == {"port8": 3}
    assert guest.balance() == {"port8": 10}
    world.check()


def test_owner_and_guest_are_told_of_no_other_projects_of_each_other(world: World) -> None:
    guest = World(world.database)
    guest.projects, guest.devices = world.projects, world.devices
    guest.home = guest.project("Guest's own")
    reserve = world.project("Reserve")
    world.stock({"port8": 3})
    world.stock({"port8": 100}, reserve)
    guest.stock({"port8": 10})
    device = world.device()
    world.projects.let(world.home, guest.company)
    world.devices.share(world.home, guest.company)
    line = guest.assign(device, {"port8": 5}, sources=[guest.home])["licenses"][0]["id"]
    told = {company: [share["id"] for share in data["drawn"]] for company, data in world.told("licenses_assigned")}
    assert told == {world.company: [world.home], guest.company: [world.home, guest.home]}
    answer = world.ask("take_back", world.admin(), device_id=device, line_id=line)
    assert [share["id"] for share in answer["credited"]] == [world.home]
    told = {company: [share["id"] for share in data["credited"]] for company, data in world.told("licenses_taken_back")}
    assert told == {world.company: [world.home], guest.company: [world.home, guest.home]}
    world.assign(device, {"port8": 5}, sources=[reserve])
    company, data = world.told("licenses_assigned")[-1]
    assert company == world.company
    assert [share["id"] for share in data["drawn"]] == [world.home, reserve]


def test_a_repetition_gets_its_first_answer_though_the_device_is_gone_by_then(world: World) -> None:
    world.stock({"port8": 10})
    reserve = world.project("Reserve")
    world.stock({"port8": 10}, reserve)
    device = world.device()
    first = world.assign(device, {"port8": 15}, world.admin("a"), sources=[reserve])
    del world.devices.records[device]
    assert world.assign(device, {"port8": 15}, world.admin("a"), sources=[reserve]) == first
    assert last_was_replay()
    refused("devices.device_not_found", world.assign, device, {"port8": 15}, world.admin("new"), sources=[reserve])
    refused("devices.device_not_found", world.assign, device, {"port8": 14}, world.admin("a"), sources=[reserve])
    stranger = world.admin("a", company=new_id())
    refused("devices.device_not_found", world.assign, device, {"port8": 15}, stranger, sources=[reserve])
    world.check()


def test_a_refusal_is_a_repetition_the_second_time_only(world: World) -> None:
    """Found by repeating every route: the first refusal was looked up as if it were an earlier one."""
    device = world.device()
    for again in (False, True):
        refused("licensing.insufficient_balance", world.assign, device, {"port8": 1}, world.admin("a"))
        assert last_was_replay() is again


def test_taking_back_restores_exactly_what_was_paid_and_once(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    world.assign(device, FULL)
    line = lines_of(world, device)["registrations7"]
    assert line["can_take_back"]
    call = world.admin("t1")
    answer = world.ask("take_back", call, device_id=device, line_id=line["id"])
    assert answer["licenses"][0]["quantity"] == 40
    assert world.ask("take_back", world.admin("t1"), device_id=device, line_id=line["id"]) == answer
    refused("licensing.line_not_found", world.ask, "take_back", world.admin(), device_id=device, line_id=line["id"])
    assert world.balance() == {"registrations7": 60, "port8": 20}
    world.assign(device, {"registrations7": 40})
    assert world.installed(device) == FULL
    assert world.events()[-2:] == [("licenses_taken_back", world.company), ("licenses_assigned", world.company)]
    world.check()


def test_a_base_taken_back_must_be_put_right_by_the_next_assignment(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    world.assign(device, {"pbx7-100": 1, "voicemail7-100": 1})
    base = lines_of(world, device)["pbx7-100"]["id"]
    world.ask("take_back", world.admin(), device_id=device, line_id=base)
    refused("licensing.rule_violated", world.assign, device, {"registrations7": 10})
    world.assign(device, {"pbx7-100": 1, "registrations7": 10})
    world.check()


def test_what_stands_in_a_file_is_not_taken_back(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    world.assign(device, {"port8": 5})
    line = lines_of(world, device)["port8"]["id"]
    Thing(world, device).file()
    assert not lines_of(world, device)["port8"]["can_take_back"]
    refused("licensing.file_issued", world.ask, "take_back", world.admin(), device_id=device, line_id=line)
    assert world.balance()["port8"] == 15


def test_another_company_that_has_the_device_sees_but_does_not_take_back(world: World) -> None:
    other = World(world.database)
    other.devices, other.projects = world.devices, world.projects
    other.home = other.project("Theirs", other.company)
    world.stock(LICENSES)
    device = world.device()
    hardware_id = world.devices.records[device].hardware_id
    theirs = world.devices.hold(hardware_id, company_id=other.company, project_id=other.home)
    world.assign(device, {"port8": 5})
    (line,) = other.ask("list_device_licenses", other.admin(), device_id=theirs)["items"]
    assert not line["can_take_back"]
    refused("licensing.line_not_yours", other.ask, "take_back", other.admin(), device_id=theirs, line_id=line["id"])


def test_returned_lines_are_credited_once_to_the_project_of_the_device(world: World) -> None:
    target = world.project("Target")
    world.stock({"port8": 20})
    world.stock({"fax8": 1}, target)
    device = world.device()
    world.assign(device, {"port8": 12})
    thing = Thing(world, device)
    file = thing.file()
    world.devices.records[device] = replace(world.devices.records[device], project_id=target)
    world.devices.projects[target] = world.company
    assert [line["quantity"] for line in thing.give_up(file)["returned"]] == [12]
    refused("licensing.already_returned", thing.give_up, file)
    assert world.balance(target) == {"port8": 12, "fax8": 1}
    assert world.installed(device) == {}
    world.check()


def test_a_device_marked_rma_takes_nothing(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    world.devices.mark_rma(world.devices.records[device].hardware_id)
    refused("licensing.device_rma", world.assign, device, {"port8": 1})
    refused("licensing.device_rma", world.ask, "set_floating", world.admin(), device_id=device, version=7)
    assert world.balance() == LICENSES


def test_staff_sees_but_does_not_assign(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    refused("access.power_needed", world.assign, device, {"port8": 1}, world.staff())
    assert world.ask("list_device_licenses", world.staff(), device_id=device)["items"] == []


def test_floating_is_free_excludes_pbx_and_comes_off(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    first = world.ask("set_floating", world.admin(), device_id=device, version=7)
    assert world.ask("set_floating", world.admin(), device_id=device, version=7) == first
    assert world.installed(device) == {"pbx7-slave": 1}
    assert world.balance() == LICENSES
    refused("licensing.rule_violated", world.assign, device, {"pbx7-100": 1})
    world.ask("set_floating", world.admin(), device_id=device, version=6)
    assert world.installed(device) == {"pbx6-slave": 1}
    world.ask("remove_floating", world.admin(), device_id=device)
    refused("licensing.line_not_found", world.ask, "remove_floating", world.admin(), device_id=device)
    world.assign(device, {"pbx7-100": 1})
    refusal = refused("licensing.rule_violated", world.ask, "set_floating", world.admin(), device_id=device, version=7)
    assert refusal.extra["rule"] == "floating_excludes_pbx"
    refused("licensing.version_unknown", world.ask, "set_floating", world.admin(), device_id=device, version=8)
    names = [name for name, _ in world.events()]
    assert names.count("floating_license_set") == 2
    assert names.count("floating_license_removed") == 2
    world.check()


def test_whose_floating_license_another_company_takes_off_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.4: the booking gave the license back to its payer, and no event told the payer."""
    edit_catalogue(
        world, monkeypatch, sa.update(LicenseType).where(LicenseType.id == "pbx7-slave").values(from_stock=True)
    )
    other = World(world.database)
    other.devices, other.projects = world.devices, world.projects
    other.home = other.project("Theirs", other.company)
    world.stock({"pbx7-slave": 1})
    device = world.device()
    theirs = world.devices.hold(
        world.devices.records[device].hardware_id, company_id=other.company, project_id=other.home
    )
    world.ask("set_floating", world.admin(), device_id=device, version=7)
    other.ask("remove_floating", other.admin(), device_id=theirs)
    assert world.balance() == {"pbx7-slave": 1}
    told = {company: data["project"]["id"] for company, data in world.told("floating_license_removed")}
    assert told == {other.company: other.home, world.company: world.home}
    restore = sa.update(LicenseType).where(LicenseType.id == "pbx7-slave").values(from_stock=False)
    # The auditor takes a license type that is not as it was shipped for tampered with.
    edit_catalogue(world, monkeypatch, restore)
    world.check()


def test_floating_can_cost_one_from_stock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_catalogue(
        world, monkeypatch, sa.update(LicenseType).where(LicenseType.id == "pbx7-slave").values(from_stock=True)
    )
    device = world.device()
    refused("licensing.insufficient_balance", world.ask, "set_floating", world.admin(), device_id=device, version=7)
    world.stock({"pbx7-slave": 2})
    world.ask("set_floating", world.admin(), device_id=device, version=7)
    assert world.balance() == {"pbx7-slave": 1}
    world.ask("remove_floating", world.admin(), device_id=device)
    assert world.balance() == {"pbx7-slave": 2}
    restore = sa.update(LicenseType).where(LicenseType.id == "pbx7-slave").values(from_stock=False)
    # The auditor takes a license type that is not as it was shipped for tampered with.
    edit_catalogue(world, monkeypatch, restore)
    world.check()


def test_a_version_can_be_switched_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stock(LICENSES)
    device = world.device()
    edit_catalogue(
        world, monkeypatch, sa.update(CatalogueVersion).where(CatalogueVersion.version == 8).values(offered=False)
    )
    refusal = refused("licensing.version_not_offered", world.assign, device, {"port8": 1})
    assert refusal.extra["offered"] == [5, 6, 7]
    refused(
        "licensing.version_not_offered", world.ask, "get_license_options", world.admin(), device_id=device, version=8
    )
    world.assign(device, {"pbx7-100": 1})


def test_options_show_what_fits_and_is_in_stock(world: World) -> None:
    other = world.project("Other")
    world.stock({**LICENSES, "pbx7-200-from-100": 1, "pbx7-1000": 1, "warranty-year": 2})
    world.stock({"registrations7": 5, "channels7": 9}, other)

    def options(device: str) -> Mapping[str, dict[str, Any]]:
        answer = world.ask("get_license_options", world.admin(), device_id=device, version=7)
        return {item["license_type"]: item for item in answer["items"]}

    device = world.device("IP800")
    found = options(device)
    assert set(found) == {
        "pbx7-100",
        "pbx7-200-from-100",
        "voicemail7-100",
        "registrations7",
        "channels7",
        "warranty-year",
    }
    assert (found["registrations7"]["project_balance"], found["registrations7"]["company_balance"]) == (60, 65)
    assert (found["channels7"]["project_balance"], found["channels7"]["maximum"]) == (0, 10)
    assert found["pbx7-100"]["choices"] == ["pbx7-100"]
    assert "choices" not in found["registrations7"]
    world.assign(device, FULL)
    found = options(device)
    assert found["pbx7-200-from-100"]["installed"] == 100
    assert found["pbx7-200-from-100"]["choices"] == ["pbx7-200-from-100"]
    assert found["registrations7"]["installed"] == 40
    assert set(options(world.device("IP110"))) == {"warranty-year"}
    refused("licensing.version_unknown", world.ask, "get_license_options", world.admin(), device_id=device, version=9)


def test_every_reason_for_which_a_license_stays_has_its_sentence() -> None:
    """Read from the source: a reason without one would fail a return that was booked already."""
    functions = (return_obstacle, sorting.sort, sorting.why_kept)
    given = {
        node.value
        for function in functions
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z_]{5,}", node.value)
    }
    assert given == WHY_NOT_RETURNED.keys()


def test_lines_tell_why_they_do_not_go_back(world: World) -> None:
    world.stock({**LICENSES, "channels7": 2, "warranty-year": 1})
    device = world.device()
    world.assign(device, {"pbx7-100": 1, "port8": 2, "channels7": 2, "warranty-year": 1})
    for line in lines_of(world, device).values():
        assert line["detail"] == (WHY_NOT_RETURNED[line["reason"]] if line["reason"] else None)
    found = {name: (line["returnable"], line["reason"]) for name, line in lines_of(world, device).items()}
    assert found == {
        "pbx7-100": (False, "not_returnable_version"),
        "port8": (True, None),
        "channels7": (False, "gateway"),
        "warranty-year": (False, "warranty"),
    }
    thing = Thing(world, device)
    world.ask("take_back", world.admin(), device_id=device, line_id=lines_of(world, device)["pbx7-100"]["id"])
    thing.file(encrypted=False)
    thing.file()
    assert lines_of(world, device)["port8"]["reason"] == "downloaded_unencrypted"


def test_the_balance_counts_own_projects_only_with_their_shares(world: World) -> None:
    other = world.project("Annex")
    world.stock({"port8": 5})
    world.stock({"port8": 7}, other)
    (item,) = world.ask("get_balance", world.admin())["items"]
    assert item["quantity"] == 12
    assert item["name"] == "PORT8"
    assert item["projects"] == [
        {"id": other, "name": "Annex", "quantity": 7},
        {"id": world.home, "name": "Home", "quantity": 5},
    ]
    stranger = World(world.database)
    refused("projects.not_found", stranger.ask, "get_balance", stranger.admin(), project=world.home)
    assert stranger.balance() == {}
    assert world.balance(call=world.staff(), project=world.home) == {"port8": 5}


def test_staff_corrects_by_postings_with_a_reason(world: World) -> None:
    def correct(quantity: int, call: Any = None, **changes: Any) -> dict[str, Any]:
        body = {"project_id": world.home, "license_type": "port8", "quantity": quantity, "reason": "paper was wrong"}
        return world.ask("correct_balance", call or world.staff(), **{**body, **changes})

    assert correct(5)["balance"] == 5
    assert correct(-2)["balance"] == 3
    refusal = refused("licensing.insufficient_balance", correct, -4)
    assert refusal.extra["shortages"][0]["missing"] == 1
    refused("accounts.staff_needed", correct, 1, world.admin())
    refused("licensing.license_type_unknown", correct, 1, license_type="port9")
    refused("projects.not_found", correct, 1, project_id=new_id())
    assert world.balance() == {"port8": 3}
    assert world.events() == [("balance_corrected", world.company)] * 2
    world.check()


def test_a_read_only_token_changes_nothing(world: World) -> None:
    world.stock(LICENSES)
    device = world.device()
    refused("accounts.scope_needed", world.assign, device, {"port8": 1}, world.admin(scopes=("read",)))


def test_a_transfer_that_does_not_sum_to_zero_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        world.database.write(
            lambda unit: ledger.post(unit, "x", "assign", [ledger.Entry("void", "port8", 1)], company_id=None)
        )


@pytest.mark.parametrize("statement", ["UPDATE transfer_entries SET quantity = 1", "DELETE FROM transfers"])
def test_entries_are_immutable(world: World, statement: str) -> None:
    world.stock({"port8": 1})
    with pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"):
        world.database.write(lambda unit: unit.connection.exec_driver_sql(statement))


def test_the_auditor_sees_a_changed_balance(world: World) -> None:
    world.stock({"port8": 1})
    changed = sa.update(Balance).where(Balance.pool_id == ledger.project_pool(world.home)).values(n=2)
    world.database.write(lambda unit: unit.execute(changed))
    with pytest.raises(AssertionError, match="caches 2 port8"):
        world.check()
