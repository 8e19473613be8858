"""Issuing license files: recorded first, signed afterwards, stored once (LIC-5, LIC-7, LIC-11, rule L9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, Row

from services.accounts.api import SCOPE_DEVICE, SCOPE_WRITE, Actor
from services.chassis import aliases
from services.chassis.context import Call
from services.chassis.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, not_found
from services.chassis.faults import fail_point
from services.chassis.ids import new_id
from services.chassis.keystore import KeyStore
from services.devices.api import DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.files import ERRORS, FIRST_SIGNED_VERSION
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY, private
from services.licensing.commands.certificates import load_key
from services.licensing.commands.naming import refuse_inconsistent
from services.licensing.domain.catalogue import Catalogue
from services.licensing.files import envelope, payload, signing, text
from services.licensing.store import certificates, files, ledger, lines
from services.licensing.store.catalogue import get_catalogue
from services.projects.api import FILES

_log = structlog.get_logger(__name__)
_CONTENT_TYPES = {
    files.TEXT: "text/plain; charset=utf-8",
    files.PLAIN: "application/xml",
    files.ENCRYPTED: "application/xml",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file of a device is wanted.

    Args:
        version: names the family where the device has both.
        encrypted: to the device's certificate.
        confirmed: whether it is understood that a plain file ends the right to return.
    """

    version: int | None
    encrypted: bool
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line on the device that goes into a file."""

    id: str
    version: int
    license_type: str
    name: str
    quantity: int


def issue_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Issue the current license file of a device, or give the same one again when nothing changed.

    Raises: projects.power_needed, licensing.device_rma, .nothing_to_issue, .version_needed, .never_encrypted,
        .no_certificate, .confirmation_needed, .rule_violated.
    Emits: license_file_issued.
    """
    Actor.of(call).require_scope(SCOPE_WRITE)
    device = access.get_device(call, devices, request["device_id"], FILES)
    access.refuse_rma(device)
    wanted = Wanted(request["version"], request["encrypted"], request["confirm_no_return"])
    issue = _Issue(Actor.of(call), device, get_catalogue(database), wanted, keystore)
    answer = database.command(call, "issue_license_file", request, issue)
    assert answer is not None
    return {**describe(complete(database, keystore, answer["serial"])), "created": answer["created"]}


def get_license_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Give an issued file again, byte for byte.

    Raises: licensing.file_not_found, .device_rma, .file_void, projects.power_needed.
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
    access.require_power(device.powers, FILES)
    access.refuse_rma(device)
    if row.state != files.ACTIVE:
        raise conflict("licensing.file_void", ERRORS["licensing.file_void"])
    return {**describe(complete(database, keystore, serial)), "created": False}


def fetch_device_file(
    database: Database, keystore: KeyStore, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Give a device its current encrypted file; noted as fetched the first time.

    Raises: accounts.scope_needed, projects.power_needed, .device_rma, .no_certificate, .rule_violated.
    Emits: license_file_issued, license_file_fetched.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_DEVICE)
    device = Device.of(devices.find_device(call, hardware_id=request["hardware_id"]))
    access.require_power(device.powers, FILES)
    access.refuse_rma(device)
    catalogue = get_catalogue(database)
    issue = _Issue(actor, device, catalogue, Wanted(FIRST_SIGNED_VERSION, encrypted=True), keystore)
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
    """
    row = database.read(lambda connection: files.get(connection, serial))
    assert row is not None
    if row.signed_at is not None:
        return row
    fail_point("licensing.file.before_signing")
    signature, content = _make_content(database, keystore, row)
    digest = hashlib.sha256(content.encode()).hexdigest()
    _log.info("license_file_signed", serial=serial, kid=row.kid, payload=row.payload_digest)
    fail_point("licensing.file.after_signing")

    def store(unit: Unit) -> None:
        files.fill(unit.connection, serial, signature=signature, content=content, content_digest=digest, now=unit.now)

    database.write(store)
    row = database.read(lambda connection: files.get(connection, serial))
    assert row is not None
    return row


def vendor_secret(keystore: KeyStore, kid: str) -> bytes:
    """Derive the secret of the text files' short keys from a key of its own purpose."""
    number = private(keystore.named(TEXT_KEY, kid)).private_numbers().private_value.to_bytes(32, "big")
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
        "issued_at": payload.write_time(row.recorded_at),
        "filename": f"licenses-{row.hardware_id.replace('*', 'x')}-{row.counter}.{suffix}",
        "content_type": _CONTENT_TYPES[row.form],
        "content": row.content,
    }


