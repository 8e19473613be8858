"""What a claim may not do, what proves possession, what a proof ends, and ways to forge or to keep one (DEV-15)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from clients.device.formats import write_possession, write_proof
from services.chassis.data.db import last_was_replay
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.chassis.settings import Settings
from services.devices.fake import FakeDevices
from services.licensing.certificates import profile
from services.licensing.commands.events import apply_devices_events
from services.licensing.store import certificates
from services.licensing.tests.files.conftest import IP800, Company, Room
from services.licensing.tests.files.test_certificates import csr, spki
from services.licensing.tests.files.test_journey import refused
from tests.rig import wait_until

Key = ec.EllipticCurvePrivateKey


def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certify(room: Room, company: Company, record: str, of: Key, **more: Any) -> dict[str, Any]:
    return room.ask("request_certificate", company.call(), device_id=record, pem=csr(of), **more)


def states(room: Room) -> list[tuple[str, str]]:
    rows = room.database.read(lambda connection: certificates.of_device(connection, IP800))
    return [(row.state, row.possession) for row in rows]


def tell_proof(room: Room, company: Company, record: str) -> None:
    """Let licensing hear of a proof, as devices tells it."""
    data = {"hardware_id": IP800, "type": "IP800", "by": "order_number"}
    event = Event(
        new_id(), "devices", "device_possession_proven", datetime.now(UTC), record, 1, data,
        companyid=company.id, deviceid=record, hardwareid=IP800,
    )  # fmt: skip
    room.database.write(lambda unit: apply_devices_events(unit, [event]))


@pytest.fixture
def lenient(room: Room) -> Room:
    """Give an installation whose vendor allows claims a first certificate."""
    room.settings = Settings.from_environment({"TESSERA_CLAIMED_CERTIFICATES": "1"})
    return room


def test_a_stranger_cannot_certify_an_unsold_box_by_its_mac(room: Room, company: Company) -> None:
    """Issue 6.1: a stranger certified an unsold box by its MAC alone; the buyer's files then went to his key."""
    record = room.hold(IP800, company, proven=False)
    ask = {"device_id": record, "pem": csr()}
    doors: list[Callable[[], Any]] = [
        lambda: room.ask("request_certificate", company.call(), **ask),
        lambda: room.ask("request_device_certificate", company.door(), hardware_id=IP800, pem=csr()),
    ]
    for door in doors:
        error = refused("devices.possession_needed", door)
        assert (error.status, error.extra) == (409, {"ways": ["order_number", "staff"]})
    assert not room.events()
    assert states(room) == []


def test_the_vendor_may_allow_it_while_nobody_else_ever_had_a_stake(lenient: Room, company: Company) -> None:
    record = lenient.hold(IP800, company, proven=False)
    assert certify(lenient, company, record, key())["state"] == "current"
    assert states(lenient) == [("current", "claimed")]


@pytest.mark.parametrize("stake", ["holds", "paid", "paid once"])
def test_no_first_certificate_beside_anybody_with_a_stake(lenient: Room, company: Company, stake: str) -> None:
    record, other = lenient.hold(IP800, company, proven=False), lenient.company()
    if stake == "holds":
        lenient.hold(IP800, other, proven=False)
    else:
        lenient.put(IP800, other, "port8", 5, paid=True)
    if stake == "paid once":
        from sqlalchemy import update

        from services.licensing.models import DeviceLine

        lenient.database.write(lambda unit: unit.execute(update(DeviceLine).values(state="returned")) and None)
    refused("devices.possession_needed", lambda: certify(lenient, company, record, key()))


