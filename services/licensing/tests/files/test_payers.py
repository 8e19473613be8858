"""Whoever paid for licenses on a device is told what others do with it, and never who they are (S9)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clients.device import Device
from services.accounts.api import CompanyMerge
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.licensing.api import files as api
from services.licensing.commands.events import apply_devices_events
from services.licensing.commands.merges import apply_accounts_events
from services.licensing.tests.files.conftest import IP800, Company, Door, Room
from services.licensing.tests.files.test_bound_returns import kept, renewed
from services.licensing.tests.files.test_certificates import csr


@pytest.fixture
def payer(room: Room, certified: Device) -> Company:
    """Give a company that paid for licenses on the device and has no record of it any more."""
    payer = room.company()
    room.put(IP800, payer, "port8", 20, paid=True)
    return payer


def told(room: Room, company: Company) -> list[tuple[str, int]]:
    """Return what a company was told that others did, and of how many licenses of its own."""
    found = []
    for event in room.events("paid_device_used_elsewhere"):
        assert api.EVENTS[event["type"]]().validate(event["data"]) == {}
        if event["companyid"] == company.id:
            found.append((event["data"]["what"], sum(one["quantity"] for one in event["data"]["licenses"])))
    return found


def devices_tell(
    room: Room, type: str, company_id: str, device_id: str, at: datetime | None = None, **data: str
) -> None:
    """Let an event of devices arrive."""
    event = Event(
        new_id(), "devices", type, at or datetime.now(UTC), device_id, 1, data, company_id,
        deviceid=device_id, hardwareid=IP800,
    )  # fmt: skip
    room.database.write(lambda unit: apply_devices_events(unit, [event]))


def certificates_of(room: Room, company: Company, record: str) -> list[dict[str, Any]]:
    """Return what a company sees of the device's certificates."""
    items: list[dict[str, Any]] = room.ask("list_certificates", company.call(), device_id=record)["items"]
    return items


def test_the_payer_reads_all_that_others_do(
    room: Room, company: Company, payer: Company, certified: Device, door: Door
) -> None:
    """Issue 6.1: the payer never heard of a stranger's certificate, files, plain download and return."""
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    certified.fetch(door)
    certified.fetch(door)
    renewed(certified, door)
    certified.fetch(door)
    room.put(IP800, company, "port8", 2, paid=True)
    certified.fetch(door)
    certified.deliver_return(door)
    room.put(IP800, payer, "voicemail8", 3, paid=True)
    ask = {"device_id": record, "encrypted": False, "confirm_no_return": True}
    room.ask("issue_license_file", company.call(), **ask)
    certificate = certified.state.certificate()
    assert certificate is not None
    serial = f"{certificate.serial_number:x}"
    room.ask("revoke_certificate", make_call(staff=True), serial=serial, reason="stolen")
    assert told(room, payer) == [
        ("filed", 20), ("certified", 20), ("filed", 20), ("filed", 20), ("returned", 20),
        ("downloaded_plain", 3), ("revoked", 3),
    ]  # fmt: skip
    assert told(room, company) == []


def test_the_payer_learns_nothing_of_the_other(
    room: Room, company: Company, payer: Company, certified: Device, door: Door
) -> None:
    certified.fetch(door)
    (event,) = room.events("paid_device_used_elsewhere")
    assert event["companyid"] == payer.id
    assert "actorid" not in event
    assert "requestid" not in event
    assert "deviceid" not in event
    assert "projectid" not in event
    text = json.dumps(event)
    for secret in (company.id, company.user, company.project_id, *room.devices.records):
        assert secret not in text


def test_the_one_who_did_it_is_told_once(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20, paid=True)
    certified.fetch(door)
    certified.deliver_return(door)
    assert room.events("paid_device_used_elsewhere") == []


def test_a_guest_who_paid_is_told_what_the_owner_does(
    room: Room, company: Company, certified: Device, door: Door
) -> None:
    guest = room.company()
    room.devices.share(company.project_id, guest.id)
    room.put(IP800, guest, "port8", 5, paid=True)
    certified.fetch(door)
    assert told(room, guest) == [("filed", 5)]


def test_a_guest_s_own_deed_is_told_to_a_payer_and_not_to_himself(
    room: Room, company: Company, payer: Company, certified: Device
) -> None:
    guest = room.company()
    room.devices.share(company.project_id, guest.id)
    room.put(IP800, guest, "port8", 5, paid=True)
    certified.fetch(Door(room, guest))
    assert told(room, payer) == [("filed", 20)]
    assert told(room, guest) == []


