"""Hostile returns: keys that were kept, returns that were caught, counters that no file has (LIC-8)."""

from __future__ import annotations

import shutil
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from clients.device import Device, DeviceError
from services.chassis.data import aliases
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.licensing.commands.events import apply_devices_events
from services.licensing.commands.returns.checks import COUNTER_LEAP
from services.licensing.models import DeviceCertificate, DeviceLine, FileCounter, LicenseFileLine, LicenseFileRow
from services.licensing.store import certificates
from services.licensing.tests.files.conftest import IP800, Company, Door, Room
from services.licensing.tests.files.test_journey import refused


def kept(device: Device, folder: Path) -> Device:
    """Copy a device with its key, as its owner can before he sells it."""
    shutil.copytree(device.state.folder, folder)
    return Device(folder)


def renewed(device: Device, door: Door) -> None:
    """Let a device have a new key, by the word of the old one."""
    device.keygen(IP800, renew=True)
    device.request_certificate(door)


def devices_tell(room: Room, type: str, company_id: str, device_id: str) -> None:
    """Let an event of devices arrive."""
    event = Event(
        new_id(), "devices", type, datetime.now(UTC), device_id, 1, {}, company_id,
        deviceid=device_id, hardwareid=IP800,
    )  # fmt: skip
    room.database.write(lambda unit: apply_devices_events(unit, [event]))


def floor_of(room: Room) -> int:
    """Return the counter that the device named above all that was issued."""
    return room.database.read(lambda connection: certificates.floor(connection, IP800))


def as_if_installed(thief: Device, device: Device, counter: int | None = None) -> None:
    """Let a copy say that it has the file which the device has installed."""
    signed = device.state.read("installed.signed")
    assert signed is not None
    thief.state.write("installed.signed", signed)
    record = device.state.record()
    thief.state.save_record({**record, "last_counter": counter or record["last_counter"]})


def test_a_kept_key_of_before_returns_nothing(
    room: Room, company: Company, certified: Device, door: Door, tmp_path: Path
) -> None:
    """Issue 6.1: a former owner kept a superseded key and returned the buyer's licenses to himself."""
    thief = kept(certified, tmp_path / "thief")
    renewed(certified, door)
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    as_if_installed(thief, certified)
    seller = room.company()
    room.hold(IP800, seller)
    xml = thief.make_return().decode()
    for who in (seller, company):
        error = refused(
            "licensing.return_certificate_superseded", lambda w=who: room.ask("return_licenses", w.call(), xml=xml)
        )
        assert error.status == 409
        assert error.extra["fingerprint"] in error.detail
        assert error.extra["current_fingerprint"] in error.detail
    assert room.balance(seller, "port8") == room.balance(company, "port8") == 0
    codes = [event["data"]["code"] for event in room.events("return_refused")]
    assert codes == ["licensing.return_certificate_superseded"] * 2
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