def test_the_buyers_files_go_to_the_buyers_key_only(lenient: Room, company: Company) -> None:
    """Issue 6.1: the stranger was first, even with the vendor's yes; the buyer's proof ends what he got."""
    stranger, buyer, bad, good = lenient.company(), company, key(), key()
    first = certify(lenient, stranger, lenient.hold(IP800, stranger, proven=False), bad)
    record = lenient.hold(IP800, buyer, proven=True)
    # At once, before anything has told licensing of the proof.
    mine = certify(lenient, buyer, record, good)
    assert states(lenient) == [("current", "proven"), ("revoked", "claimed")]
    (told,) = lenient.events("certificate_revoked")
    assert (told["companyid"], told["data"]["serial"]) == (stranger.id, first["serial"])
    assert told.get("actorid") is None
    assert told.get("requestid") is None
    assert buyer.id not in str(told)
    lenient.put(IP800, buyer, "port8", 20, paid=True)
    issued = lenient.ask("issue_license_file", buyer.call(), device_id=record, encrypted=True)
    recipient = lenient.database.read(lambda c: certificates.current(c, IP800))
    assert recipient is not None
    assert recipient.serial == mine["serial"]
    assert recipient.key_digest[:32] in issued["content"]
    # The stranger neither renews by his old key nor gets another one.
    record = next(r.id for r in lenient.devices.records.values() if r.company_id == stranger.id)
    proof = write_proof(bad, IP800, spki(new := key()))
    refused("licensing.proof_invalid", lambda: certify(lenient, stranger, record, new, proof=proof))
    refused("licensing.proof_needed", lambda: certify(lenient, stranger, record, key()))


def test_a_proof_that_is_told_ends_claims_of_others_and_lifts_own_ones(lenient: Room, company: Company) -> None:
    record, mine = lenient.hold(IP800, company, proven=False), key()
    certify(lenient, company, record, mine)
    tell_proof(lenient, company, record)
    tell_proof(lenient, company, record)
    assert states(lenient) == [("current", "proven")]
    assert lenient.events("certificate_revoked") == []
    # Another one's proof does not end what a proven record got: it needs the key, or staff.
    other = lenient.company()
    second = lenient.hold(IP800, other, proven=True)
    tell_proof(lenient, other, second)
    assert states(lenient) == [("current", "proven")]
    refused("licensing.proof_needed", lambda: certify(lenient, other, second, key()))


def test_a_renewal_of_a_claims_certificate_stays_a_claims(lenient: Room, company: Company) -> None:
    record, old, new = lenient.hold(IP800, company, proven=False), key(), key()
    certify(lenient, company, record, old)
    certify(lenient, company, record, new, proof=write_proof(old, IP800, spki(new)))
    assert states(lenient) == [("current", "claimed"), ("superseded", "claimed")]
    buyer = lenient.company()
    tell_proof(lenient, buyer, lenient.hold(IP800, buyer))
    assert states(lenient) == [("revoked", "claimed"), ("revoked", "claimed")]
    assert len(lenient.events("certificate_revoked")) == 2


class Meanwhile(FakeDevices):
    """Devices, in which somebody else proves the device between two questions."""

    questions = 0
    act: Callable[[], Any]

    def get_device_facts(self, call: Any, *, device_id: str) -> dict[str, Any]:
        """Tell the facts; right after the first time, somebody else acts."""
        facts = super().get_device_facts(call, device_id=device_id)
        self.questions += 1
        if self.questions == 1:
            self.act()
        return facts


@pytest.mark.parametrize("told", ["before", "after"])
def test_a_claims_request_beside_a_proof_leaves_it_without(lenient: Room, company: Company, told: str) -> None:
    """Issue 6.1: asked for while nobody else had the device, recorded after the buyer's proof was told and applied."""
    record, buyer = lenient.hold(IP800, company, proven=False), lenient.company()

    def act() -> None:
        theirs = lenient.hold(IP800, buyer)
        if told == "before":
            tell_proof(lenient, buyer, theirs)

    devices = Meanwhile(**{name: getattr(lenient.devices, name) for name in ("built", "records", "projects", "shares")})
    devices.act = act
    lenient.devices = devices
    refused("devices.possession_needed", lambda: certify(lenient, company, record, key()))
    assert states(lenient) == []
    assert lenient.database.read(lambda c: certificates.current(c, IP800)) is None
    theirs = next(one.id for one in devices.records.values() if one.company_id == buyer.id)
    assert certify(lenient, buyer, theirs, key())["state"] == "current"


