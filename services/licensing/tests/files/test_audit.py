"""The audit finds what was changed behind the commands' back, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients.device import Device
from services.chassis.data.audit.checks import Check
from services.chassis.data.db import Database
from services.chassis.data.rows import part_of
from services.chassis.data.tables import outbox
from services.chassis.data.testing import flaws_of, make_call, make_lived_database, unguarded
from services.licensing.audit.certificates import check_certificates
from services.licensing.audit.files import check_files
from services.licensing.audit.issued import check_issued
from services.licensing.audit.keys import check_sealed_keys
from services.licensing.certificates import profile
from services.licensing.certificates.requests import key_digest
from services.licensing.commands.authority import FILE_KEY, private
from services.licensing.commands.certifying import subject_of
from services.licensing.files import envelope, payload, signing
from services.licensing.models import (
    Authority,
    CertificateAcceptance,
    DeviceCertificate,
    FileCounter,
    LicenseFileLine,
    LicenseFileRow,
    LicenseReturn,
    RevocationList,
    Transfer,
)
from services.licensing.store.certificates import StoredCertificate
from services.licensing.tests.files.conftest import IP800, IP6000, Door, Room


def audited(room: Room) -> list[Check]:
    """Return all checks of files and certificates."""

    def work(connection: sa.Connection) -> list[Check]:
        checks = [
            *check_files(connection, room.keystore),
            *check_certificates(connection, room.keystore),
            *check_issued(connection),
        ]
        return [*checks, check_sealed_keys(connection, room.keystore)]

    return room.database.read(work, snapshot=True)


def flaws(room: Room) -> list[str]:
    """Return everything that the audit finds wrong."""
    checks = audited(room)
    return [f"{check.name}: {flaw}" for check in checks for flaw in check.flaws]


@pytest.fixture
def lived(database_uri: str, tmp_path: Path) -> Iterator[Room]:
    """Give a room with a file of each form, a return, a certificate that was revoked and one that was not."""
    database, room = make_lived_database("licensing", database_uri, tmp_path, live)
    yield replace(room, database=database)
    database.close()


def live(database: Database, folder: Path) -> Room:
    """Issue files, return one, and revoke a certificate."""
    room = Room(database)
    company = room.company()
    door = Door(room, company)
    room.hold(IP800, company)
    certified, other = Device(folder / "ip800"), Device(folder / "ip6000")
    certified.keygen(IP800)
    certified.request_certificate(door)
    record = room.hold(IP6000, company, "IP6000")
    room.put(IP6000, company, "pbx7-100", 1)
    room.put(IP6000, company, "port8", 3)
    room.ask("issue_license_file", company.call(), device_id=record, encrypted=False, version=7)
    room.ask("issue_license_file", company.call(), device_id=record, encrypted=False, version=8, confirm_no_return=True)
    room.put(IP800, company, "port8", 20)
    certified.fetch(door)
    certified.deliver_return(door)
    other.keygen(IP6000)
    other.request_certificate(door)
    certificate = certified.state.certificate()
    assert certificate is not None
    stolen = f"{certificate.serial_number:x}"
    room.ask("revoke_certificate", make_call(staff=True), serial=stolen, reason="stolen")
    room.ask("device_crl", company.call())
    assert flaws(room) == []
    return room


def _set(table: Any, **values: Any) -> Callable[[Any], Any]:
    return lambda _: sa.update(table).values(**values)


def _edited(type: str, old: str, new: str) -> Callable[[Any], Any]:
    edited = sa.func.replace(outbox.c.event, old, new)
    return lambda _: sa.update(outbox).where(outbox.c.type == type).values(event=edited)


def _flip(row: Any) -> Any:
    content = row.content
    place = len(content) // 2
    changed = content[:place] + ("A" if content[place] != "A" else "B") + content[place + 1 :]
    return sa.update(LicenseFileRow).where(LicenseFileRow.serial == row.serial).values(content=changed)


def _row(room: Room, form: str) -> Any:
    rows = sa.select(LicenseFileRow.__table__).where(LicenseFileRow.form == form)
    return room.database.read(lambda connection: connection.execute(rows).first())


def _store(row: Any, **values: Any) -> Any:
    """Store values with the digests that belong to them, as somebody does who knows of the digests."""
    for name in {"payload", "content"} & values.keys():
        given = values[name]
        values[f"{name}_digest"] = hashlib.sha256(given if isinstance(given, bytes) else given.encode()).hexdigest()
    return sa.update(LicenseFileRow).where(LicenseFileRow.serial == row.serial).values(**values)


def _other_text(room: Room) -> Any:
    return _store(_row(room, "text"), payload=b'[["PBX7#100",2]]')


def _foreign_envelope(room: Room) -> Any:
    return _store(_row(room, "encrypted"), content=_row(room, "plain").content)


def _signed_anew(room: Room) -> Any:
    """Sign other licenses with the stolen key, and put them into the envelope of the file."""
    row = _row(room, "plain")
    said = payload.decode(bytes(row.payload))
    forged = replace(said, lines=tuple(replace(line, quantity=line.quantity + 90) for line in said.lines))
    signed = payload.encode(forged)
    signature = signing.sign(private(room.keystore.named(FILE_KEY, row.kid)), signed)
    return _store(row, content=envelope.wrap(forged, signed, signature, None))


def _other_recipient(room: Room) -> Any:
    row = _row(room, "encrypted")
    file = envelope.read(row.content.encode())
    return _store(row, content=envelope.write(replace(file, recipient="a" * 32)))


def _return_of_other_file(room: Room) -> Any:
    """Let the device's own document stand for another file of it that it never returned."""
    other = _row(room, "plain").serial
    return sa.update(LicenseReturn).values(serial=other)


