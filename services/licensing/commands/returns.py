"""Taking licenses back from a device that signed a return (LIC-8, rule L10)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, Row

from services.accounts.api import SCOPE_DEVICE, SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, invalid, not_found
from services.chassis.ids import new_id
from services.devices.api import DevicesClient, canonical_hardware_id
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.commands.device_lines import credited_project
from services.licensing.commands.naming import name_of, with_reasons
from services.licensing.commands.running import rehearse
from services.licensing.commands.telling import RETURNED, tell_payers
from services.licensing.domain.catalogue import DEVICE, GATEWAY, Catalogue
from services.licensing.files.errors import FormatError
from services.licensing.files.returns import DeviceReturn, read_return
from services.licensing.files.signing import verify
from services.licensing.store import certificates, files, ledger, lines
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import InstalledLine
from services.licensing.store.payers import payers, payers_of
from services.projects.api import FILES

COUNTER_LEAP = 1_000_000
"""So far above the highest issued counter a device is believed: each such leap costs it a file and a return."""


def return_licenses(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Take a return that a person uploads; it is credited to the project in which their record of the device is.

    Raises: licensing.return_malformed, .return_untrusted, .return_other_device, .return_certificate_revoked,
        .return_bad_signature, .return_certificate_superseded, .return_other_certificate, .return_other_company,
        .return_counter_too_high, .return_file_unknown, .return_not_encrypted, .return_newer_file, .return_file_void,
        .already_returned, .not_returnable, access.power_needed, devices.device_not_found.
    Emits: licenses_returned, return_refused, paid_device_used_elsewhere.
    """
    Actor.of(call).require_scope(SCOPE_WRITE)
    given = _read(request["xml"])
    return with_reasons(_take(database, call, given, devices, dry_run=request["dry_run"]))


def return_device_licenses(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """Take a return that the device itself delivers.

    Raises: as `return_licenses`, and accounts.scope_needed.
    Emits: licenses_returned, return_refused, paid_device_used_elsewhere.
    """
    Actor.of(call).require_scope(SCOPE_DEVICE)
    given = _read(request["xml"])
    if canonical_hardware_id(request["hardware_id"]) != given.device:
        raise invalid("licensing.return_other_device", ERRORS["licensing.return_other_device"])
    return with_reasons(_take(database, call, given, devices))


def _read(xml: str) -> DeviceReturn:
    try:
        return read_return(xml.encode("utf-8", "surrogatepass"))
    except FormatError as error:
        raise invalid("licensing.return_malformed", f"{error.detail} Upload the file as the device made it.") from error


def _take(
    database: Database, call: Call, given: DeviceReturn, devices: DevicesClient, *, dry_run: bool = False
) -> dict[str, Any]:
    request = {"signed": hashlib.sha256(given.signed).hexdigest(), "hardware_id": given.device}
    try:
        # The device first: whoever does not hold it learns nothing about its files.
        device = Device.of(devices.find_device(call, hardware_id=given.device))
        device.require(FILES)
        serial = database.read(lambda connection: _check_signature(connection, given))
    except ServiceError as refusal:
        # What was credited and whose answer got lost must never look refused: the device would install its file again.
        answer = None if dry_run or not refusal.is_final else database.answered(call, "return_licenses", request)
        if answer is None:
            raise
        return answer
    work = _Return(Actor.of(call), device, get_catalogue(database), given, serial)
    if dry_run:
        return {**rehearse(database, call, work), "receipt": None}
    answer = database.command(call, "return_licenses", request, work, on_refusal=work.note_refusal)
    assert answer is not None
    return answer


def _check_signature(connection: Connection, given: DeviceReturn) -> str:
    """Refuse a return that was not signed with the key of a certificate of this device; an expired one is good.

    Returns:
        The certificate's serial number. Whether its key still speaks for the device is looked at under the lock.
    """
    try:
        certificate = x509.load_der_x509_certificate(given.certificate)
        serial = f"{certificate.serial_number:x}"
    except (ValueError, x509.InvalidVersion) as error:
        raise invalid(
            "licensing.return_malformed",
            "The certificate in the return cannot be read. Upload the file as the device made it.",
        ) from error
    row = certificates.get(connection, serial)
    if row is None or row.certificate is None or _der(row.certificate) != given.certificate:
        raise invalid("licensing.return_untrusted", ERRORS["licensing.return_untrusted"])
    issuer = certificates.authority(connection, row.authority)
    assert issuer is not None
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(issuer.certificate.encode()))
    if row.hardware_id != given.device:
        raise invalid("licensing.return_other_device", ERRORS["licensing.return_other_device"])
    if row.state == certificates.REVOKED:
        raise conflict("licensing.return_certificate_revoked", ERRORS["licensing.return_certificate_revoked"])
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if not verify(key, given.signature, given.signed, one_form=False):
        raise invalid("licensing.return_bad_signature", ERRORS["licensing.return_bad_signature"])
    return serial


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