def test_a_proof_between_record_and_signature_ends_the_certificate(lenient: Room, company: Company) -> None:
    record, buyer, mine = lenient.hold(IP800, company, proven=False), lenient.company(), key()
    call = company.call(command_id=new_id())
    ask = {"device_id": record, "pem": csr(mine)}
    set_fail_points("licensing.certificate.before_signing=raise")
    try:
        with pytest.raises(InjectedFault):
            lenient.ask("request_certificate", call, **ask)
    finally:
        set_fail_points("")
    tell_proof(lenient, buyer, lenient.hold(IP800, buyer))
    refused("devices.possession_needed", lambda: lenient.ask("request_certificate", call, **ask))
    assert states(lenient) == []


@pytest.mark.parametrize("place", ["before_signing", "after_signing"])
def test_what_was_superseded_before_it_was_signed_is_never_signed(
    room: Room, company: Company, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Issue 6.1: a request was recorded, another one took its place, then the signing of the first one went on."""
    record, first, second = room.hold(IP800, company), key(), key()
    call, pem = company.call(command_id=new_id()), csr(first)
    set_fail_points(f"licensing.certificate.{place}=raise")
    try:
        with pytest.raises(InjectedFault):
            room.ask("request_certificate", call, device_id=record, pem=pem)
    finally:
        set_fail_points("")
    taken = certify(room, company, record, second)
    # Not even bytes that nobody would get.
    monkeypatch.setattr(profile, "make_device", lambda *_: pytest.fail("It was signed."))
    refused("licensing.request_superseded", lambda: room.ask("request_certificate", call, device_id=record, pem=pem))
    listed = room.ask("list_certificates", company.call(), device_id=record)["items"]
    assert [(one["serial"], one["state"]) for one in listed] == [(taken["serial"], "current")]


def test_signed_bytes_of_a_superseded_request_are_not_stored(room: Room, company: Company) -> None:
    """Issue 6.1: the other request may come in the moment between the look and the signature."""
    record = room.hold(IP800, company)
    serial = certify(room, company, record, key())["serial"]

    def work(unit: Any) -> None:
        from sqlalchemy import update

        from services.licensing.models import DeviceCertificate

        unit.execute(update(DeviceCertificate).values(signed_at=None, certificate=None))
        certificates.supersede(unit.connection, IP800)
        certificates.fill(unit.connection, serial, "PEM", unit.now)

    room.database.write(work)
    assert states(room) == []


def test_staffs_word_revokes_all_certificates_of_before(room: Room, company: Company) -> None:
    """Issue 6.1: a former owner kept the key of a certificate that staff had replaced, and returned with it."""
    record, first, second = room.hold(IP800, company), key(), key()
    certify(room, company, record, first)
    certify(room, company, record, second, proof=write_proof(first, IP800, spki(second)))
    staff = make_call(staff=True)
    room.ask("request_certificate", staff, device_id=record, pem=csr())
    assert states(room) == [("current", "proven"), ("revoked", "proven"), ("revoked", "proven")]
    assert [event["companyid"] for event in room.events("certificate_revoked")] == [company.id] * 2


# --- unencrypted files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("license_type", ["port8", "pbx7-100"])
def test_no_unencrypted_file_for_a_claim_beside_others(room: Room, company: Company, license_type: str) -> None:
    """Issue 6.1: a stranger's plain download ended the payer's right to return."""
    record, payer = room.hold(IP800, company, "IP6000", proven=False), room.company()
    room.put(IP800, payer, license_type, 1, paid=True)
    ask: dict[str, Any] = {"device_id": record, "encrypted": False, "confirm_no_return": True}
    error = refused("devices.possession_needed", lambda: room.ask("issue_license_file", company.call(), **ask))
    assert error.extra["ways"] == ["order_number", "staff"]
    # What no confirmation opens is said before one is asked for.
    refused(
        "devices.possession_needed",
        lambda: room.ask("issue_license_file", company.call(), **ask | {"confirm_no_return": False}),
    )
    assert not room.events()
    room.devices.confirm_possession(company.call(), device_id=record)
    assert room.ask("issue_license_file", company.call(), **ask)["created"] is True


def test_no_unencrypted_file_with_licenses_of_another_holder_even_for_a_proof(room: Room, company: Company) -> None:
    """Found by a thief: who sold the box knows its order's number, and ended the buyer's right to return."""
    record, buyer = room.hold(IP800, company, "IP6000"), room.company()
    theirs = room.hold(IP800, buyer)
    room.put(IP800, buyer, "port8", 20, paid=True)
    ask: dict[str, Any] = {"device_id": record, "encrypted": False, "confirm_no_return": True}
    refused("licensing.paid_by_holder", lambda: room.ask("issue_license_file", company.call(), **ask))
    # Nobody takes files of version 7 back, so they are in nobody's way.
    room.put(IP800, buyer, "pbx7-100", 1, paid=True)
    assert room.ask("issue_license_file", company.call(), **ask | {"version": 7})["created"] is True
    assert room.ask("issue_license_file", buyer.call(), **ask | {"device_id": theirs, "version": 8})["created"] is True
    # What is lost already is no reason any more.
    assert room.ask("issue_license_file", company.call(), **ask | {"version": 8})["created"] is True


def test_an_unencrypted_file_of_before_is_not_given_again_either(room: Room, company: Company) -> None:
    record = room.hold(IP800, company, proven=False)
    room.put(IP800, company, "port8", 5, paid=True)
    ask: dict[str, Any] = {"device_id": record, "encrypted": False, "confirm_no_return": True}
    serial = room.ask("issue_license_file", company.call(), **ask)["serial"]
    assert room.ask("get_license_file", company.call(), serial=serial)["serial"] == serial
    room.hold(IP800, room.company())
    refused("devices.possession_needed", lambda: room.ask("get_license_file", company.call(), serial=serial))


def test_the_page_is_told_what_a_claim_may_not_do(room: Room, company: Company) -> None:
    record = room.hold(IP800, company, proven=False)

    def told() -> Any:
        return room.ask("get_possession", company.call(), device_id=record)

    assert told() == {"limited": ["request_certificate"], "ways": ["order_number", "staff"]}
    room.put(IP800, room.company(), "port8", 5, paid=True)
    limited = ["download_unencrypted_licenses", "move_licenses", "request_certificate"]
    assert told()["limited"] == limited
    room.devices.confirm_possession(company.call(), device_id=record)
    assert told() == {"limited": [], "ways": []}


# --- proofs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sold(room: Room, company: Company) -> tuple[Key, Company, str]:
    """Give a device that was certified for its first owner, its key, and the claim of the one who bought it used."""
    owned = key()
    certify(room, company, room.hold(IP800, company), owned)
    buyer = room.company()
    return owned, buyer, room.hold(IP800, buyer, proven=False)


def prove(room: Room, buyer: Company, record: str, proof: str) -> dict[str, Any]:
    return room.ask("prove_possession", buyer.call(), device_id=record, proof=proof)


def test_the_devices_certified_key_proves_for_one_record(room: Room, sold: tuple[Key, Company, str]) -> None:
    owned, buyer, record = sold
    assert room.ask("get_possession", buyer.call(), device_id=record)["ways"] == ["order_number", "device_key", "staff"]
    proof = write_possession(owned, IP800, record)
    other = room.company()
    theirs = room.hold(IP800, other, proven=False)
    refused("licensing.possession_proof_invalid", lambda: prove(room, other, theirs, proof))
    for wrong in (
        write_possession(key(), IP800, record),
        write_possession(owned, "00-90-33-08-20-20", record),
        write_proof(owned, IP800, spki(key())),
        base64.b64encode(b"x" * 90).decode(),
        "?",
    ):
        refused("licensing.possession_proof_invalid", lambda w=wrong: prove(room, buyer, record, w))
    assert prove(room, buyer, record, proof)["possession"] == "proven"


@pytest.mark.parametrize("hours", [-25, 1])
def test_a_proof_that_was_kept_proves_nothing_later(room: Room, sold: tuple[Key, Company, str], hours: int) -> None:
    owned, buyer, record = sold
    proof = write_possession(owned, IP800, record, now=datetime.now(UTC) + timedelta(hours=hours))
    refused("licensing.possession_proof_expired", lambda: prove(room, buyer, record, proof))


def test_a_proof_that_was_accepted_is_refused_once_it_is_a_day_old(room: Room, sold: tuple[Key, Company, str]) -> None:
    """A new request gets nothing by it, the same one its first answer; it proves nothing for a record made anew."""
    owned, buyer, record = sold
    proof = write_possession(owned, IP800, record, now=datetime.now(UTC) - timedelta(hours=24) + timedelta(seconds=4))
    first = buyer.call()

    def replay(call: Any, of: str = record) -> str:
        try:
            return str(room.ask("prove_possession", call, device_id=of, proof=proof)["possession"])
        except ServiceError as refusal:
            return refusal.code

    assert replay(first) == "proven"
    # Another request under the same key is none of it, though it would be good by itself.
    fresh = write_possession(owned, IP800, record)
    refused("idempotency.key_reused", lambda: room.ask("prove_possession", first, device_id=record, proof=fresh))
    wait_until(lambda: replay(buyer.call()) == "licensing.possession_proof_expired", 15)
    # As a staff's word or an import could leave it.
    room.devices.records[record] = replace(room.devices.records[record], proven=False)
    before = states(room)
    assert replay(first) == "proven"
    assert last_was_replay()
    assert replay(buyer.call()) == "licensing.possession_proof_expired"
    assert not room.devices.records.pop(record).proven
    assert replay(buyer.call(), room.hold(IP800, buyer, proven=False)) == "licensing.possession_proof_invalid"
    assert states(room) == before


def test_a_revoked_or_superseded_key_proves_nothing(
    room: Room, company: Company, sold: tuple[Key, Company, str]
) -> None:
    owned, buyer, record = sold
    mine, new = next(r.id for r in room.devices.records.values() if r.company_id == company.id), key()
    certify(room, company, mine, new, proof=write_proof(owned, IP800, spki(new)))
    refused(
        "licensing.possession_proof_invalid",
        lambda: prove(room, buyer, record, write_possession(owned, IP800, record)),
    )
    serial = room.ask("list_certificates", company.call(), device_id=mine)["items"][0]["serial"]
    room.ask("revoke_certificate", make_call(staff=True), serial=serial)
    refused(
        "licensing.possession_proof_invalid", lambda: prove(room, buyer, record, write_possession(new, IP800, record))
    )


def test_a_claim_does_not_prove_itself_by_the_key_that_it_got(lenient: Room, company: Company) -> None:
    """Issue 6.1: else the stranger's certificate would make the stranger the owner."""
    record, mine = lenient.hold(IP800, company, proven=False), key()
    certify(lenient, company, record, mine)
    assert "device_key" not in lenient.ask("get_possession", company.call(), device_id=record)["ways"]
    refused(
        "licensing.possession_key_claimed",
        lambda: prove(lenient, company, record, write_possession(mine, IP800, record)),
    )


def test_a_proof_by_order_number_ends_claims_at_once(lenient: Room, company: Company) -> None:
    stranger = lenient.company()
    certify(lenient, stranger, lenient.hold(IP800, stranger, proven=False), key())
    record = lenient.hold(IP800, company, proven=False)
    lenient.devices.built[IP800] = replace(lenient.devices.built[IP800], order_number="4711")
    ask = {"device_id": record}
    refused("devices.not_in_order", lambda: lenient.ask("prove_possession", company.call(), **ask, order_number="9"))
    answer = lenient.ask("prove_possession", company.call(), **ask, order_number="4711")
    assert answer == {"device_id": record, "hardware_id": IP800, "possession": "proven"}
    assert states(lenient) == [("revoked", "claimed")]
