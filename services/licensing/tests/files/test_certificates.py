"""Certificates of devices: who gets one, hostile requests, the profile, renewal, revocation."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import NameOID
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from clients.device import Device, DeviceError
from clients.device.formats import write_proof
from services.chassis.data.testing import make_call
from services.chassis.faults import InjectedFault, set_fail_points
from services.licensing.certificates.requests import read_request
from services.licensing.files.errors import FormatError
from services.licensing.store import certificates
from services.licensing.tests.files.conftest import IP800, IP6000, Company, Door, Room, crl
from services.licensing.tests.files.test_journey import refused


def csr(key: Any = None, *, name: str = "x", algorithm: Any = None, **extensions: Any) -> str:
    """Return a certificate request in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    for extension in extensions.values():
        builder = builder.add_extension(extension, critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a public key in DER."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_the_profile_is_exact_and_only_the_key_is_taken(room: Room, company: Company) -> None:
    record = room.hold(IP800, company)
    key = ec.generate_private_key(ec.SECP256R1())
    hostile = csr(
        key,
        name="00-90-33-99-99-99",
        ca=x509.BasicConstraints(ca=True, path_length=9),
        names=x509.SubjectAlternativeName([x509.DNSName("gateway.example.com")]),
    )
    answer = room.ask("request_certificate", company.call(), device_id=record, pem=hostile)
    leaf, issuing, root = x509.load_pem_x509_certificates(answer["content"].encode())
    assert spki(key) == leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert leaf.subject.rfc4514_string() == f"CN={IP800},O=Tessera"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:dev:mac:009033082021"]
    assert names.get_values_for_type(x509.DNSName) == ["device-009033082021.tessera.internal"]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.value.digital_signature, usage.value.key_cert_sign, usage.critical) == (True, False, True)
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    point = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0].full_name
    assert point is not None
    assert point[0].value.endswith("/v1/device-ca.crl")
    assert leaf.serial_number.bit_length() > 64
    now = datetime.now(UTC)
    assert timedelta(minutes=55) < now - leaf.not_valid_before_utc < timedelta(minutes=65)
    assert (leaf.not_valid_after_utc - now).days in range(3650, 3655)
    assert issuing.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    verifier = PolicyBuilder().store(Store([root])).time(now).build_client_verifier()
    assert verifier.verify(leaf, [issuing]).chain == [leaf, issuing, root]
    published = x509.load_pem_x509_certificates(room.ask("device_ca", company.call())["content"].encode())
    assert published == [issuing, root]


