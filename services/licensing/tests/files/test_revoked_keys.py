"""A signing key that was stolen and revoked leaves a way on (rule S28): files anew, old ones auditable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clients.device import Device
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.wrong_fields import load_request
from services.licensing.api import REQUESTS
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY
from services.licensing.queries.licenses import list_device_licenses
from services.licensing.tests.files.conftest import IP800, IP6000, Company, Door, Room
from services.licensing.tests.files.test_audit import flaws
from services.licensing.tests.files.test_journey import refused


def revoke(room: Room, purpose: str = FILE_KEY) -> str:
    """Do what the how-to says after a theft; returns the id of the stolen key."""
    old = room.keystore.active(purpose, "ES256").kid
    room.keystore.rotate(purpose, "ES256")
    room.keystore.revoke(purpose, old)
    return old


def state(room: Room, company: Company, record: str) -> str:
    """Return how the portal says that the device's file stands."""
    request = load_request(REQUESTS["list_device_licenses"](), {"device_id": record})
    devices: Any = room.devices
    answer = list_device_licenses(room.database, company.call(), request, devices=devices)
    return str(answer["file"]["state"])


@pytest.mark.parametrize("trusts_first", [True, False])
def test_files_of_a_revoked_key_are_made_anew(
    room: Room, company: Company, certified: Device, door: Door, trusts_first: bool
) -> None:
    """Issue 6.4: after `revoke-key` no device got a file that it could verify any more."""
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    first = certified.fetch(door).file
    assert first is not None
    assert state(room, company, record) == "current"
    old = revoke(room)
    assert state(room, company, record) == "outdated"
    assert old not in {key["kid"] for key in room.ask("signing_keys", company.call())["keys"]}
    error = refused("licensing.file_void", lambda: room.ask("get_license_file", company.call(), serial=first.serial))
    assert error.status == 409
    file = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    assert (file["created"], file["counter"]) == (True, 2)
    if trusts_first:
        # What is installed no longer verifies then, which must not keep the device from asking.
        certified.trust(json.dumps(room.ask("signing_keys", company.call())).encode())
    again = certified.fetch(door)
    assert again.file is not None
    assert (again.state, again.file.serial, again.file.key) == (
        "installed",
        file["serial"],
        room.keystore.active(FILE_KEY, "ES256").kid,
    )
    assert state(room, company, record) == "current"
    assert not room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)["created"]
    assert flaws(room) == []
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20
    assert flaws(room) == []


@pytest.mark.parametrize("place", ["before_signing", "after_signing"])
def test_what_was_recorded_for_a_revoked_key_goes_on_with_the_good_one(
    room: Room, company: Company, certified: Device, door: Door, place: str
) -> None:
    """Issue 6.4: the repeated request failed for ever, since its answer named a file that nobody could sign."""
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    call = company.call()
    set_fail_points(f"licensing.file.{place}=raise")
    try:
        with pytest.raises(InjectedFault):
            room.ask("issue_license_file", call, device_id=record, encrypted=True)
    finally:
        set_fail_points("")
    revoke(room)
    file = room.ask("issue_license_file", call, device_id=record, encrypted=True)
    assert file["counter"] == 2
    assert room.ask("issue_license_file", call, device_id=record, encrypted=True)["serial"] == file["serial"]
    certified.trust(json.dumps(room.ask("signing_keys", company.call())).encode())
    assert certified.install(file["content"].encode()).state == "installed"
    assert certified.fetch(door).state == "current"
    assert flaws(room) == []


def test_a_key_that_is_revoked_between_record_and_signature_is_asked_again(
    room: Room, company: Company, certified: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    call, command = company.call(), room.database.command

    def and_then_stolen(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        answer = command(*arguments, **options)  # type: ignore[arg-type]
        revoke(room)
        return answer

    monkeypatch.setattr(room.database, "command", and_then_stolen)
    with pytest.raises(ServiceError) as caught:
        room.ask("issue_license_file", call, device_id=record, encrypted=True)
    assert caught.value.kind == "unavailable"
    assert room.ask("issue_license_file", call, device_id=record, encrypted=True)["counter"] == 2
    assert flaws(room) == []


def test_text_files_of_a_revoked_secret_are_made_anew(room: Room, company: Company) -> None:
    record = room.hold(IP6000, company, "IP6000")
    room.put(IP6000, company, "pbx7-100", 1)
    ask = {"device_id": record, "encrypted": False}
    first = room.ask("issue_license_file", company.call(), **ask)
    revoke(room, TEXT_KEY)
    assert state(room, company, record) == "outdated"
    second = room.ask("issue_license_file", company.call(), **ask)
    assert second["created"]
    assert second["content"] != first["content"]
    assert flaws(room) == []


def test_a_plain_file_of_a_revoked_key_is_made_anew_with_the_same_confirmation(room: Room, company: Company) -> None:
    record = room.hold(IP800, company)
    room.put(IP800, company, "port8", 20)
    ask = {"device_id": record, "encrypted": False, "confirm_no_return": True}
    first = room.ask("issue_license_file", company.call(), **ask)
    revoke(room)
    second = room.ask("issue_license_file", company.call(), **ask)
    assert (second["created"], second["counter"]) == (True, first["counter"] + 1)


@pytest.mark.parametrize("place", ["before_signing", "after_signing", None])
def test_nothing_is_given_out_that_is_encrypted_to_a_revoked_certificate(
    room: Room, company: Company, certified: Device, place: str | None
) -> None:
    """Issue 6.1: who stole a device's key repeats a request of before its revocation."""
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    room.put(IP800, company, "port8", 20)
    call, ask = company.call(), {"device_id": record, "encrypted": True}
    if place is None:
        serial = room.ask("issue_license_file", call, **ask)["serial"]
    else:
        set_fail_points(f"licensing.file.{place}=raise")
        try:
            with pytest.raises(InjectedFault):
                room.ask("issue_license_file", call, **ask)
        finally:
            set_fail_points("")
        serial = room.events("license_file_issued")[0]["data"]["serial"]
    certificate = certified.state.certificate()
    assert certificate is not None
    room.ask("revoke_certificate", make_call(staff=True), serial=f"{certificate.serial_number:x}", reason="stolen")
    refused("licensing.file_void", lambda: room.ask("get_license_file", company.call(), serial=serial))
    if place is not None:
        refused("licensing.no_certificate", lambda: room.ask("issue_license_file", call, **ask))
