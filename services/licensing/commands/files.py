"""Issuing license files: recorded first, signed afterwards, stored once (LIC-5, LIC-7, LIC-11, rule L9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Row

from services.accounts.api import SCOPE_DEVICE, SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, not_found, unavailable
from services.chassis.faults import fail_point
from services.chassis.fields import write_moment
from services.chassis.keys.keystore import Key, KeyStore, KeyStoreError
from services.devices.api import DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.api.files import FIRST_SIGNED_VERSION
from services.licensing.certificates.requests import load_key
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY, private, revoked_kids
from services.licensing.commands.issuing import Issue, Wanted, emit
from services.licensing.commands.possession import require_possession
from services.licensing.files import envelope, payload, signing, text
from services.licensing.store import certificates, files
from services.licensing.store.catalogue import get_catalogue
from services.projects.api import FILES

_log = structlog.get_logger(__name__)
_CONTENT_TYPES = {
    files.TEXT: "text/plain; charset=utf-8",
    files.PLAIN: "application/xml",
    files.ENCRYPTED: "application/xml",
}


def issue_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Issue the current license file of a device, or give the same one again when nothing changed.

    Raises: access.power_needed, licensing.device_rma, .nothing_to_issue, .version_needed, .never_encrypted,
        .no_certificate, .certificate_not_accepted, .confirmation_needed, .rule_violated, .paid_by_holder,
        devices.possession_needed.
    Emits: license_file_issued, certificate_accepted, paid_device_used_elsewhere.
    """
    Actor.of(call).require_scope(SCOPE_WRITE)
    device = access.get_device(call, devices, request["device_id"], FILES)
    access.refuse_rma(device)
    accepted = request["accept_certificate"]
    wanted = Wanted(request["version"], request["encrypted"], request["confirm_no_return"], accepted)
    issue = Issue(Actor.of(call), device, get_catalogue(database), wanted, keystore)
    answer = database.command(call, "issue_license_file", request, issue)
    assert answer is not None
    if _never_signed(database, answer["serial"], issue.revoked_kids):
        # Recorded under or for a key that was revoked before it was signed: the request goes on with the good one.
        answer = database.write(issue, call=call)
    return {**describe(complete(database, keystore, answer["serial"])), "created": answer["created"]}


def get_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Give an issued file again, byte for byte.

    Raises: licensing.file_not_found, .device_rma, .file_void, access.power_needed, devices.possession_needed.
    """
    serial = str(request["serial"])
    row = database.read(lambda connection: files.get(connection, serial))
    missing = not_found("licensing.file_not_found", ERRORS["licensing.file_not_found"])
    if row is None:
        raise missing
    try:
        device = Device.of(devices.get_device_facts(call, device_id=row.device_id))
    except ServiceError as error:
        if error.kind == "not_found":
            raise missing from error
        raise
    device.require(FILES)
    access.refuse_rma(device)
    if row.state != files.ACTIVE or row.kid in revoked_kids(keystore) or _is_for_revoked(database, row):
        raise conflict("licensing.file_void", ERRORS["licensing.file_void"])
    if row.form != files.ENCRYPTED:
        database.read(lambda connection: require_possession(connection, device, Actor.of(call)))
    return {**describe(complete(database, keystore, serial)), "created": False}


def fetch_device_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Give a device its current encrypted file; noted as fetched the first time.

    Raises: accounts.scope_needed, access.power_needed, .device_rma, .no_certificate, .certificate_not_accepted,
        .rule_violated.
    Emits: license_file_issued, license_file_fetched, paid_device_used_elsewhere.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_DEVICE)
    device = Device.of(devices.find_device(call, hardware_id=request["hardware_id"]))
    device.require(FILES)
    access.refuse_rma(device)
    catalogue = get_catalogue(database)
    issue = Issue(actor, device, catalogue, Wanted(FIRST_SIGNED_VERSION, encrypted=True), keystore)
    serial = database.read(issue.unchanged)
    if serial is None:
        try:
            serial = database.write(issue, call=call)["serial"]
        except ServiceError as error:
            if error.code == "licensing.nothing_to_issue":
                return {"state": "nothing", "etag": None, "serial": None, "content_type": None, "content": None}
            raise
    row = complete(database, keystore, serial)
    if row.fetched_at is None:
        database.write(lambda unit: _note_fetch(unit, row, actor, device), call=call)
    etag = f'"{serial}"'
    given = [tag.strip().removeprefix("W/") for tag in (request.get("etag") or "").split(",")]
    if etag in given:
        return {"state": "current", "etag": etag, "serial": serial, "content_type": None, "content": None}
    return {
        "state": "file",
        "etag": etag,
        "serial": serial,
        "content_type": _CONTENT_TYPES[row.form],
        "content": row.content,
    }


def complete(database: Database, keystore: KeyStore, serial: str) -> Row[Any]:
    """Sign a recorded file unless that is done, store its bytes once, and return the stored row (rule L9).

    The bytes that were stored first count, whoever made them, so a file never has two forms.

    Raises: service.unavailable when its key was revoked a moment ago.
    """
    row = database.read(lambda connection: files.get(connection, serial))
    assert row is not None
    if row.signed_at is not None:
        return row
    fail_point("licensing.file.before_signing")
    try:
        signature, content = _make_content(database, keystore, row)
    except KeyStoreError as error:
        raise unavailable(detail="The key of the file was just revoked. Repeat the request.") from error
    digest = hashlib.sha256(content.encode()).hexdigest()
    _log.info("license_file_signed", serial=serial, kid=row.kid, payload=row.payload_digest)
    fail_point("licensing.file.after_signing")

    def store(unit: Unit) -> None:
        files.fill(unit.connection, serial, signature=signature, content=content, content_digest=digest, now=unit.now)

    database.write(store)
    row = database.read(lambda connection: files.get(connection, serial))
    assert row is not None
    return row


def vendor_secret(key: Key) -> bytes:
    """Derive the secret of the text files' short keys from a key of its own purpose."""
    number = private(key).private_numbers().private_value.to_bytes(32, "big")
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"TESSERA TEXT LICENSE VENDOR|1").derive(number)


