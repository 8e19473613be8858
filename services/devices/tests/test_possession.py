"""A hardware id proves nothing: what makes a record proven, what keeps it so, and what never does (DEV-15)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.devices.audit import report
from services.devices.models import Device
from services.devices.tests.conftest import ORDER, SEED, Company, Room, staff
from services.devices.tests.test_merges import apply, merge_of

FIRST = next(iter(SEED))


def add(room: Room, company: Company, **given: Any) -> str:
    """Add the first device, by its id unless told otherwise; returns the record's id."""
    given = given or {"hardware_ids": [FIRST]}
    yes = [{"hardware_id": key, "code": "devices.in_other_company"} for key in SEED]
    answer = room.add_devices(company.call(), project_id=company.project, **given, accept_warnings=yes)
    return next(str(item["device_id"]) for item in answer["items"] if item["hardware_id"] == FIRST)


def possession(room: Room, company: Company, device_id: str) -> str:
    """Return what the page and licensing's facts say; both say the same."""
    shown = room.get_device(company.call(), device_id=device_id)["possession"]
    assert room.get_device_facts(company.call(), device_id=device_id)["possession"] == shown
    return str(shown)


def proofs(room: Room) -> list[tuple[str, str, str]]:
    return [
        (event["companyid"], event["deviceid"], event["data"]["by"])
        for event in room.events()
        if event["type"] == "device_possession_proven"
    ]