def test_a_key_that_is_superseded_while_its_return_is_on_the_way_returns_nothing(
    room: Room, company: Company, certified: Device, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.4 (L20): what the signature was checked against is looked at again under the lock."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = kept(certified, tmp_path / "thief").make_return().decode()
    command = room.database.command

    def late(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        Context().run(renewed, certified, door)
        return command(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room.database, "command", late)
    refused("licensing.return_certificate_superseded", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert room.balance(company, "port8") == 0


def test_a_key_that_is_revoked_while_its_return_is_on_the_way_returns_nothing(
    room: Room, company: Company, certified: Device, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.1: staff's word counts at once, and is told as what it is."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = certified.make_return().decode()
    certificate = certified.state.certificate()
    assert certificate is not None
    serial, command = f"{certificate.serial_number:x}", room.database.command

    def late(*arguments: object, **options: object) -> object:
        monkeypatch.undo()
        # As another process does it, with a declaration of its own.
        Context().run(room.ask, "revoke_certificate", make_call(staff=True), serial=serial, reason="stolen")
        return command(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room.database, "command", late)
    refused("licensing.return_certificate_revoked", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert room.balance(company, "port8") == 0


def test_a_payer_who_comes_back_while_a_return_is_on_the_way_keeps_what_he_paid(
    room: Room, company: Company, certified: Device, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.4 (L20): who has the device too was asked before, and is looked at again under the lock."""
    buyer = room.company()
    room.put(IP800, buyer, "port8", 20, paid=True)
    certified.fetch(door)
    xml, ask = certified.make_return().decode(), room.devices.find_device

    def asked(call: Any, **request: Any) -> Any:
        facts = ask(call, **request)
        monkeypatch.undo()
        room.hold(IP800, buyer, proven=False)
        devices_tell(room, "device_added", buyer.id, new_id())
        return facts

    monkeypatch.setattr(type(room.devices), "find_device", lambda _, call, **request: asked(call, **request))
    refused("service.unavailable", lambda: room.ask("return_licenses", company.call(), xml=xml))
    error = refused("licensing.not_returnable", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert [(one["quantity"], one["reason"]) for one in error.extra["kept"]] == [(20, "other_company")]
    assert (room.balance(company, "port8"), room.balance(buyer, "port8")) == (0, 0)


def test_a_return_that_comes_before_it_is_heard_that_the_payer_has_left_is_not_refused_for_good(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    """Found by a journey on a crowded machine: a copy that was behind refused the return, and that was stored."""
    seller, record = room.company(), new_id()
    room.put(IP800, seller, "port8", 20, paid=True)
    devices_tell(room, "device_added", seller.id, record)
    certified.fetch(door)
    xml, call = certified.make_return().decode(), company.call()
    refused("service.unavailable", lambda: room.ask("return_licenses", call, xml=xml))
    devices_tell(room, "device_deleted", seller.id, record)
    assert room.ask("return_licenses", call, xml=xml)["returned"][0]["quantity"] == 20


def test_a_file_of_the_key_before_goes_back_by_the_key_that_renewed_it(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    renewed(certified, door)
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


def test_an_earlier_certificate_does_not_return_what_a_later_one_got(
    room: Room, company: Company, certified: Device, door: Door, tmp_path: Path
) -> None:
    """Issue 6.1: also where the books say that the earlier one is current again."""
    thief = kept(certified, tmp_path / "thief")
    renewed(certified, door)
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    as_if_installed(thief, certified)
    old, new = (device.state.certificate() for device in (thief, certified))
    assert old is not None
    assert new is not None

    def swap(unit: object) -> None:
        table = DeviceCertificate
        for serial, state in ((new.serial_number, "superseded"), (old.serial_number, "current")):
            unit.execute(sa.update(table).where(table.serial == f"{serial:x}").values(state=state))  # type: ignore[attr-defined]

    room.database.write(swap)
    xml = thief.make_return().decode()
    error = refused("licensing.return_other_certificate", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert error.extra["issued_to"] == f"{new.serial_number:x}"
    assert room.balance(company, "port8") == 0


def test_the_same_return_again_is_answered_though_the_key_was_renewed_since(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = certified.make_return().decode()
    receipt = room.ask("return_licenses", company.call(), xml=xml)
    renewed(certified, door)
    assert room.ask("return_licenses", company.call(), xml=xml) == receipt
    assert room.balance(company, "port8") == 20


def test_a_refused_return_again_gets_its_first_refusal_though_the_key_was_revoked_since(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    """Found by the ledger machine: the repetition of a request got another answer than the request (L5)."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml, call = certified.make_return().decode(), company.call()
    room.put(IP800, company, "port8", 5)
    room.ask("fetch_device_file", company.door(), hardware_id=IP800)
    refused("licensing.return_newer_file", lambda: room.ask("return_licenses", call, xml=xml))
    certificate = certified.state.certificate()
    assert certificate is not None
    serial = f"{certificate.serial_number:x}"
    room.ask("revoke_certificate", make_call(staff=True), serial=serial, reason="stolen")
    refused("licensing.return_newer_file", lambda: room.ask("return_licenses", call, xml=xml))
    refused("licensing.return_certificate_revoked", lambda: room.ask("return_licenses", company.call(), xml=xml))


@pytest.mark.parametrize("by_device", [True, False])
def test_a_return_that_was_caught_is_worth_nothing_to_a_stranger(
    room: Room, company: Company, certified: Device, door: Door, by_device: bool
) -> None:
    """Issue 6.1: whoever holds a claimed record and gets hold of the XML, or the device with his own login."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    xml = certified.make_return().decode()
    stranger = room.company()
    room.hold(IP800, stranger, proven=False)

    def deliver() -> object:
        if by_device:
            return room.ask("return_device_licenses", stranger.door(), hardware_id=IP800, xml=xml)
        return room.ask("return_licenses", stranger.call(), xml=xml)

    error = refused("licensing.return_other_company", deliver)
    assert "possession" in error.detail
    assert room.balance(stranger, "port8") == 0
    room.ask("return_licenses", company.call(), xml=xml)
    assert room.balance(company, "port8") == 20


def test_a_caught_return_is_worth_nothing_where_only_the_payer_is_left(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    """Issue 6.1: the payer took the device out of his list; what he paid is still on it."""
    room.put(IP800, company, "port8", 20, paid=True)
    certified.fetch(door)
    xml = certified.make_return().decode()
    stranger = room.company()
    room.devices.records.clear()
    room.hold(IP800, stranger, proven=False)
    refused("licensing.return_other_company", lambda: room.ask("return_licenses", stranger.call(), xml=xml))


def test_who_has_proven_possession_returns_a_file_of_the_company_before(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    room.put(IP800, company, "port8", 20, paid=True)
    certified.fetch(door)
    xml = certified.make_return().decode()
    owner = room.company()
    room.devices.records.clear()
    room.hold(IP800, owner, proven=True)
    room.ask("return_licenses", owner.call(), xml=xml)
    assert room.balance(owner, "port8") == 20
    (told,) = room.events("paid_device_used_elsewhere")[-1:]
    assert (told["companyid"], told["data"]["what"]) == (company.id, "returned")


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("proven", [True, False])
def test_a_former_owner_with_the_present_key_returns_nothing_of_the_buyer(
    room: Room, certified: Device, door: Door, company: Company, proven: bool, told: bool
) -> None:
    """Found by a thief: the box added again by its MAC or its order's number, with the key that it still had."""
    buyer = room.company()
    record = room.hold(IP800, buyer)
    if told:
        devices_tell(room, "device_added", buyer.id, record)
    (seller,) = [one for one in room.devices.records.values() if one.company_id == company.id]
    room.devices.records[seller.id] = replace(seller, proven=proven)
    room.put(IP800, buyer, "port8", 20, paid=True)
    certified.fetch(door)
    error = refused("licensing.not_returnable", lambda: deliver(room, company, certified))
    assert [(one["quantity"], one["reason"]) for one in error.extra["kept"]] == [(20, "other_company")]
    assert (room.balance(company, "port8"), room.balance(buyer, "port8")) == (0, 0)

    # What the seller put there himself goes back to him, and the buyer's stays in the next file.
    room.put(IP800, company, "port8", 3, paid=True)
    certified.fetch(door)
    answer = deliver(room, company, certified)
    assert [one["quantity"] for one in answer["returned"]] == [3]
    assert [(one["quantity"], one["reason"]) for one in answer["kept"]] == [(20, "other_company")]
    certified.fetch(door)

    # Once the buyer has sold the device too, they are of whoever proves that he has it: a claim is no sale.
    del room.devices.records[record]
    devices_tell(room, "device_deleted", buyer.id, record)
    if not proven:
        error = refused("licensing.not_returnable", lambda: deliver(room, company, certified))
        assert [(one["quantity"], one["reason"]) for one in error.extra["kept"]] == [(20, "possession_needed")]
        assert (room.balance(company, "port8"), room.balance(buyer, "port8")) == (3, 0)
        certified.fetch(door)
        room.devices.records[seller.id] = seller
    assert [one["quantity"] for one in deliver(room, company, certified)["returned"]] == [20]
    assert (room.balance(company, "port8"), room.balance(buyer, "port8")) == (23, 0)


def test_two_companies_of_one_thief_gain_nothing_while_the_buyer_is_not_told_of_yet(
    room: Room, certified: Device, door: Door, company: Company
) -> None:
    """Issue 6.1: licensing knew of the thief's second company, and took the buyer for one that had left."""
    second, buyer = room.company(), room.company()
    devices_tell(room, "device_added", second.id, room.hold(IP800, second))
    # The log of devices is behind, as while it is stopped after a restore: the buyer's record was not told here.
    record = room.hold(IP800, buyer)
    room.put(IP800, buyer, "port8", 20, paid=True)
    certified.fetch(door)
    error = refused("licensing.not_returnable", lambda: deliver(room, company, certified))
    assert [(one["quantity"], one["reason"]) for one in error.extra["kept"]] == [(20, "other_company")]
    plain = {"device_id": _record_of(room, company), "encrypted": False, "confirm_no_return": True}
    refused("licensing.paid_by_holder", lambda: room.ask("issue_license_file", company.call(), **plain))
    assert (room.balance(company, "port8"), room.balance(buyer, "port8")) == (0, 0)

    # Nor once the buyer's company was imported by another one, whichever of the two rooms has heard of it first.
    heir = room.company()
    room.database.write(lambda unit: aliases.join(unit, [buyer.id], heir.id))
    for owner in (buyer.id, heir.id):
        room.devices.records[record] = replace(room.devices.records[record], company_id=owner)
        certified.fetch(door)
        refused("licensing.not_returnable", lambda: deliver(room, company, certified))
    assert room.balance(company, "port8") == 0


def _record_of(room: Room, company: Company) -> str:
    (record,) = [one.id for one in room.devices.records.values() if one.company_id == company.id]
    return record


def deliver(room: Room, company: Company, device: Device) -> dict[str, Any]:
    """Let a company upload what its device returns."""
    return room.ask("return_licenses", company.call(), xml=device.make_return().decode())


def test_a_counter_above_the_highest_is_the_floor_of_the_next_file(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    """Issue 6.1: the device got a forged file, and then took none of ours any more."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    certified.state.save_record({**certified.state.record(), "last_counter": 41})
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20
    room.put(IP800, company, "port8", 5)
    outcome = certified.fetch(door)
    assert outcome.file is not None
    assert (outcome.state, outcome.file.counter) == ("installed", 42)


def test_a_file_that_the_restored_books_do_not_know_raises_the_floor(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    """Issue 6.1: after a restore the refused return still tells which counter the device is at."""
    lost = []
    for quantity in (20, 5, 1):
        lost.append(room.put(IP800, company, "port8", quantity))
        certified.fetch(door)

    def restore(unit: object) -> None:
        gone = sa.select(LicenseFileRow.serial).where(LicenseFileRow.counter > 1)
        unit.execute(sa.delete(LicenseFileLine).where(LicenseFileLine.serial.in_(gone)))  # type: ignore[attr-defined]
        unit.execute(sa.delete(LicenseFileRow).where(LicenseFileRow.counter > 1))  # type: ignore[attr-defined]
        unit.execute(sa.update(FileCounter).values(counter=1))  # type: ignore[attr-defined]
        unit.execute(sa.delete(DeviceLine).where(DeviceLine.id.in_(lost[1:])))  # type: ignore[attr-defined]

    room.database.write(restore)
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.portal_code == "licensing.return_file_unknown"
    assert floor_of(room) == 3
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    outcome = certified.fetch(door)
    assert outcome.file is not None
    assert (outcome.state, outcome.file.counter) == ("installed", 4)
    again = room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
    assert (again["created"], again["counter"]) == (False, 4)
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


@pytest.mark.parametrize("counter", [COUNTER_LEAP + 2, 2**31, 2**53, 9_999_999_999_999_999])
def test_an_absurd_counter_is_refused_and_forgotten(
    room: Room, company: Company, certified: Device, door: Door, counter: int
) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    record = certified.state.record()
    certified.state.save_record({**record, "last_counter": counter})
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.portal_code == "licensing.return_counter_too_high"
    assert floor_of(room) == 0
    assert room.balance(company, "port8") == 0
    certified.state.save_record({**certified.state.record(), "last_counter": record["last_counter"]})
    certified.deliver_return(door)
    assert room.balance(company, "port8") == 20


def test_refused_returns_do_not_climb(room: Room, company: Company, certified: Device, door: Door) -> None:
    """Issue 6.1: a hostile device must not use up the counters by returns that are refused."""
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    counter = 1
    for _ in range(5):
        counter += COUNTER_LEAP
        thief = kept(certified, certified.state.folder.parent / f"try-{counter}")
        signed = thief.state.read("installed.signed")
        assert signed is not None
        # A file that nobody issued: refused, and its counter believed, but never more than one leap above ours.
        thief.state.save_record({**thief.state.record(), "last_counter": counter})
        xml = thief.make_return().decode()
        room.put(IP800, company, "port8", 1)
        record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
        if counter == 1 + COUNTER_LEAP:
            room.ask("issue_license_file", company.call(), device_id=record, encrypted=True)
        refused("licensing.return_newer_file", lambda x=xml: room.ask("return_licenses", company.call(), xml=x))
    assert floor_of(room) <= 2 + COUNTER_LEAP


def test_a_kept_key_of_before_raises_no_floor(
    room: Room, company: Company, certified: Device, door: Door, tmp_path: Path
) -> None:
    thief = kept(certified, tmp_path / "thief")
    renewed(certified, door)
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    as_if_installed(thief, certified, counter=500_000)
    xml = thief.make_return().decode()
    refused("licensing.return_certificate_superseded", lambda: room.ask("return_licenses", company.call(), xml=xml))
    assert floor_of(room) == 0