def _rogue_certificate(room: Room) -> Any:
    """Certify a key of the attacker's for a device by an authority of his, and note that as one of ours."""
    now = datetime.now(UTC)
    root_key, key, mine = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = profile.make_root(root_key, now)
    authority = profile.make_issuing(key.public_key(), "1", root, root_key, now)
    certificates = sa.select(DeviceCertificate.__table__).where(DeviceCertificate.hardware_id == IP6000)
    row: Any = room.database.read(lambda connection: connection.execute(certificates).one())
    der = mine.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    stored = replace(part_of(row, StoredCertificate), public_key=der, key_digest=key_digest(der), authority="rogue")
    made = profile.pem(profile.make_device(subject_of(stored), authority, key))
    with unguarded(room.database) as connection:
        values = {"kid": "rogue", "role": "issuing", "certificate": profile.pem(authority), "created_at": now}
        connection.execute(sa.insert(Authority).values(values))
    changed = {"public_key": der, "key_digest": key_digest(der), "authority": "rogue", "certificate": made}
    return sa.update(DeviceCertificate).where(DeviceCertificate.serial == row.serial).values(changed)


def _rogue_list(room: Room) -> Any:
    """Publish by an authority of the attacker's that nothing is revoked."""
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = profile.make_issuing(key.public_key(), "1", profile.make_root(root_key, now), root_key, now)
    with unguarded(room.database) as connection:
        values = {"kid": "rogue", "role": "issuing", "certificate": profile.pem(authority), "created_at": now}
        connection.execute(sa.insert(Authority).values(values))
    content = profile.make_crl([], 2, authority, key, now, now + timedelta(days=7))
    return sa.insert(RevocationList).values(number=2, issued_at=now, content=content)


def _accepted(room: Room) -> Any:
    """Let a company have accepted a key of which nobody told it."""
    row = _row(room, "encrypted")
    find = sa.select(DeviceCertificate.__table__).where(DeviceCertificate.serial == row.certificate_serial)
    one: Any = room.database.read(lambda connection: connection.execute(find).one())
    values = {"key_digest": one.key_digest, "serial": one.serial, "hardware_id": one.hardware_id}
    return sa.insert(CertificateAcceptance).values(
        **values, company_id="c", accepted_by="u", accepted_at=one.recorded_at
    )