def refusal(room: Room, name: str, call: Any, **request: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        room.ask(name, call, **request)
    return caught.value.code


def test_an_id_claims_and_an_order_number_proves(room: Room, reseller: Company, customer: Company) -> None:
    claimed, proven = add(room, customer), add(room, reseller, order_number=ORDER)
    assert possession(room, customer, claimed) == "claimed"
    assert possession(room, reseller, proven) == "proven"
    told = [e["data"].get("possession") for e in room.events() if e["type"] == "device_added"]
    assert told == ["claimed"] + ["proven"] * len(SEED)


def test_the_order_number_proves_a_device_that_is_claimed_already(room: Room, customer: Company) -> None:
    device_id = add(room, customer)
    room.clear_events()
    answer = room.add_devices(customer.call(), project_id=customer.project, order_number=ORDER)
    assert answer["summary"] == {"refused": 1, "added": len(SEED) - 1}
    assert possession(room, customer, device_id) == "proven"
    assert proofs(room) == [(customer.id, device_id, "order_number")]
    assert room.get_device(customer.call(), device_id=device_id)["order_number"] == ORDER


def test_a_rehearsal_proves_nothing(room: Room, customer: Company) -> None:
    device_id = add(room, customer)
    room.add_devices(customer.call(), project_id=customer.project, order_number=ORDER, dry_run=True)
    assert possession(room, customer, device_id) == "claimed"


def test_possession_is_proven_by_the_number_of_the_devices_own_order(
    room: Room, customer: Company, reseller: Company
) -> None:
    device_id = add(room, customer)
    built = [{"hardware_id": "00-90-33-09-00-01", "type": "IP800", "shipped_on": None}]
    room.register_production(staff(), order_number="9999", devices=built)
    room.clear_events()
    ask = {"device_id": device_id}
    call = customer.call
    assert refusal(room, "prove_possession", call(), **ask, order_number="12345") == "devices.order_not_found"
    assert refusal(room, "prove_possession", call(), **ask, order_number="9999") == "devices.not_in_order"
    stranger = refusal(room, "prove_possession", reseller.call(), **ask, order_number=ORDER)
    assert stranger == "devices.device_not_found"
    read_only = refusal(room, "prove_possession", call(scopes=("read",)), **ask, order_number=ORDER)
    assert read_only == "accounts.scope_needed"
    assert room.events() == []
    answer = room.prove_possession(call(), **ask, order_number=ORDER)
    assert answer == {"device_id": device_id, "hardware_id": FIRST, "possession": "proven"}
    # Again, by another call: the same answer, and nothing is told twice.
    assert room.prove_possession(call(), **ask, order_number=ORDER) == answer
    assert proofs(room) == [(customer.id, device_id, "order_number")]


def test_guessing_the_number_by_proofs_is_counted(room: Room, customer: Company) -> None:
    """Issue 6.1: a number that opens more than a list must not be guessable at another door."""
    device_id = add(room, customer)
    codes = [
        refusal(room, "prove_possession", customer.call(), device_id=device_id, order_number=str(number))
        for number in range(5000, 5012)
    ]
    assert codes[:10] == ["devices.order_not_found"] * 10
    assert set(codes[10:]) == {"devices.throttled"}


def test_both_companies_that_know_the_number_are_proven(room: Room, reseller: Company, customer: Company) -> None:
    first, second = add(room, reseller, order_number=ORDER), add(room, customer, order_number=ORDER)
    assert (possession(room, reseller, first), possession(room, customer, second)) == ("proven", "proven")


def test_a_proof_ends_with_its_record(room: Room, customer: Company) -> None:
    """Issue 6.1: who sold a box deletes it and adds it again by its MAC; the old proof must not come back."""
    device_id = add(room, customer, order_number=ORDER)
    room.delete_device(customer.call(), device_id=device_id)
    again = add(room, customer)
    assert possession(room, customer, again) == "claimed"
    assert refusal(room, "confirm_possession", customer.call(), device_id=device_id) == "devices.device_not_found"


def test_a_move_to_another_project_takes_the_proof_along_and_forges_none(room: Room, customer: Company) -> None:
    proven = add(room, customer, order_number=ORDER)
    second = room.projects.add(customer.id, "Second")
    room.move_devices(customer.call(), device_ids=[proven], project_id=second)
    assert possession(room, customer, proven) == "proven"
    other = room.company()
    claimed, target = add(room, other), room.projects.add(other.id, "Second")
    room.move_devices(other.call(), device_ids=[claimed], project_id=target)
    assert possession(room, other, claimed) == "claimed"


@pytest.mark.parametrize("proven_one", ["absorbed", "absorbing", "stranger"])
def test_an_import_brings_the_proof_of_the_imported_company_and_of_nobody_else(
    room: Room, reseller: Company, customer: Company, proven_one: str
) -> None:
    stranger = room.company()
    number = {"order_number": ORDER}
    ours = add(room, reseller, **(number if proven_one == "absorbing" else {}))
    theirs = add(room, customer, **(number if proven_one == "absorbed" else {}))
    add(room, stranger, **(number if proven_one == "stranger" else {}))
    room.clear_events()
    apply(room, merge_of(reseller, customer))
    expected = "claimed" if proven_one == "stranger" else "proven"
    for device_id in (ours, theirs):
        assert possession(room, reseller, device_id) == expected
    told = [(reseller.id, ours, "order_number")] if proven_one == "absorbed" else []
    assert proofs(room) == told


def test_staff_vouch_for_one_company_only(room: Room, reseller: Company, customer: Company) -> None:
    ours, theirs = add(room, reseller), add(room, customer)
    room.clear_events()
    ask = {"hardware_id": FIRST, "proven_company_id": customer.id}
    assert refusal(room, "update_production_staff", customer.call(), **ask) == "accounts.staff_needed"
    unknown = refusal(room, "update_production_staff", staff(), hardware_id=FIRST, proven_company_id=new_id())
    assert unknown == "devices.device_not_found"
    room.update_production_staff(staff(), **ask)
    assert room.update_production_staff(staff(), **ask)["rma"] is False
    assert proofs(room) == [(customer.id, theirs, "staff")]
    assert (possession(room, customer, theirs), possession(room, reseller, ours)) == ("proven", "claimed")


def test_a_guest_neither_reads_nor_finds_the_order_number(room: Room, reseller: Company, customer: Company) -> None:
    """Issue 6.1: the number proves, so neither the page nor a filter of the list may tell it digit by digit."""
    device_id = add(room, reseller, order_number=ORDER)
    room.projects.let(reseller.project, customer.id)
    shown = room.get_device(customer.call(), device_id=device_id)
    assert (shown["foreign"], shown["order_number"], shown["possession"]) == (True, None, "proven")
    listed = room.list_devices(customer.call(), project=reseller.project, filter=ORDER[:2])["items"]
    assert listed == []
    assert len(room.list_devices(reseller.call(), filter=ORDER)["items"]) == len(SEED)
    changed = room.update_device(customer.call(), device_id=device_id, comment="seen")
    assert changed["order_number"] is None


def test_a_guests_number_proves_what_is_in_that_project_only(room: Room, reseller: Company, customer: Company) -> None:
    second = room.projects.add(reseller.id, "Second")
    device_id = add(room, reseller)
    room.projects.let(second, customer.id)
    room.add_devices(customer.call(), project_id=second, order_number=ORDER)
    assert possession(room, reseller, device_id) == "claimed"


def test_the_audit_tells_a_proof_that_nobody_gave(room: Room, reseller: Company, customer: Company) -> None:
    def flaws() -> list[str]:
        checks = {check.name: check.flaws for check in room.database.read(report, snapshot=True).checks}
        return [*checks["every record told once"], *checks["records belong to their projects"]]

    def tamper(**values: Any) -> list[str]:
        room.database.write(
            lambda unit: unit.execute(sa.update(Device).where(Device.id == device_id).values(**values)) and None
        )
        return flaws()

    device_id = add(room, customer)
    add(room, reseller, order_number=ORDER)
    room.add_devices(customer.call(), project_id=customer.project, order_number=ORDER)
    apply(room, merge_of(reseller, customer))
    assert flaws() == []
    device_id = add(room, customer := room.company())
    assert flaws() == []
    assert f"device {device_id} is proven, and was told otherwise" in tamper(proven_by="staff")
    assert f"device {device_id} was proven by 'magic'" in tamper(proven_by="magic")
    assert any("another order" in flaw for flaw in tamper(proven_by=None, order_number="9999"))