class _Issue:
    """One issue of a file, as a unit of work that may run more than once."""

    def __init__(self, actor: Actor, device: Device, catalogue: Catalogue, wanted: Wanted, keystore: KeyStore) -> None:
        self.actor, self.device, self.catalogue, self.wanted = actor, device, catalogue, wanted
        # Key files are read here and not in the transaction.
        self.file_kid = keystore.active(FILE_KEY, "ES256").kid
        self.text_kid = keystore.active(TEXT_KEY, "ES256").kid

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """Decide, record what will be signed, close the latches, tell the companies."""
        ledger.lock_device(unit, self.device.hardware_id)
        counter = certificates.lock_hardware(unit.connection, self.device.hardware_id)
        chosen, form, certificate = self._choose(unit.connection)
        current = self._current(unit.connection, chosen, form, certificate)
        if current is not None:
            return {"serial": current, "created": False}
        counter += 1
        certificates.set_counter(unit.connection, self.device.hardware_id, counter)
        serial = new_id()
        self._record(unit, serial, counter, chosen, form, certificate)
        lines.latch_files(unit.connection, [line.id for line in chosen], plain=form != files.ENCRYPTED)
        self._tell(unit, serial, counter, chosen, form)
        return {"serial": serial, "created": True}

    def unchanged(self, connection: Connection) -> str | None:
        """Return the serial number of the present file if nothing has changed, without locking anything."""
        try:
            chosen, form, certificate = self._choose(connection)
        except ServiceError:
            return None
        return self._current(connection, chosen, form, certificate)

    def _choose(self, connection: Connection) -> tuple[list[FileLine], str, Row[Any] | None]:
        installed = []
        for line in lines.installed_lines(connection, self.device.hardware_id):
            license_type = self.catalogue.license_types.get(line.license_type)
            if license_type is not None and license_type.version is not None:
                installed.append(
                    FileLine(line.id, license_type.version, license_type.id, license_type.name, line.quantity)
                )
        texts = [line for line in installed if line.version < FIRST_SIGNED_VERSION]
        signed = [line for line in installed if line.version >= FIRST_SIGNED_VERSION]
        version = self.wanted.version
        if version is None:
            if texts and signed:
                versions = sorted({line.version for line in installed})
                raise conflict("licensing.version_needed", ERRORS["licensing.version_needed"], versions=versions)
            version = FIRST_SIGNED_VERSION if signed else min((line.version for line in texts), default=0)
        chosen = signed if version >= FIRST_SIGNED_VERSION else texts
        if not chosen:
            raise conflict("licensing.nothing_to_issue", ERRORS["licensing.nothing_to_issue"])
        refuse_inconsistent(self.catalogue, {license_type: n for (_, license_type, _), n in _added_up(chosen).items()})
        return chosen, *self._form(connection, version)

    def _form(self, connection: Connection, version: int) -> tuple[str, Row[Any] | None]:
        if version < FIRST_SIGNED_VERSION:
            if self.wanted.encrypted:
                raise conflict("licensing.never_encrypted", ERRORS["licensing.never_encrypted"])
            return files.TEXT, None
        if not self.wanted.encrypted:
            if not self.wanted.confirmed:
                raise conflict("licensing.confirmation_needed", ERRORS["licensing.confirmation_needed"])
            return files.PLAIN, None
        certificate = certificates.current(connection, self.device.hardware_id)
        if certificate is None or certificate.signed_at is None:
            raise conflict("licensing.no_certificate", ERRORS["licensing.no_certificate"])
        return files.ENCRYPTED, certificate

    def _digest(self, chosen: Sequence[FileLine], form: str, certificate: Row[Any] | None, company_id: str) -> str:
        """Digest what a file depends on; the signing key is not in it, so a rotation alone makes no new files."""
        facts = {
            "form": form,
            "device": self.device.hardware_id,
            "company": company_id,
            "certificate": certificate.serial if certificate is not None else None,
            "lines": sorted([line.id, line.license_type, line.name, line.quantity] for line in chosen),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _current(
        self, connection: Connection, chosen: Sequence[FileLine], form: str, certificate: Row[Any] | None
    ) -> str | None:
        family = (files.TEXT,) if form == files.TEXT else files.SIGNED_FORMS
        newest = files.newest(connection, self.device.hardware_id, family)
        if newest is None or newest.state != files.ACTIVE or newest.form != form:
            return None
        # The record of the device may be a new one since (deleted and added again); a file belongs to one record.
        same_record = newest.device_id == self.device.device_id
        # An import changes whose the record is, and nothing on the device: its file stays good.
        company_ids = aliases.group(connection, self.device.company_id)
        digests = [self._digest(chosen, form, certificate, company_id) for company_id in company_ids]
        return newest.serial if same_record and newest.lines_digest in digests else None

    def _record(
        self,
        unit: Unit,
        serial: str,
        counter: int,
        chosen: Sequence[FileLine],
        form: str,
        certificate: Row[Any] | None,
    ) -> None:
        kid = self.text_kid if form == files.TEXT else self.file_kid
        if form == files.TEXT:
            rows = sorted((name, value) for (_, _, name), value in _added_up(chosen).items())
            signed = json.dumps(rows, separators=(",", ":")).encode()
        else:
            signed = payload.encode(self._payload(unit, serial, counter, chosen, form))
        values = {
            "serial": serial,
            "hardware_id": self.device.hardware_id,
            "counter": counter,
            "company_id": self.device.company_id,
            "device_id": self.device.device_id,
            "project_id": self.device.project_id,
            "form": form,
            "kind": "license",
            "lines_digest": self._digest(chosen, form, certificate, self.device.company_id),
            "kid": kid,
            "certificate_serial": certificate.serial if certificate is not None else None,
            "payload": signed,
            "payload_digest": hashlib.sha256(signed).hexdigest(),
            "recorded_at": unit.now,
            "state": files.ACTIVE,
        }
        parts = [{"line_id": one.id, "license_type": one.license_type, "quantity": one.quantity} for one in chosen]
        files.insert(unit.connection, values, parts)

    def _payload(self, unit: Unit, serial: str, counter: int, chosen: Sequence[FileLine], form: str) -> payload.Payload:
        return payload.Payload(
            key=self.file_kid,
            serial=serial,
            company=self.device.company_id,
            device=self.device.hardware_id,
            counter=counter,
            issued_at=unit.now.replace(microsecond=0),
            expires_at=None,
            kind="license",
            form=form,
            lines=tuple(
                sorted(
                    payload.LicenseLine(version, license_type, quantity, name)
                    for (version, license_type, name), quantity in _added_up(chosen).items()
                )
            ),
        )

    def _tell(self, unit: Unit, serial: str, counter: int, chosen: Sequence[FileLine], form: str) -> None:
        licenses = [
            {"license_type": license_type, "name": name, "quantity": quantity}
            for (_, license_type, name), quantity in sorted(_added_up(chosen).items())
        ]
        data = {"serial": serial, "form": form, "counter": counter, "licenses": licenses}
        for company_id in self.device.concerned(self.actor):
            _emit(unit, "license_file_issued", self.device, company_id, data)


def _added_up(chosen: Sequence[FileLine]) -> dict[tuple[int, str, str], int]:
    sums: dict[tuple[int, str, str], int] = {}
    for line in chosen:
        key = (line.version, line.license_type, line.name)
        sums[key] = sums.get(key, 0) + line.quantity
    return sums


def _make_content(database: Database, keystore: KeyStore, row: Row[Any]) -> tuple[bytes | None, str]:
    if row.form == files.TEXT:
        return None, text.write_text(text_lines(row), row.hardware_id, vendor_secret(keystore, row.kid))
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
            _emit(unit, "license_file_fetched", device, company_id, data)


def _emit(unit: Unit, type: str, device: Device, company_id: str, data: Mapping[str, Any]) -> None:
    unit.emit(
        type,
        subject=device.hardware_id,
        data=data,
        company_id=company_id,
        project_id=device.project_id,
        device_id=device.device_id,
        hardware_id=device.hardware_id,
    )