def text_lines(row: Row[Any]) -> list[text.TextLine]:
    """Return the recorded lines of a text file."""
    return [text.TextLine(name, value) for name, value in json.loads(bytes(row.payload))]


def describe(row: Row[Any]) -> dict[str, Any]:
    """Return a file as it is given out."""
    suffix = "txt" if row.form == files.TEXT else "xml"
    return {
        "serial": row.serial,
        "device_id": row.device_id,
        "hardware_id": row.hardware_id,
        "form": row.form,
        "counter": row.counter,
        "issued_at": write_moment(row.recorded_at),
        "filename": f"licenses-{row.hardware_id.replace('*', 'x')}-{row.counter}.{suffix}",
        "content_type": _CONTENT_TYPES[row.form],
        "content": row.content,
    }


def _never_signed(database: Database, serial: str, revoked_kids: Collection[str]) -> bool:
    row = database.read(lambda connection: files.get(connection, serial))
    if row is None or row.signed_at is not None:
        return False
    return row.kid in revoked_kids or _is_for_revoked(database, row)


def _is_for_revoked(database: Database, row: Row[Any]) -> bool:
    """Tell whether a file is encrypted to a key whose certificate was revoked: whoever stole that must not get it."""
    if row.certificate_serial is None:
        return False
    certificate = database.read(lambda connection: certificates.get(connection, row.certificate_serial))
    return certificate is not None and bool(certificate.state == certificates.REVOKED)


def _make_content(database: Database, keystore: KeyStore, row: Row[Any]) -> tuple[bytes | None, str]:
    if row.form == files.TEXT:
        return None, text.write_text(text_lines(row), row.hardware_id, vendor_secret(keystore.named(TEXT_KEY, row.kid)))
    signed = bytes(row.payload)
    signature = signing.sign(private(keystore.named(FILE_KEY, row.kid)), signed)
    device_key = None
    if row.form == files.ENCRYPTED:
        certificate = database.read(lambda connection: certificates.get(connection, row.certificate_serial))
        assert certificate is not None
        device_key = load_key(bytes(certificate.public_key))
    return signature, envelope.wrap(payload.decode(signed), signed, signature, device_key)


def _note_fetch(unit: Unit, row: Row[Any], actor: Actor, device: Device) -> None:
    if files.mark_fetched(unit.connection, row.serial, unit.now):
        data = {"serial": row.serial, "counter": row.counter}
        for company_id in device.concerned(actor):
            emit(unit, "license_file_fetched", device, company_id, data)
