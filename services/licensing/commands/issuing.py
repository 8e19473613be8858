"""Deciding on one license file: which lines, in which form, for which key, and whether the present file still fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from services.accounts.api import Actor
from services.chassis.data import aliases
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, conflict
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.api.files import FIRST_SIGNED_VERSION
from services.licensing.commands import telling
from services.licensing.commands.acceptance import accept, require_accepted
from services.licensing.commands.authority import FILE_KEY, TEXT_KEY, revoked_kids
from services.licensing.commands.naming import refuse_inconsistent
from services.licensing.commands.possession import refuse_lines_of_others, require_possession
from services.licensing.domain.catalogue import Catalogue
from services.licensing.files import payload
from services.licensing.store import certificates, files, lines
from services.licensing.store.certificates import StoredCertificate
from services.licensing.store.files import FiledLine, StoredFile


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file of a device is wanted.

    Args:
        version: names the family where the device has both.
        encrypted: to the device's certificate.
        confirmed: whether it is understood that a plain file ends the right to return.
        accepted: fingerprint of the key that the company takes for the device's.
    """

    version: int | None
    encrypted: bool
    confirmed: bool = False
    accepted: str | None = None


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line on the device that goes into a file."""

    id: str
    version: int
    license_type: str
    name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes into a file, in which form, and for which key where it is encrypted."""

    lines: Sequence[FileLine]
    form: str
    certificate: StoredCertificate | None

    def sums(self) -> dict[tuple[int, str, str], int]:
        """Return the quantities by version, license type and name."""
        return _added_up(self.lines)

    def digest(self, device: Device, company_id: str) -> str:
        """Digest what a file depends on; the signing key is not in it, so a rotation alone makes no new files."""
        facts = {
            "form": self.form,
            "device": device.hardware_id,
            "company": company_id,
            "certificate": self.certificate.serial if self.certificate is not None else None,
            "lines": sorted([line.id, line.license_type, line.name, line.quantity] for line in self.lines),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Issued:
    """The device's present file; `created` is false when it is the one of before."""

    serial: str
    created: bool


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of a file, as a unit of work that may run more than once.

    Args:
        revoked_kids: signing keys whose files are made anew.
        file_kid, text_kid: ids of the keys that sign now.
    """

    actor: Actor
    device: Device
    catalogue: Catalogue
    wanted: Wanted
    revoked_kids: frozenset[str]
    file_kid: str
    text_kid: str

    @classmethod
    def of(cls, actor: Actor, device: Device, catalogue: Catalogue, wanted: Wanted, keystore: KeyStore) -> Self:
        """Return the issue of a file; key files are read here and not in the transaction."""
        kids = (keystore.active(purpose, "ES256").kid for purpose in (FILE_KEY, TEXT_KEY))
        return cls(actor, device, catalogue, wanted, revoked_kids(keystore), *kids)

    def __call__(self, unit: Unit) -> Issued:
        """Decide, record what will be signed, close the latches, tell the companies."""
        access.lock(unit, self.actor, self.device)
        counter = certificates.lock_hardware(unit.connection, self.device.hardware_id)
        if self.wanted.accepted is not None:
            accept(unit, self.device, self.actor, self.wanted.accepted)
        chosen = self._choose(unit.connection)
        line_ids = {line.id for line in chosen.lines}
        if chosen.form != files.ENCRYPTED:
            require_possession(unit.connection, self.device, self.actor)
        if chosen.form == files.PLAIN:
            refuse_lines_of_others(unit.connection, self.device, line_ids)
        current = self._current(unit.connection, chosen)
        if current is not None:
            return Issued(current, created=False)
        counter = max(counter, certificates.floor(unit.connection, self.device.hardware_id)) + 1
        certificates.set_counter(unit.connection, self.device.hardware_id, counter)
        file = self._file(unit, counter, chosen)
        parts = [FiledLine(file.serial, line.id, line.license_type, line.quantity) for line in chosen.lines]
        files.insert(unit.connection, file, parts)
        lines.latch_files(unit.connection, line_ids, plain=chosen.form != files.ENCRYPTED)
        self._tell(unit, file, chosen)
        return Issued(file.serial, created=True)

    def unchanged(self, connection: Connection) -> str | None:
        """Return the serial number of the present file if nothing has changed, without locking anything."""
        try:
            chosen = self._choose(connection)
        except ServiceError:
            return None
        return self._current(connection, chosen)

    def _choose(self, connection: Connection) -> Choice:
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
        return Choice(chosen, *self._form(connection, version))

    def _form(self, connection: Connection, version: int) -> tuple[str, StoredCertificate | None]:
        if version < FIRST_SIGNED_VERSION:
            if self.wanted.encrypted:
                raise conflict("licensing.never_encrypted", ERRORS["licensing.never_encrypted"])
            return files.TEXT, None
        if not self.wanted.encrypted:
            # First what no confirmation opens, so that nobody confirms for nothing.
            require_possession(connection, self.device, self.actor)
            if not self.wanted.confirmed:
                raise conflict("licensing.confirmation_needed", ERRORS["licensing.confirmation_needed"])
            return files.PLAIN, None
        certificate = certificates.current(connection, self.device.hardware_id)
        if certificate is None or certificate.signed_at is None:
            raise conflict("licensing.no_certificate", ERRORS["licensing.no_certificate"])
        require_accepted(connection, self.device, certificate)
        return files.ENCRYPTED, certificate

    def _current(self, connection: Connection, chosen: Choice) -> str | None:
        family = (files.TEXT,) if chosen.form == files.TEXT else files.SIGNED_FORMS
        newest = files.newest(connection, self.device.hardware_id, family)
        if newest is None or newest.state != files.ACTIVE or newest.form != chosen.form:
            return None
        if is_overtaken(connection, newest, self.revoked_kids):
            return None
        # The record of the device may be a new one since (deleted and added again); a file belongs to one record.
        same_record = newest.device_id == self.device.device_id
        # An import changes whose the record is, and nothing on the device: its file stays good.
        company_ids = aliases.group(connection, self.device.company_id)
        digests = [chosen.digest(self.device, company_id) for company_id in company_ids]
        return newest.serial if same_record and newest.lines_digest in digests else None

    def _file(self, unit: Unit, counter: int, chosen: Choice) -> StoredFile:
        serial = new_id()
        if chosen.form == files.TEXT:
            rows = sorted((name, value) for (_, _, name), value in chosen.sums().items())
            signed = json.dumps(rows, separators=(",", ":")).encode()
        else:
            signed = payload.encode(self._payload(unit, serial, counter, chosen))
        return StoredFile(
            serial=serial,
            hardware_id=self.device.hardware_id,
            counter=counter,
            company_id=self.device.company_id,
            device_id=self.device.device_id,
            project_id=self.device.project_id,
            form=chosen.form,
            kind="license",
            lines_digest=chosen.digest(self.device, self.device.company_id),
            kid=self.text_kid if chosen.form == files.TEXT else self.file_kid,
            certificate_serial=chosen.certificate.serial if chosen.certificate is not None else None,
            payload=signed,
            payload_digest=hashlib.sha256(signed).hexdigest(),
            recorded_at=unit.now,
            state=files.ACTIVE,
        )

    def _payload(self, unit: Unit, serial: str, counter: int, chosen: Choice) -> payload.Payload:
        return payload.Payload(
            key=self.file_kid,
            serial=serial,
            company=self.device.company_id,
            device=self.device.hardware_id,
            counter=counter,
            issued_at=unit.now.replace(microsecond=0),
            expires_at=None,
            kind="license",
            form=chosen.form,
            lines=tuple(
                sorted(
                    payload.LicenseLine(version, license_type, quantity, name)
                    for (version, license_type, name), quantity in chosen.sums().items()
                )
            ),
        )

    def _tell(self, unit: Unit, file: StoredFile, chosen: Choice) -> None:
        licenses = [
            {"license_type": license_type, "name": name, "quantity": quantity}
            for (_, license_type, name), quantity in sorted(chosen.sums().items())
        ]
        data = {"serial": file.serial, "form": file.form, "counter": file.counter, "licenses": licenses}
        for company_id in self.device.concerned(self.actor):
            telling.tell_of(unit, "license_file_issued", self.device, data, company_id=company_id)
        what = telling.DOWNLOADED_PLAIN if file.form == files.PLAIN else telling.FILED
        telling.tell_payers_of(unit, self.actor, self.device, what)


def is_overtaken(connection: Connection, file: StoredFile, revoked: Collection[str]) -> bool:
    """Tell whether no device takes a file any more: its signing key was revoked, or the device has a higher counter."""
    if file.kid in revoked:
        return True
    return file.form != files.TEXT and file.counter <= certificates.floor(connection, file.hardware_id)


def _added_up(chosen: Sequence[FileLine]) -> dict[tuple[int, str, str], int]:
    sums: dict[tuple[int, str, str], int] = {}
    for line in chosen:
        key = (line.version, line.license_type, line.name)
        sums[key] = sums.get(key, 0) + line.quantity
    return sums
