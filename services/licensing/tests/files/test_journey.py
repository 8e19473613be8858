"""Files, returns and certificates as a device and its owner live them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from clients.device import Device, DeviceError
from services.accounts.api import CompanyMerge
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.licensing.api import files as api
from services.licensing.commands.merges import apply_accounts_events
from services.licensing.tests.files.conftest import IP800, IP6000, Company, Door, Room


def refused(code: str, action: Any) -> ServiceError:
    """Expect a refusal by its code."""
    with pytest.raises(ServiceError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


class _Busy(Exception):
    """The database gave up waiting for a lock: nothing happened, the same may be sent again."""


def _unless_busy(action: Any) -> Any:
    try:
        return action()
    except ServiceError as error:
        if error.kind == "unavailable":
            raise _Busy from error
        raise


def test_a_device_gets_its_file_and_gives_it_back(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    outcome = certified.fetch(door)
    assert outcome.state == "installed"
    assert outcome.file is not None
    assert [(one.name, one.quantity) for one in outcome.file.licenses] == [("PORT8", 20)]
    assert certified.fetch(door).state == "current"
    receipt = certified.deliver_return(door)
    assert receipt["returned"] == [
        {"license_type": "port8", "name": "PORT8", "quantity": 20, "project_id": company.project_id}
    ]
    assert room.balance(company, "port8") == 20
    assert certified.fetch(door).state == "nothing"
    assert certified.installed() is None
    types = [event["type"] for event in room.events()]
    assert types == ["certificate_issued", "license_file_issued", "license_file_fetched", "licenses_returned"]
    for event in room.events():
        assert api.EVENTS[event["type"]]().validate(event["data"]) == {}
    assert all(event["hardwareid"] == IP800 and event["companyid"] == company.id for event in room.events())


def test_the_same_return_again_answers_the_same(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = certified.make_return().decode()
    rehearsed = room.ask("return_licenses", company.call(), xml=xml, dry_run=True)
    assert (rehearsed["receipt"], room.balance(company, "port8")) == (None, 0)
    first = room.ask("return_licenses", company.call(), xml=xml)
    assert first["returned"] == rehearsed["returned"]
    count = len(room.events())
    assert room.ask("return_licenses", company.call(), xml=xml) == first
    assert room.balance(company, "port8") == 20
    assert len(room.events()) == count


def test_a_hundred_parallel_returns_credit_once(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = certified.make_return().decode()

    def upload(_number: int) -> str:
        for _ in range(20):
            with suppress(_Busy):
                return str(_unless_busy(lambda: room.ask("return_licenses", company.call(), xml=xml))["receipt"])
        raise AssertionError("no answer after 20 attempts")

    with ThreadPoolExecutor(10) as pool:
        receipts = set(pool.map(upload, range(100)))
    assert len(receipts) == 1
    assert room.balance(company, "port8") == 20
    assert len(room.events("licenses_returned")) == 1


def test_another_return_of_the_same_file_is_refused(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    signed = certified.state.read("installed.signed")
    assert signed is not None
    certified.deliver_return(door)
    certified.state.write("installed.signed", signed)
    error = refused(
        "licensing.already_returned",
        lambda: room.ask("return_licenses", company.call(), xml=certified.make_return().decode()),
    )
    assert error.status == 409
    assert room.balance(company, "port8") == 20


def test_a_refused_return_is_in_the_history_once_whatever_is_killed(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    signed = certified.state.read("installed.signed")
    assert signed is not None
    certified.deliver_return(door)
    certified.state.write("installed.signed", signed)
    xml, call = certified.make_return().decode(), company.call()
    set_fail_points("db.after_commit=raise")
    try:
        with pytest.raises(InjectedFault):
            room.ask("return_licenses", call, xml=xml)
    finally:
        set_fail_points("")
    for _ in range(2):
        refused("licensing.already_returned", lambda: room.ask("return_licenses", call, xml=xml))
    assert [event["data"]["code"] for event in room.events("return_refused")] == ["licensing.already_returned"]


@pytest.mark.parametrize("change", ["device deleted", "certificate revoked"])
def test_a_return_whose_answer_got_lost_gets_it_whatever_has_changed_since(
    room: Room, company: Company, certified: Device, door: Door, change: str
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml, certificate = certified.make_return().decode(), certified.state.certificate()
    call, ask = company.door(), {"hardware_id": IP800, "xml": xml}
    receipt = room.ask("return_device_licenses", call, **ask)
    if change == "device deleted":
        room.devices.records.clear()
    else:
        assert certificate is not None
        serial = f"{certificate.serial_number:x}"
        room.ask("revoke_certificate", make_call(staff=True), serial=serial, reason="stolen")
    assert room.ask("return_device_licenses", call, **ask) == receipt
    assert len(room.events("licenses_returned")) == 1
    code = "devices.device_not_found" if change == "device deleted" else "licensing.return_certificate_revoked"
    refused(code, lambda: room.ask("return_device_licenses", company.door(), **ask))
    refused("devices.device_not_found", lambda: room.ask("return_device_licenses", room.company().door(), **ask))


def test_a_return_that_does_not_give_up_its_own_file_is_refused(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    for _ in range(2):
        room.put(IP800, company, "port8", 10)
        certified.fetch(door)
    record, signed = certified.state.record(), certified.state.read("installed.signed")
    assert record["last_counter"] == 2
    assert signed is not None
    certified.state.save_record({**record, "last_counter": 1})
    xml = certified.make_return().decode()
    error = refused("licensing.return_malformed", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert "counter 1" in error.detail
    assert room.balance(company, "port8") == 0
    for name in ("return.xml", "returned.signed"):
        certified.state.remove(name)
    certified.state.save_record(record)
    certified.state.write("installed.signed", signed)
    room.ask("return_licenses", company.call(), xml=certified.make_return().decode())
    assert room.balance(company, "port8") == 20


def test_a_plain_download_ends_the_right_to_return(room: Room, company: Company, certified: Device, door: Door) -> None:
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    ask = {"device_id": record, "encrypted": False}
    refused("licensing.confirmation_needed", lambda: room.ask("issue_license_file", company.call(), **ask))
    plain = room.ask("issue_license_file", company.call(), **ask, confirm_no_return=True)
    assert plain["form"] == "plain"
    assert plain["counter"] == 2
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.portal_code == "licensing.not_returnable"
    assert certified.installed() is not None
    assert room.balance(company, "port8") == 0
    # Later lines keep the right.
    room.put(IP800, company, "voicemail8", 5)
    certified.fetch(door)
    receipt = certified.deliver_return(door)
    assert receipt["returned"][0]["license_type"] == "voicemail8"  # type: ignore[index]
    kept = receipt["kept"][0]  # type: ignore[index]
    assert kept["reason"] == "downloaded_unencrypted"
    assert kept["detail"] == "An unencrypted file was downloaded, which ended the right to return it."


def test_a_return_of_an_outdated_file_is_refused(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    room.put(IP800, company, "port8", 5)
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.portal_code == "licensing.return_newer_file"
    assert certified.fetch(door).state == "installed"
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 25


def test_a_lost_answer_to_a_return_is_made_good(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    door.down = True
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.word == "unreachable"
    assert certified.installed() is None
    door.down = False
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


def test_repeated_downloads_give_the_same_bytes(room: Room, company: Company, certified: Device) -> None:
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    first = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    again = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    by_serial = room.ask("get_license_file", company.call(), serial=first["serial"])
    assert (first["created"], again["created"]) == (True, False)
    assert first["content"] == again["content"] == by_serial["content"]
    room.put(IP800, company, "port8", 1)
    more = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    assert more["created"]
    assert more["counter"] == first["counter"] + 1


def test_text_files_and_the_choice_of_family(room: Room, company: Company, certified: Device) -> None:
    record = room.hold(IP6000, company, "IP6000")
    ask = {"device_id": record, "encrypted": False}
    refused("licensing.nothing_to_issue", lambda: room.ask("issue_license_file", company.call(), **ask))
    room.put(IP6000, company, "pbx7-100", 1)
    room.put(IP6000, company, "registrations7", 40)
    file = room.ask("issue_license_file", company.call(), **ask)
    assert file["content_type"].startswith("text/plain")
    rows = file["content"].splitlines()
    assert [row.split(" ")[:3] for row in rows] == [["PBX7#100", "1", IP6000], ["Registrations7", "40", IP6000]]
    refused(
        "licensing.never_encrypted",
        lambda: room.ask("issue_license_file", company.call(), device_id=record, encrypted=True),
    )
    room.put(IP6000, company, "port8", 3)
    error = refused("licensing.version_needed", lambda: room.ask("issue_license_file", company.call(), **ask))
    assert error.extra["versions"] == [7, 8]
    same = room.ask("issue_license_file", company.call(), **ask, version=7)
    assert same["content"] == file["content"]
    refused(
        "licensing.no_certificate",
        lambda: room.ask("issue_license_file", company.call(), device_id=record, encrypted=True, version=8),
    )


def test_licenses_that_no_longer_go_together_get_no_file(room: Room, company: Company) -> None:
    record = room.hold(IP6000, company, "IP6000")
    ask = {"device_id": record, "encrypted": False}
    room.put(IP6000, company, "registrations7", 40)
    error = refused("licensing.rule_violated", lambda: room.ask("issue_license_file", company.call(), **ask))
    assert error.extra["rule"] == "registrations_within_pbx"
    assert not room.events("license_file_issued")
    room.put(IP6000, company, "pbx7-100", 1)
    assert room.ask("issue_license_file", company.call(), **ask)["created"]


def test_a_crash_between_record_and_signature_is_made_good(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    for place in ("before_signing", "after_signing"):
        call = company.call()
        set_fail_points(f"licensing.file.{place}=raise")
        try:
            with pytest.raises(InjectedFault):
                room.ask("issue_license_file", call, device_id=record, encrypted=True)
        finally:
            set_fail_points("")
        room.keystore.rotate("license-files", "ES256")
        file = room.ask("issue_license_file", call, device_id=record, encrypted=True)
        assert file["created"]
        outcome = certified.fetch(door)
        assert (outcome.state, outcome.file and outcome.file.serial) == ("installed", file["serial"])
        room.put(IP800, company, "port8", 1)
    assert len(room.events("license_file_issued")) == 2


def test_foreign_files_answer_like_unknown_ones(room: Room, company: Company, certified: Device) -> None:
    stranger = room.company()
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    file = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    foreign = refused(
        "licensing.file_not_found", lambda: room.ask("get_license_file", stranger.call(), serial=file["serial"])
    )
    unknown = refused("licensing.file_not_found", lambda: room.ask("get_license_file", stranger.call(), serial=record))
    assert foreign.args == unknown.args
    refused(
        "devices.device_not_found",
        lambda: room.ask("issue_license_file", stranger.call(), device_id=record, encrypted=True),
    )


def test_a_device_marked_rma_gets_no_files(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    room.devices.mark_rma(IP800)
    with pytest.raises(DeviceError) as caught:
        certified.fetch(door)
    assert caught.value.portal_code == "licensing.device_rma"
    assert not room.events("license_file_issued")


def test_a_new_key_makes_a_new_file(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    first = certified.fetch(door).file
    certified.keygen(IP800, renew=True)
    certified.request_certificate(door)
    second = certified.fetch(door)
    assert first is not None
    assert second.file is not None
    assert second.state == "installed"
    assert second.file.counter == first.counter + 1
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


def test_an_import_of_the_company_leaves_files_and_returns_good(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    serial = room.events("license_file_issued")[0]["data"]["serial"]
    absorber = room.company()
    merge = CompanyMerge(new_id(), absorber.id, company.id, (company.id,), "Other")
    told = Event(new_id(), "accounts", "company_merged", datetime.now(UTC), company.id, 1, merge.data())
    room.database.write(lambda unit: apply_accounts_events(unit, [told]))
    for key, record in list(room.devices.records.items()):
        room.devices.records[key] = replace(record, company_id=absorber.id)
    room.devices.projects[company.project_id] = absorber.id
    ask = {"device_id": next(iter(room.devices.records)), "encrypted": True}
    again = room.ask("issue_license_file", absorber.call(absorbed=(company.id,)), **ask)
    assert (again["serial"], again["created"]) == (serial, False)
    xml = certified.make_return().decode()
    first = room.ask("return_licenses", absorber.call(absorbed=(company.id,)), xml=xml)
    assert room.ask("return_licenses", absorber.call(absorbed=(company.id,)), xml=xml) == first
    assert room.balance(company, "port8") == 20
    assert {event["companyid"] for event in room.events("licenses_returned")} == {absorber.id}
