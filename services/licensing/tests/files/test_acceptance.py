"""Files are encrypted only to keys that the company had certified, that renewed one of those, or that it accepted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.device import Device, DeviceError
from services.accounts.api import CompanyMerge
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.licensing.api import files as api
from services.licensing.commands.merges import apply_accounts_events
from services.licensing.tests.files.conftest import IP800, Company, Door, Room
from services.licensing.tests.files.test_bound_returns import renewed
from services.licensing.tests.files.test_journey import refused


@pytest.fixture
def buyer(room: Room, certified: Device) -> Company:
    """Give a second company that has the device, with licenses on it that it paid."""
    buyer = room.company()
    room.hold(IP800, buyer)
    room.put(IP800, buyer, "port8", 20, paid=True)
    return buyer


def record_of(room: Room, company: Company) -> str:
    """Return the company's record of the device."""
    return str(room.devices.find_device(company.call(), hardware_id=IP800)["device_id"])


def ask_file(room: Room, company: Company, **more: Any) -> dict[str, Any]:
    """Ask for the encrypted file of the device."""
    return room.ask("issue_license_file", company.call(), device_id=record_of(room, company), encrypted=True, **more)


def listed(room: Room, company: Company) -> list[str]:
    """Return how the device's keys stand with a company, newest first."""
    answer = room.ask("list_certificates", company.call(), device_id=record_of(room, company))
    return [item["acceptance"] for item in answer["items"]]


def test_a_stranger_s_key_gets_no_file_before_it_is_accepted(room: Room, buyer: Company, certified: Device) -> None:
    """Issue 6.1: the buyer's files went to the key of whoever had certified the box before."""
    error = refused("licensing.certificate_not_accepted", lambda: ask_file(room, buyer))
    fingerprint = certified.fingerprint()
    assert (error.status, error.extra["fingerprint"]) == (409, fingerprint)
    assert error.extra["requested_on"] == datetime.now(UTC).date().isoformat()
    assert fingerprint in error.detail
    assert not room.events("license_file_issued")
    assert listed(room, buyer) == ["needed"]
    file = ask_file(room, buyer, accept_certificate=":".join(f"{b:02X}" for b in bytes.fromhex(fingerprint)))
    assert file["created"]
    assert certified.install(file["content"].encode()).state == "installed"
    assert listed(room, buyer) == ["accepted"]
    # Once is enough, and the door gets it too.
    assert not ask_file(room, buyer)["created"]
    (event,) = room.events("certificate_accepted")
    assert event["companyid"] == buyer.id
    assert event["data"]["fingerprint"] == fingerprint
    assert api.EVENTS["certificate_accepted"]().validate(event["data"]) == {}


def test_the_device_door_refuses_too(room: Room, buyer: Company, certified: Device) -> None:
    """Issue 6.1: a device fetches with anybody's login; its key is not better for that."""
    with pytest.raises(DeviceError) as caught:
        certified.fetch(Door(room, buyer))
    assert caught.value.portal_code == "licensing.certificate_not_accepted"
    assert certified.fingerprint() in str(caught.value.detail)
    ask_file(room, buyer, accept_certificate=certified.fingerprint())
    assert certified.fetch(Door(room, buyer)).state == "installed"


def test_another_fingerprint_is_refused(room: Room, buyer: Company, certified: Device) -> None:
    for wrong in ("0" * 64, certified.fingerprint()[::-1]):
        error = refused(
            "licensing.certificate_not_accepted", lambda w=wrong: ask_file(room, buyer, accept_certificate=w)
        )
        assert wrong in error.detail
        assert certified.fingerprint() in error.detail
    assert listed(room, buyer) == ["needed"]


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "00" * 33, " " + "00" * 32, "00" * 32 + "\n"])
def test_what_is_no_fingerprint_is_named(room: Room, buyer: Company, text: str) -> None:
    error = refused("request.invalid", lambda: ask_file(room, buyer, accept_certificate=text))
    assert error.status == 422


def test_own_keys_and_what_renewed_them_need_no_word(
    room: Room, company: Company, buyer: Company, certified: Device
) -> None:
    ask_file(room, company)
    renewed(certified, Door(room, company))
    renewed(certified, Door(room, buyer))
    assert listed(room, company) == ["own", "own", "own"]
    assert ask_file(room, company)["created"]
    # The buyer's login asked for the last one.
    assert listed(room, buyer) == ["own", "needed", "needed"]


def test_an_accepted_key_s_successor_is_asked_for_again(
    room: Room, company: Company, buyer: Company, certified: Device
) -> None:
    ask_file(room, buyer, accept_certificate=certified.fingerprint())
    renewed(certified, Door(room, company))
    error = refused("licensing.certificate_not_accepted", lambda: ask_file(room, buyer))
    assert error.extra["fingerprint"] == certified.fingerprint()
    assert listed(room, buyer) == ["needed", "accepted"]


def test_the_chain_ends_where_staff_spoke(room: Room, company: Company, buyer: Company, certified: Device) -> None:
    """Issue 6.1: staff's word for another company's key is no renewal of mine."""
    other = Device(certified.state.folder.parent / "other")
    other.keygen(IP800)
    pem = other.certificate_request()
    room.ask("request_certificate", make_call(staff=True), device_id=record_of(room, buyer), pem=pem)
    assert listed(room, company)[0] == "needed"
    assert listed(room, buyer)[0] == "own"
    refused("licensing.certificate_not_accepted", lambda: ask_file(room, company))


def test_a_guest_accepts_only_with_the_right_to_certificates(room: Room, buyer: Company, certified: Device) -> None:
    guest = room.company()
    room.devices.share(buyer.project_id, guest.id)
    record = record_of(room, buyer)
    ask = {"device_id": record, "encrypted": True, "accept_certificate": certified.fingerprint()}
    error = refused("access.power_needed", lambda: room.ask("issue_license_file", guest.call(rights=()), **ask))
    assert error.status == 403
    assert room.ask("issue_license_file", guest.call(), **ask)["created"]
    assert {event["companyid"] for event in room.events("certificate_accepted")} == {buyer.id, guest.id}
    assert listed(room, buyer) == ["accepted"]


def test_a_device_taken_out_and_added_again_keeps_what_was_accepted(
    room: Room, buyer: Company, certified: Device
) -> None:
    ask_file(room, buyer, accept_certificate=certified.fingerprint())
    del room.devices.records[record_of(room, buyer)]
    room.hold(IP800, buyer)
    assert ask_file(room, buyer)["created"]


def test_an_import_of_the_company_keeps_what_it_accepted(room: Room, buyer: Company, certified: Device) -> None:
    ask_file(room, buyer, accept_certificate=certified.fingerprint())
    absorber = room.company()
    merge = CompanyMerge(new_id(), absorber.id, buyer.id, (buyer.id,), "Other")
    told = Event(new_id(), "accounts", "company_merged", datetime.now(UTC), buyer.id, 1, merge.data())
    room.database.write(lambda unit: apply_accounts_events(unit, [told]))
    room.hold(IP800, absorber)
    assert listed(room, absorber) == ["accepted"]
    assert ask_file(room, absorber)["created"]


def test_the_fingerprint_is_the_device_s_before_it_has_a_certificate(tmp_path: Path) -> None:
    device = Device(tmp_path / "new")
    device.keygen(IP800)
    assert len(bytes.fromhex(device.fingerprint())) == 32
