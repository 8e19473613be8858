"""Issuing license files: recorded first, signed afterwards, stored once (LIC-5, LIC-7, LIC-11, rule L9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from marshmallow import fields

from services.accounts.api import Actor, needs
from services.chassis.answers import Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, not_found, unavailable
from services.chassis.faults import fail_point
from services.chassis.fields import AnswerSchema
from services.chassis.keys.keystore import Key, KeyStore, KeyStoreError
from services.chassis.service.declare import command, query
from services.chassis.service.running import run
from services.devices.api import DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api import files as api
from services.licensing.api.file_errors import ERRORS
from services.licensing.api.files import FIRST_SIGNED_VERSION
from services.licensing.certificates.requests import load_key
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY, private, revoked_kids
from services.licensing.commands.issuing import Issue, Issued, Wanted
from services.licensing.commands.possession import require_possession
from services.licensing.commands.telling import tell_of
from services.licensing.files import envelope, payload, signing, text
from services.licensing.store import certificates, files
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.certificates import StoredCertificate
from services.licensing.store.files import StoredFile
from services.projects.api import FILES

_log = structlog.get_logger(__name__)
_CONTENT_TYPES = {
    files.TEXT: "text/plain; charset=utf-8",
    files.PLAIN: "application/xml",
    files.ENCRYPTED: "application/xml",
}


class Recorded(AnswerSchema):
    """What the command of an issue keeps: the file is signed afterwards, and then it is the answer."""

    serial = fields.String(required=True)
    created = fields.Boolean(required=True)


@command(
    request=api.IssueLicenseFileRequest,
    answer=api.LicenseFile,
    needs=(needs.WRITE,),
    raises=(
        "devices.device_not_found",
        "access.power_needed",
        "licensing.device_rma",
        "licensing.nothing_to_issue",
        "licensing.version_needed",
        "licensing.never_encrypted",
        "licensing.no_certificate",
        "licensing.certificate_not_accepted",
        "licensing.confirmation_needed",
        "licensing.rule_violated",
        "licensing.paid_by_holder",
        "devices.possession_needed",
    ),
    emits=("license_file_issued", "certificate_accepted", "paid_device_used_elsewhere"),
)
def issue_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], devices: DevicesClient
) -> Shown:
    """Issue the current license file of a device, or give the same one again when nothing changed (LIC-5)."""
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], FILES)
    access.refuse_rma(device)
    accepted = request["accept_certificate"]
    wanted = Wanted(request["version"], request["encrypted"], request["confirm_no_return"], accepted)
    issue = Issue.of(actor, device, get_catalogue(database), wanted, keystore)
    recorded = run(database, call, request, issue, step=Recorded)
    issued = Issued(recorded["serial"], recorded["created"])
    if _never_signed(database, issued.serial, issue.revoked_kids):
        # Recorded under or for a key that was revoked before it was signed: the request goes on with the good one.
        issued = database.write(issue, call=call)
    return _given(complete(database, keystore, issued.serial), created=issued.created)


@query(
    request=api.GetLicenseFileRequest,
    answer=api.LicenseFile,
    needs=(needs.READ,),
    raises=(
        "licensing.file_not_found",
        "access.power_needed",
        "licensing.device_rma",
        "licensing.file_void",
        "devices.possession_needed",
    ),
)
def get_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], devices: DevicesClient
) -> Shown:
    """Give an issued file again, byte for byte."""
    file = database.read(lambda connection: files.find(connection, request["serial"]))
    missing = not_found("licensing.file_not_found", ERRORS["licensing.file_not_found"])
    if file is None:
        raise missing
    try:
        device = Device.of_answer(devices.get_device_facts(call, device_id=file.device_id))
    except ServiceError as error:
        if error.kind == "not_found":
            raise missing from error
        raise
    device.require(FILES)
    access.refuse_rma(device)
    if file.state != files.ACTIVE or file.kid in revoked_kids(keystore) or _is_for_revoked(database, file):
        raise conflict("licensing.file_void", ERRORS["licensing.file_void"])
    if file.form != files.ENCRYPTED:
        database.read(lambda connection: require_possession(connection, device, Actor.of(call)))
    return _given(complete(database, keystore, file.serial), created=False)


@command(
    request=api.FetchDeviceFileRequest,
    answer=api.DeviceFile,
    needs=(needs.DEVICE,),
    raises=(
        "devices.malformed_id",
        "devices.device_not_found",
        "access.power_needed",
        "licensing.device_rma",
        "licensing.no_certificate",
        "licensing.certificate_not_accepted",
        "licensing.rule_violated",
    ),
    emits=("license_file_issued", "license_file_fetched", "paid_device_used_elsewhere"),
)
def fetch_device_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], devices: DevicesClient
) -> dict[str, str | None]:
    """Give a device its current encrypted file; noted as fetched the first time (LIC-7).

    Asking again changes nothing, so it takes no command id.
    """
    actor = Actor.of(call)
    device = Device.of_answer(devices.find_device(call, hardware_id=request["hardware_id"]))
    device.require(FILES)
    access.refuse_rma(device)
    wanted = Wanted(FIRST_SIGNED_VERSION, encrypted=True)
    issue = Issue.of(actor, device, get_catalogue(database), wanted, keystore)
    serial = database.read(issue.unchanged)
    if serial is None:
        try:
            serial = database.write(issue, call=call).serial
        except ServiceError as error:
            if error.code == "licensing.nothing_to_issue":
                return _for_device("nothing")
            raise
    file = complete(database, keystore, serial)
    if file.fetched_at is None:
        database.write(lambda unit: _note_fetch(unit, file, actor, device), call=call)
    etag = f'"{serial}"'
    given = [tag.strip().removeprefix("W/") for tag in (request["etag"] or "").split(",")]
    return _for_device("current" if etag in given else "file", file, etag)


def complete(database: Database, keystore: KeyStore, serial: str) -> StoredFile:
    """Sign a recorded file unless that is done, store its bytes once, and return the stored row (rule L9).

    The bytes that were stored first count, whoever made them, so a file never has two forms.

    Raises: service.unavailable when its key was revoked a moment ago.
    """
    file = database.read(lambda connection: files.get(connection, serial))
    if file.signed_at is not None:
        return file
    fail_point("licensing.file.before_signing")
    try:
        signature, content = _make_content(database, keystore, file)
    except KeyStoreError as error:
        raise unavailable(detail="The key of the file was just revoked. Repeat the request.") from error
    digest = hashlib.sha256(content.encode()).hexdigest()
    _log.info("license_file_signed", serial=serial, kid=file.kid, payload=file.payload_digest)
    fail_point("licensing.file.after_signing")

    def store(unit: Unit) -> None:
        files.fill(unit.connection, serial, signature=signature, content=content, content_digest=digest, now=unit.now)

    database.write(store)
    return database.read(lambda connection: files.get(connection, serial))


def vendor_secret(key: Key) -> bytes:
    """Derive the secret of the text files' short keys from a key of its own purpose."""
    number = private(key).private_numbers().private_value.to_bytes(32, "big")
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"TESSERA TEXT LICENSE VENDOR|1").derive(number)


