"""Deciding on one license file: which lines, in which form, for which key, and whether the present file still fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

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


class Issue:
    """One issue of a file, as a unit of work that may run more than once."""

    def __init__(self, actor: Actor, device: Device, catalogue: Catalogue, wanted: Wanted, keystore: KeyStore) -> None:
        self.actor, self.device, self.catalogue, self.wanted = actor, device, catalogue, wanted
        # Key files are read here and not in the transaction.
        self.revoked_kids = revoked_kids(keystore)
        self.file_kid = keystore.active(FILE_KEY, "ES256").kid
        self.text_kid = keystore.active(TEXT_KEY, "ES256").kid

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """Decide, record what will be signed, close the latches, tell the companies."""
        access.lock(unit, self.actor, self.device)
        counter = certificates.lock_hardware(unit.connection, self.device.hardware_id)
        if self.wanted.accepted is not None:
            accept(unit, self.device, self.actor, self.wanted.accepted)
        chosen, form, certificate = self._choose(unit.connection)
        if form != files.ENCRYPTED:
            require_possession(unit.connection, self.device, self.actor)
        if form == files.PLAIN:
            refuse_lines_of_others(unit.connection, self.device, {line.id for line in chosen})
        current = self._current(unit.connection, chosen, form, certificate)
        if current is not None:
            return {"serial": current, "created": False}
        counter = max(counter, certificates.floor(unit.connection, self.device.hardware_id)) + 1
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
        if is_overtaken(connection, newest, self.revoked_kids):
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
            emit(unit, "license_file_issued", self.device, company_id, data)
        what = telling.DOWNLOADED_PLAIN if form == files.PLAIN else telling.FILED
        telling.tell_payers_of(unit, self.actor, self.device, what)


def is_overtaken(connection: Connection, file: Row[Any], revoked: Collection[str]) -> bool:
    """Tell whether no device takes a file any more: its signing key was revoked, or the device has a higher counter."""
    if file.kid in revoked:
        return True
    return bool(file.form != files.TEXT and file.counter <= certificates.floor(connection, file.hardware_id))


def _added_up(chosen: Sequence[FileLine]) -> dict[tuple[int, str, str], int]:
    sums: dict[tuple[int, str, str], int] = {}
    for line in chosen:
        key = (line.version, line.license_type, line.name)
        sums[key] = sums.get(key, 0) + line.quantity
    return sums


def emit(unit: Unit, type: str, device: Device, company_id: str, data: Mapping[str, Any]) -> None:
    """Emit an event about a device as one company's record of it."""
    unit.emit(
        type,
        subject=device.hardware_id,
        data=data,
        company_id=company_id,
        project_id=device.project_id,
        device_id=device.device_id,
        hardware_id=device.hardware_id,
    )