def superseded(connection: Connection, signer: Row[Any]) -> ServiceError:
    """Make the refusal of a return whose key no longer speaks for the device; it says which one does."""
    current = certificates.current(connection, signer.hardware_id)
    present = f"the key {current.key_digest}" if current is not None else "none"
    return conflict(
        "licensing.return_certificate_superseded",
        f"The return is signed with an earlier key of the device ({signer.key_digest}); the one that speaks for it now"
        f" is {present}. Make the return anew on the device; if it does not have that key, request a new certificate.",
        certificate=signer.serial,
        fingerprint=signer.key_digest,
        current_fingerprint=current.key_digest if current is not None else None,
    )


class _Return:
    """One return, as a unit of work that may run more than once."""

    def __init__(self, actor: Actor, device: Device, catalogue: Catalogue, given: DeviceReturn, signer: str) -> None:
        self.actor, self.device, self.catalogue, self.given = actor, device, catalogue, given
        self.signer = signer
        self.digest = hashlib.sha256(given.signed).hexdigest()

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """Check what is stored, credit what goes back, end the file."""
        connection, hardware_id = unit.connection, self.device.hardware_id
        access.lock(unit, self.actor, self.device, although_rma=True)
        highest = certificates.lock_hardware(connection, hardware_id)
        known = files.return_by_digest(connection, self.digest)
        if known is not None and _same_company(connection, known.company_id, self.device.company_id):
            # The same bytes under a new command id: the answer that they got (api.md).
            return dict(known.answer)
        file = self._check_file(connection)
        self._check_counter(highest)
        going, kept = self._sort(connection, file)
        if not going:
            raise conflict(
                "licensing.not_returnable", ERRORS["licensing.not_returnable"], **with_reasons({"kept": kept})
            )
        receipt = new_id()
        self._book(unit, going)
        files.mark_returned(connection, file.serial)
        files.make_void(connection, hardware_id, file.counter)
        self._remember_counter(connection, highest)
        answer = {
            "returned": [
                {**named, "project_id": self.device.project_id} for named in self._named((one, "") for one in going)
            ],
            "kept": kept,
            "receipt": receipt,
            "hardware_id": hardware_id,
            "serial": file.serial,
        }
        files.insert_return(
            connection,
            {
                "id": receipt,
                "serial": file.serial,
                "hardware_id": hardware_id,
                "company_id": self.device.company_id,
                "project_id": self.device.project_id,
                "signed_digest": self.digest,
                "document": (self.given.signature + self.given.signed).hex(),
                "answer": answer,
                "returned_at": unit.now,
            },
        )
        self._tell(unit, file, answer)
        tell_payers(
            unit,
            hardware_id,
            RETURNED,
            payers_of(connection, going),
            told=[*self.device.concerned(self.actor), *self.actor.company_ids],
            # Whose file it was has the device too: it sees that its licenses went, not who took them (rule S9).
            also=[file.company_id],
        )
        return answer

    def _check_file(self, connection: Connection) -> Row[Any]:
        """Refuse a file that cannot be given back, or not by this key and this company; returns its row."""
        file = files.get(connection, self.given.serial)
        if file is None or file.hardware_id != self.device.hardware_id or file.signed_at is None:
            raise not_found("licensing.return_file_unknown", ERRORS["licensing.return_file_unknown"])
        if self.given.counter < file.counter:
            # The device signs that it installs nothing up to this counter again: that must be true of the file itself.
            raise invalid(
                "licensing.return_malformed",
                f"The return gives up files up to the counter {self.given.counter}, and the file has {file.counter}: "
                "upload the return unchanged.",
            )
        if file.form != files.ENCRYPTED or file.kind != "license":
            raise _refusal("licensing.return_not_encrypted")
        if file.state == files.RETURNED:
            raise _refusal("licensing.already_returned")
        self._check_signer(connection, file)
        newest = files.newest(connection, self.device.hardware_id, (files.ENCRYPTED,))
        if newest is not None and newest.counter > file.counter:
            # Were it taken, the newer file could still be installed with the same licenses in it.
            raise _refusal("licensing.return_newer_file")
        if file.state == files.VOID:
            raise _refusal("licensing.return_file_void")
        self._check_company(connection, file)
        return file

    def _check_signer(self, connection: Connection, file: Row[Any]) -> None:
        """Refuse a signature that is not of the file's certificate or a later one, or of one that is over (LIC-8)."""
        signer = certificates.get(connection, self.signer)
        issued_to = certificates.get(connection, file.certificate_serial)
        assert signer is not None
        assert issued_to is not None
        if signer.state == certificates.REVOKED:
            raise _refusal("licensing.return_certificate_revoked")
        if signer.state != certificates.CURRENT:
            raise superseded(connection, signer)
        if signer.recorded_at < issued_to.recorded_at:
            raise conflict(
                "licensing.return_other_certificate",
                f"The file was issued to the device's certificate {issued_to.serial}, and the return is signed with"
                f" the earlier one {signer.serial}: let the device make the return anew with its present key.",
                certificate=signer.serial,
                issued_to=issued_to.serial,
            )

    def _check_company(self, connection: Connection, file: Row[Any]) -> None:
        """Refuse another company's file to a record that proves nothing, while somebody else has a stake in the device.

        A return says what the device gives up, not to whom: whoever got hold of it could deliver it as his own.
        """
        group = aliases.group(connection, aliases.current(connection, self.device.company_id))
        if file.company_id in group or self.device.proven:
            return
        others = set(payers(connection, self.device.hardware_id)) - set(group)
        if others or access.held_by_others(connection, self.device):
            raise _refusal("licensing.return_other_company")

    def _check_counter(self, highest: int) -> None:
        """Refuse a counter that no file of this device can have: a device must not use up all that there are."""
        limit = highest + COUNTER_LEAP
        if self.given.counter > limit:
            raise invalid(
                "licensing.return_counter_too_high",
                f"The return gives up files up to the counter {self.given.counter}; the highest that was issued for"
                f" the device is {highest}, and at most {limit} is believed. The device was given a file that is not of"
                " this portal: let the vendor look at it.",
                counter=self.given.counter,
                highest=highest,
                limit=limit,
            )

    def _remember_counter(self, connection: Connection, highest: int) -> None:
        """Let the next file have a counter above what the device says it had: it would refuse any other."""
        if highest < self.given.counter <= highest + COUNTER_LEAP:
            certificates.raise_floor(connection, self.device.hardware_id, self.given.counter)

    def _sort(self, connection: Connection, file: Row[Any]) -> tuple[list[InstalledLine], list[dict[str, Any]]]:
        installed = {line.id: line for line in lines.installed_lines(connection, self.device.hardware_id)}
        others = access.lines_of_present_others(connection, self.device, list(installed.values()))
        # A claim is no sale: what a company that has left paid for goes to whoever proves that he has the device.
        unproven = (
            set() if self.device.proven else access.lines_paid_by_others(connection, self.device, installed.values())
        )
        going: list[InstalledLine] = []
        kept: list[tuple[InstalledLine | Row[Any], str]] = []
        for part in files.lines_of(connection, file.serial):
            line = installed.get(part.line_id)
            reason = "not_on_device" if line is None else self._why_kept(line)
            if reason is None and part.line_id in others:
                reason = "other_company"
            if reason is None and part.line_id in unproven:
                reason = "possession_needed"
            if line is not None and reason is None:
                going.append(line)
            else:
                kept.append((line or part, reason or ""))
        return going, self._named(kept)

    def _why_kept(self, line: InstalledLine) -> str | None:
        license_type = self.catalogue.license_types.get(line.license_type)
        if line.file_issued == lines.PLAIN:
            return "downloaded_unencrypted"
        if license_type is None or license_type.category == DEVICE:
            return "warranty"
        if license_type.category == GATEWAY:
            return "gateway"
        return None if license_type.returnable else "not_returnable"

    def _named(self, parts: Any) -> list[dict[str, Any]]:
        sums: dict[tuple[str, str], int] = {}
        for line, reason in parts:
            key = (line.license_type, reason)
            sums[key] = sums.get(key, 0) + line.quantity
        return [
            {
                "license_type": license_type,
                "name": name_of(self.catalogue, license_type),
                "quantity": quantity,
                **({"reason": reason} if reason else {}),
            }
            for (license_type, reason), quantity in sorted(sums.items())
        ]

    def _book(self, unit: Unit, going: Sequence[InstalledLine]) -> None:
        source = ledger.device_pool(self.device.hardware_id)
        target = ledger.project_pool(self.device.project_id)
        credited_project(unit, self.device)
        # The transfer's id comes from the file, so that a second return of it cannot even be booked (rule L10).
        transfer_id = f"return:{self.given.serial}"
        entries = [Entry(source, line.license_type, -line.quantity) for line in going]
        entries += [Entry(target, line.license_type, line.quantity) for line in going]
        ledger.post(unit, transfer_id, "return", entries, company_id=self.device.company_id)
        ended = lines.end(
            unit.connection,
            [line.id for line in going],
            state=lines.RETURNED,
            now=unit.now,
            transfer_id=transfer_id,
        )
        if ended != len(going):
            raise RuntimeError(f"{len(going)} lines were to be returned, {ended} were on the device.")

    def _tell(self, unit: Unit, file: Row[Any], answer: Mapping[str, Any]) -> None:
        data = {
            "serial": file.serial,
            "receipt": answer["receipt"],
            "returned": answer["returned"],
            "kept": answer["kept"],
        }
        for company_id in self.device.concerned(self.actor):
            self._emit(unit, "licenses_returned", company_id, data)

    def note_refusal(self, unit: Unit, refusal: ServiceError) -> None:
        """Write a refused return into the history; a file that the device gave up in vain is made anew next time."""
        if refusal.code == "licensing.not_returnable":
            files.make_void_one(unit.connection, self.given.serial)
        # What the device says about its counter is true whatever became of its file, such as after a restore.
        highest = certificates.lock_hardware(unit.connection, self.device.hardware_id)
        signer = certificates.get(unit.connection, self.signer)
        if signer is not None and signer.state == certificates.CURRENT:
            self._remember_counter(unit.connection, highest)
        data = {"serial": self.given.serial, "code": refusal.code}
        self._emit(unit, "return_refused", self.device.company_id, data)

    def _emit(self, unit: Unit, type: str, company_id: str, data: Mapping[str, Any]) -> None:
        own = company_id == self.device.company_id
        unit.emit(
            type,
            subject=self.device.hardware_id,
            data=data,
            company_id=company_id,
            project_id=self.device.project_id if own else None,
            device_id=self.device.device_id if own else None,
            hardware_id=self.device.hardware_id,
        )


def _same_company(connection: Connection, one: str, other: str) -> bool:
    """Tell whether two ids stand for one company, because one of them imported the other."""
    return aliases.current(connection, one) == aliases.current(connection, other)


def _refusal(code: str) -> ServiceError:
    return conflict(code, ERRORS[code])