FORGED: list[tuple[str, Callable[[Room], Any], str]] = [
    ("stored license files verify", _other_recipient, "it is encrypted to another key than that of the certificate"),
    ("files are returned at most once", _return_of_other_file, "its document returns the file"),
    ("device certificates match their records", _rogue_certificate, "the authority rogue (issuing) is of no key"),
    ("device certificates match their records", _rogue_list, "the authority rogue (issuing) is of no key of ours"),
    ("accepted keys are of certificates", _accepted, "and nobody was told so"),
    ("stored license files verify", _other_text, "its text has other lines"),
    ("stored license files verify", _foreign_envelope, "its envelope says something else"),
    ("stored license files verify", _signed_anew, "its envelope holds another content"),
]
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BESIDE: list[tuple[str, Callable[[Any], Any], str]] = [
    ("files are as they were told", _set(LicenseFileRow, project_id="x"), '"x", "20'),
    ("files are as they were told", _set(LicenseFileRow, expires_at=_LONG_AGO), "ends at 2020-01-01 00:00:00"),
    ("files are as they were told", lambda _: sa.delete(LicenseFileRow), "was told and is not there"),
    ("files are as they were told", _edited("license_file_issued", '"form"', '"shape"'), "about a file cannot be read"),
    ("returns are as they were told", _set(LicenseReturn, company_id="x"), "and was told as"),
    ("returns are as they were told", _set(LicenseReturn, answer={}), "is ["),
    ("returns are as they were told", lambda _: sa.delete(LicenseReturn), "was told and is not there"),
    (
        "returns are as they were told",
        _edited("licenses_returned", '"kept"', '"left"'),
        "about a return cannot be read",
    ),
    ("certificates say whose they are", _set(DeviceCertificate, device_id="x"), "and was told as"),
    ("certificates say whose they are", _set(DeviceCertificate, state="superseded"), "is superseded and the device's"),
    ("certificates say whose they are", _set(DeviceCertificate, reason="x"), "is current and has the reason 'x'"),
    ("certificates say whose they are", _set(DeviceCertificate, renews="x"), "renews x, which is none"),
    (
        "certificates say whose they are",
        _edited("certificate_issued", '"expires_at"', '"until"'),
        "about a certificate cannot be read",
    ),
    (
        "accepted keys are of certificates",
        lambda _: sa.insert(CertificateAcceptance).values(
            company_id="c", hardware_id=IP800, key_digest="x", serial="x", accepted_by="u", accepted_at=_LONG_AGO
        ),
        "by the certificate x, which is none of the device's",
    ),
    ("return floors are what devices named", _set(FileCounter, floor=99), f"the floor of {IP800} is 99"),
    ("return floors are what devices named", _set(FileCounter, counter=0, floor=0), f"the floor of {IP800} is 0"),
    ("return floors are what devices named", _set(LicenseReturn, document="zz"), f"a return of {IP800} cannot be read"),
    (
        "stored license files verify",
        _set(LicenseFileRow, certificate_serial="x"),
        "for the certificate x, which is none",
    ),
    ("stored license files verify", _set(LicenseFileRow, certificate_serial="x"), "is plain and was made for"),
    ("stored license files verify", _set(LicenseFileRow, signature=b"x"), "it is a text and has a signature"),
    ("the revocation list is complete", _set(RevocationList, issued_at=_LONG_AGO), "and noted as of 2020-01-01"),
]
"""What stands beside the contents: whose, of which record, where, when."""
TAMPERED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("stored license files verify", _flip, "bytes are not those"),
    ("stored license files verify", _set(LicenseFileRow, payload=b"other"), "not what was recorded"),
    ("stored license files verify", _set(LicenseFileRow, signature=b"\x01" * 64), "signature does not fit"),
    ("stored license files verify", _set(LicenseFileRow, company_id="other"), "says something else than its row"),
    ("stored license files verify", _set(LicenseFileRow, kid="license-files-nobody"), "license-files-nobody"),
    ("stored license files verify", _set(LicenseFileLine, quantity=77), "are not the recorded lines"),
    ("counters match the newest files", _set(FileCounter, counter=99), "its newest file has another"),
    ("counters match the newest files", lambda _: sa.delete(FileCounter), "has files and no counter"),
    ("files are returned at most once", _set(LicenseReturn, document="00" * 70), "not what was accepted"),
    ("files are returned at most once", _set(LicenseReturn, hardware_id="other"), "no certificate of other signed it"),
    ("files are returned at most once", _set(LicenseFileRow, state="active"), "is not returned"),
    ("files are returned at most once", _set(Transfer, kind="gift"), "nothing was booked"),
    ("files are returned at most once", _set(LicenseFileRow, state="returned"), "is returned and has no return"),
    ("files are returned at most once", lambda _: sa.delete(LicenseReturn), "transfer return:"),
    ("device certificates match their records", _set(DeviceCertificate, hardware_id="00-90-33-00-00-01"), "subject is"),
    ("device certificates match their records", lambda _: sa.delete(Authority), "is not stored"),
    ("device certificates match their records", _set(DeviceCertificate, key_digest="x"), "has another digest"),
    (
        "device certificates match their records",
        _set(DeviceCertificate, public_key=b"x", certificate="x"),
        "has another",
    ),
    (
        "device certificates match their records",
        _set(DeviceCertificate, certificate="x"),
        "cannot be read (ValueError)",
    ),
    ("certificates are as they were told", _set(DeviceCertificate, state="revoked"), "was told not as revoked"),
    ("certificates are as they were told", _set(DeviceCertificate, hardware_id="00-90-33-00-00-01"), "told as of"),
    ("certificates are as they were told", lambda _: sa.delete(DeviceCertificate), "was told of and is not there"),
    ("certificates are as they were told", lambda _: sa.delete(outbox), "was never told as issued"),
    (
        "certificates are as they were told",
        _edited("certificate_issued", '"serial"', '"number"'),
        "about a certificate",
    ),
    ("the revocation list is complete", _set(RevocationList, content=b"x"), "cannot be read"),
    ("the revocation list is complete", _set(RevocationList, number=9), "revocation list 9 is number 1"),
    ("the revocation list is complete", lambda _: sa.delete(Authority), "by no authority of ours"),
    ("the revocation list is complete", _set(DeviceCertificate, state="current"), "is in list 1 and is not revoked"),
    (
        "the revocation list is complete",
        lambda _: (
            sa.update(DeviceCertificate)
            .where(DeviceCertificate.state != "revoked")
            .values(state="revoked", revoked_at=datetime(2020, 1, 1, tzinfo=UTC))
        ),
        "and not in list 1",
    ),
    ("files are returned at most once", _set(LicenseReturn, document="zz"), "cannot be read (ValueError)"),
    *BESIDE,
]


@pytest.mark.parametrize("number", range(len(TAMPERED)))
def test_tampering_is_found(lived: Room, number: int) -> None:
    name, change, word = TAMPERED[number]
    row = lived.database.read(
        lambda c: c.execute(sa.select(LicenseFileRow.serial, LicenseFileRow.content).limit(1)).one()
    )
    with unguarded(lived.database) as connection:
        connection.execute(change(row))
    assert word in flaws_of(audited(lived), name)


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_what_is_forged_with_its_digests_is_found(lived: Room, number: int) -> None:
    name, change, word = FORGED[number]
    statement = change(lived)
    with unguarded(lived.database) as connection:
        connection.execute(statement)
    assert word in flaws_of(audited(lived), name)