def text_lines(file: StoredFile) -> list[text.TextLine]:
    """Return the recorded lines of a text file."""
    return [text.TextLine(name, value) for name, value in json.loads(file.payload)]


def _given(file: StoredFile, *, created: bool) -> Shown:
    suffix = "txt" if file.form == files.TEXT else "xml"
    return shown(
        file,
        issued_at=file.recorded_at,
        filename=f"licenses-{file.hardware_id.replace('*', 'x')}-{file.counter}.{suffix}",
        content_type=_CONTENT_TYPES[file.form],
        created=created,
    )


def _for_device(state: str, file: StoredFile | None = None, etag: str | None = None) -> dict[str, str | None]:
    sent = file if state == "file" else None
    return {
        "state": state,
        "etag": etag,
        "serial": file.serial if file is not None else None,
        "content_type": _CONTENT_TYPES[sent.form] if sent is not None else None,
        "content": sent.content if sent is not None else None,
    }


def _never_signed(database: Database, serial: str, revoked_kids: Collection[str]) -> bool:
    file = database.read(lambda connection: files.get(connection, serial))
    return file.signed_at is None and (file.kid in revoked_kids or _is_for_revoked(database, file))


def _is_for_revoked(database: Database, file: StoredFile) -> bool:
    """Tell whether a file is encrypted to a key whose certificate was revoked: whoever stole that must not get it."""
    certificate = _recipient(database, file)
    return certificate is not None and certificate.state == certificates.REVOKED


def _recipient(database: Database, file: StoredFile) -> StoredCertificate | None:
    serial = file.certificate_serial
    return None if serial is None else database.read(lambda connection: certificates.get(connection, serial))


def _make_content(database: Database, keystore: KeyStore, file: StoredFile) -> tuple[bytes | None, str]:
    if file.form == files.TEXT:
        secret = vendor_secret(keystore.named(TEXT_KEY, file.kid))
        return None, text.write_text(text_lines(file), file.hardware_id, secret)
    signature = signing.sign(private(keystore.named(FILE_KEY, file.kid)), file.payload)
    recipient = _recipient(database, file)
    device_key = None if recipient is None else load_key(recipient.public_key)
    return signature, envelope.wrap(payload.decode(file.payload), file.payload, signature, device_key)


def _note_fetch(unit: Unit, file: StoredFile, actor: Actor, device: Device) -> None:
    if files.mark_fetched(unit.connection, file.serial, unit.now):
        data = {"serial": file.serial, "counter": file.counter}
        for company_id in device.concerned(actor):
            tell_of(unit, "license_file_fetched", device, data, company_id=company_id)