def test_an_addition_is_told_to_a_payer_without_a_record(room: Room, payer: Company) -> None:
    """Issue 6.1: a stranger adds the box by its MAC; only those who had a record of it were told."""
    stranger = room.company()
    record = new_id()
    devices_tell(room, "device_added", stranger.id, record)
    assert told(room, payer) == [("added", 20)]
    devices_tell(room, "device_deleted", stranger.id, record)
    devices_tell(room, "device_added", stranger.id, new_id())
    assert told(room, payer) == [("added", 20)] * 2


def test_an_addition_is_told_once_to_a_payer_who_has_the_device(room: Room, payer: Company) -> None:
    own = new_id()
    devices_tell(room, "device_added", payer.id, own)
    devices_tell(room, "device_added", room.company().id, new_id())
    # devices itself tells whoever has a record.
    assert told(room, payer) == []
    devices_tell(room, "device_deleted", payer.id, own)
    devices_tell(room, "device_added", room.company().id, new_id())
    assert told(room, payer) == [("added", 20)]


def test_what_was_paid_later_makes_nobody_a_payer_of_before(room: Room, payer: Company) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    devices_tell(room, "device_added", room.company().id, new_id(), long_ago)
    assert told(room, payer) == []


def test_the_payer_s_heir_is_told(room: Room, company: Company, payer: Company, certified: Device, door: Door) -> None:
    heir = room.company()
    merge = CompanyMerge(new_id(), heir.id, payer.id, (payer.id,), "Other")
    event = Event(new_id(), "accounts", "company_merged", datetime.now(UTC), payer.id, 1, merge.data())

    def arrive(unit: Unit) -> None:
        apply_accounts_events(unit, [event])

    room.database.write(arrive)
    certified.fetch(door)
    assert told(room, heir) == [("filed", 20)]


def test_a_refused_download_tells_nobody(room: Room, company: Company, payer: Company) -> None:
    record = room.devices.find_device(company.call(), hardware_id=IP800)["device_id"]
    ask: dict[str, Any] = {"device_id": record, "encrypted": False}
    with pytest.raises(Exception, match="confirm_no_return"):
        room.ask("issue_license_file", company.call(), **ask)
    assert told(room, payer) == []


def test_who_has_the_device_is_told_of_a_key_and_a_proof_of_others(
    room: Room, company: Company, certified: Device, door: Door, tmp_path: Path
) -> None:
    """Issue 6.1: whoever kept the present key of a sold device proves by it and renews it, and the buyer is told."""
    buyer, seller = company, room.company()
    record = room.devices.find_device(buyer.call(), hardware_id=IP800)["device_id"]
    devices_tell(room, "device_added", buyer.id, record, possession="proven")
    thief = kept(certified, tmp_path / "thief")
    again = room.hold(IP800, seller, proven=False)
    devices_tell(room, "device_added", seller.id, again, possession="claimed")
    devices_tell(room, "device_possession_proven", seller.id, again, by="device_key")
    assert told(room, buyer) == [("proven", 0)]
    renewed(thief, Door(room, seller))
    assert told(room, buyer) == [("proven", 0), ("certified", 0)]
    assert told(room, seller) == []
    # What the vendor does for the buyer is told to the seller, who has the device too; the buyer reads it as his own.
    room.ask("request_certificate", make_call(staff=True), device_id=record, pem=csr())
    (present,) = [one for one in certificates_of(room, buyer, record) if one["state"] == "current"]
    room.ask("revoke_certificate", make_call(staff=True), serial=present["serial"], reason="stolen")
    assert told(room, seller) == [("certified", 0), ("revoked", 0)]
    assert told(room, buyer) == [("proven", 0), ("certified", 0)]


def test_whose_certificate_is_overtaken_is_told_though_the_record_is_gone(
    room: Room, company: Company, certified: Device, tmp_path: Path
) -> None:
    """Issue 6.1: what a former holder had certified ends; he has paid for nothing and has no record any more."""
    seller = room.company()
    room.hold(IP800, seller)
    renewed(certified, Door(room, seller))
    assert told(room, company) == [("certified", 0)]


def test_a_proof_is_told_to_a_payer_without_a_record(room: Room, payer: Company) -> None:
    """DEV-15: who paid reads that somebody else proved, and who proves an own record reads nothing more."""
    stranger = room.company()
    devices_tell(room, "device_possession_proven", stranger.id, new_id(), by="order_number")
    assert told(room, payer) == [("proven", 20)]
    devices_tell(room, "device_possession_proven", payer.id, new_id(), by="staff")
    assert told(room, payer) == [("proven", 20)]
    assert told(room, stranger) == []