HOSTILE = {
    "empty": (" ", "malformed"),
    "text": ("hello", "malformed"),
    "two requests": (csr() + csr(), "malformed"),
    "something around": ("x\n" + csr(), "malformed"),
    "a certificate": (csr().replace("CERTIFICATE REQUEST", "CERTIFICATE"), "malformed"),
    "cut": (csr().replace("\n-----END", "A\n-----END"), "malformed"),
    "p-384": (csr(ec.generate_private_key(ec.SECP384R1())), "wrong_key"),
    "secp256k1": (csr(ec.generate_private_key(ec.SECP256K1())), "wrong_key"),
    "rsa": (csr(rsa.generate_private_key(65537, 2048)), "wrong_key"),
    "ed25519": (csr(ed25519.Ed25519PrivateKey.generate()), "wrong_key"),
    "huge": (
        csr(name="x" * 60, more=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x" * 20_000)),
        "malformed",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused(name: str) -> None:
    pem, reason = HOSTILE[name]
    with pytest.raises(FormatError) as caught:
        read_request(pem)
    assert caught.value.reason == reason


def test_a_request_without_possession_is_refused() -> None:
    own, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    der = x509.load_pem_x509_csr(csr(own).encode()).public_bytes(serialization.Encoding.DER)
    stolen = der.replace(
        own.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
        other.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
    )
    pem = x509.load_der_x509_csr(stolen).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(FormatError) as caught:
        read_request(pem)
    assert caught.value.reason == "bad_signature"
    assert read_request(csr(own)) == own.public_key()


_DER = x509.load_pem_x509_csr(csr().encode()).public_bytes(serialization.Encoding.DER)


@given(st.integers(0, len(_DER) - 1), st.integers(1, 255), st.binary(max_size=3))
def test_changed_requests_are_refused(place: int, change: int, more: bytes) -> None:

    changed = bytearray(_DER)
    changed[place] ^= change
    body = base64.b64encode(bytes(changed) + more).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(FormatError):
        read_request(pem)


def test_a_request_of_another_version_is_refused() -> None:
    # hypothesis found that the library's error for this is no ValueError.
    body = base64.b64encode(_DER.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)).decode()
    with pytest.raises(FormatError):
        read_request(f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")


@given(st.text(max_size=300), st.binary(max_size=200))
def test_requests_read_or_refuse_anything(noise: str, body: bytes) -> None:

    block = base64.b64encode(body).decode()
    for pem in (noise, f"-----BEGIN CERTIFICATE REQUEST-----\n{block}\n-----END CERTIFICATE REQUEST-----"):
        with pytest.raises(FormatError):
            read_request(pem)


def test_who_gets_a_certificate(room: Room, company: Company) -> None:
    record = room.hold(IP800, company)
    ask = {"device_id": record, "pem": csr()}
    error = refused("accounts.right_needed", lambda: room.ask("request_certificate", company.call(rights=()), **ask))
    assert error.status == 403
    other = room.company()
    refused("devices.device_not_found", lambda: room.ask("request_certificate", other.call(), **ask))
    assert not room.events()
    staff = make_call(staff=True)
    assert room.ask("request_certificate", staff, **ask)["state"] == "current"
    key = ec.generate_private_key(ec.SECP256R1())
    refused(
        "licensing.proof_needed",
        lambda: room.ask("request_certificate", company.call(), device_id=record, pem=csr(key)),
    )
    assert len(room.events("certificate_issued")) == 1


def test_renewal_needs_the_old_key_and_no_right(room: Room, company: Company) -> None:
    record = room.hold(IP800, company)
    old, new, wrong = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    room.ask("request_certificate", company.call(), device_id=record, pem=csr(old))
    ask = {"device_id": record, "pem": csr(new)}
    proofs = {
        "another key's": write_proof(wrong, IP800, spki(new)),
        "another device's": write_proof(old, IP6000, spki(new)),
        "another request's": write_proof(old, IP800, spki(wrong)),
    }
    for proof in proofs.values():
        refused(
            "licensing.proof_invalid", lambda p=proof: room.ask("request_certificate", company.call(), **ask, proof=p)
        )
    refused("licensing.proof_invalid", lambda: room.ask("request_certificate", company.call(), **ask, proof="AAAA"))
    good = write_proof(old, IP800, spki(new))
    renewed = room.ask("request_certificate", company.call(rights=()), **ask, proof=good)
    listed = room.ask("list_certificates", company.call(), device_id=record)["items"]
    assert [one["state"] for one in listed] == ["current", "superseded"]
    assert listed[0]["serial"] == renewed["serial"]
    # The same proof behind the request, as a device sends it; asking again gives the same certificate.
    again = room.ask("request_certificate", company.call(rights=()), device_id=record, pem=csr(new) + good)
    assert again["content"] == renewed["content"]


def test_a_key_serves_one_device(room: Room, company: Company) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first, second = room.hold(IP800, company), room.hold(IP6000, company, "IP6000")
    room.ask("request_certificate", company.call(), device_id=first, pem=csr(key))
    refused(
        "licensing.request_key_known",
        lambda: room.ask("request_certificate", company.call(), device_id=second, pem=csr(key)),
    )


def test_a_crash_before_or_after_signing_leaves_one_certificate(room: Room, company: Company) -> None:
    record = room.hold(IP800, company)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = csr(key)
    for place in ("before_signing", "after_signing"):
        set_fail_points(f"licensing.certificate.{place}=raise")
        try:
            with pytest.raises(InjectedFault):
                room.ask("request_certificate", company.call(), device_id=record, pem=pem)
        finally:
            set_fail_points("")
    room.ask("request_certificate", company.call(), device_id=record, pem=pem)
    assert len(room.ask("list_certificates", company.call(), device_id=record)["items"]) == 1
    assert len(room.events("certificate_issued")) == 1


def test_a_revocation_committed_after_a_list_of_the_same_time_is_in_the_next_one(
    room: Room, company: Company, certified: Device
) -> None:
    certificate = certified.state.certificate()
    assert certificate is not None
    serial = f"{certificate.serial_number:x}"
    listed = x509.load_der_x509_crl(crl(room.ask("device_crl", company.call())))
    began = listed.last_update_utc - timedelta(seconds=2)
    room.database.write(lambda unit: certificates.revoke(unit.connection, serial, began, "stolen"))
    listed = x509.load_der_x509_crl(crl(room.ask("device_crl", company.call())))
    assert listed.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def test_a_list_that_is_not_due_takes_no_write_transaction(
    room: Room, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = crl(room.ask("device_crl", company.call()))
    monkeypatch.setattr(room.database, "write", None)
    assert crl(room.ask("device_crl", company.call())) == first


def test_a_revoked_certificate_signs_nothing(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    before = x509.load_der_x509_crl(crl(room.ask("device_crl", company.call())))
    assert len(before) == 0
    certificate = certified.state.certificate()
    assert certificate is not None
    serial = f"{certificate.serial_number:x}"
    ask = {"serial": serial, "reason": "stolen"}
    refused("accounts.staff_needed", lambda: room.ask("revoke_certificate", company.call(), **ask))
    staff = make_call(staff=True)
    refused("licensing.certificate_not_found", lambda: room.ask("revoke_certificate", staff, serial="ab"))
    room.ask("revoke_certificate", make_call(staff=True), **ask)
    assert room.ask("revoke_certificate", make_call(staff=True), **ask)["state"] == "revoked"
    assert len(room.events("certificate_revoked")) == 1
    after = x509.load_der_x509_crl(crl(room.ask("device_crl", company.call())))
    assert after.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    issuing = x509.load_pem_x509_certificates(room.ask("device_ca", company.call())["content"].encode())[0]
    assert after.is_signature_valid(issuing.public_key())  # type: ignore[arg-type]
    assert after.next_update_utc is not None
    assert after.next_update_utc - after.last_update_utc == timedelta(days=7)
    numbers = [one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in (before, after)]
    assert numbers[1] == numbers[0] + 1
    with pytest.raises(DeviceError) as caught:
        certified.deliver_return(door)
    assert caught.value.portal_code == "licensing.return_certificate_revoked"
    with pytest.raises(DeviceError) as caught:
        certified.fetch(door)
    assert caught.value.portal_code == "licensing.no_certificate"
    assert room.balance(company, "port8") == 0


def test_returns_that_no_device_of_ours_signed(room: Room, company: Company, certified: Device, door: Door) -> None:
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    good = certified.make_return().decode()
    start, end = good.index("<content>") + 9, good.index("</content>")
    signed = good[start:end]
    flipped = good[:start] + ("B" if signed[0] == "A" else "A") + good[start + 1 :]
    refused("licensing.return_bad_signature", lambda: room.ask("return_licenses", company.call(), xml=flipped))
    stranger = Device(certified.state.folder.parent / "stranger")
    stranger.keygen(IP800)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, IP800)])
    key = stranger.state.key()
    assert key is not None
    now = datetime.now(UTC)
    forged = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(certified.state.certificate().serial_number)  # type: ignore[union-attr]
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    stranger.state.write("certificate.pem", forged.public_bytes(serialization.Encoding.PEM))
    for file in ("keys.json",):
        stranger.state.write(file, certified.state.read(file) or b"")
    stranger.state.write("installed.signed", certified.state.read("returned.signed") or b"")
    stranger.state.save_record({**stranger.state.record(), "last_counter": 1})
    xml = stranger.make_return().decode()
    refused("licensing.return_untrusted", lambda: room.ask("return_licenses", company.call(), xml=xml))
    outsider = room.company()
    refused("devices.device_not_found", lambda: room.ask("return_licenses", outsider.call(), xml=good))
    room.hold(IP6000, company, "IP6000")
    refused(
        "licensing.return_other_device",
        lambda: room.ask("return_device_licenses", company.door(), hardware_id=IP6000, xml=good),
    )
    refused("licensing.return_malformed", lambda: room.ask("return_licenses", company.call(), xml="<x/>"))
    assert room.balance(company, "port8") == 0
    assert {event["data"]["code"] for event in room.events("return_refused")} == set()
    room.ask("return_licenses", company.call(), xml=good)
    assert room.balance(company, "port8") == 20
