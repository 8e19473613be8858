"""The part of licensing's audit about what stands beside the contents of files, returns and certificates (L18).

Each row is compared with the event of the very transaction that recorded it: whose, of which record, where, when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from services.chassis.data import aliases
from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, merged
from services.chassis.data.rows import columns_of, part_of
from services.chassis.fields import write_moment
from services.licensing.models import CertificateAcceptance, DeviceCertificate, LicenseFileRow, LicenseReturn


def check_issued(connection: Connection) -> list[Check]:
    """Return the checks of what is said of files, returns, certificates and of keys that companies accepted.

    Args:
        connection: of a snapshot.
    """
    makers = (_check_files, _check_returns, _check_certificates, _check_acceptances)
    return [maker(connection) for maker in makers]


def _check_files(connection: Connection) -> Check:
    """Every file was told with form, counter, company, record and project when it was recorded."""
    file, flaws = LicenseFileRow, Flaws()
    columns = (file.form, file.counter, file.company_id, file.device_id, file.project_id, file.recorded_at)
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, ("license_file_issued",)):
            with flaws.reading(f"event {row.id} about a file"):
                facts = [event.data["form"], event.data["counter"], event.companyid, event.deviceid, event.projectid]
                told.add(event.data["serial"], _fact(*facts, row.created_at))
        for row in stream(connection, sa.select(file.serial, *columns, file.expires_at)):
            stored.add(row.serial, _fact(*row[1:-1]))
            if row.expires_at is not None:
                # Licenses are paid for once and for all; nothing makes a file that ends.
                flaws.add(f"file {row.serial} ends at {_at(row.expires_at)}, and files do not end")
        _compare("file", stored, told, flaws)
        return Check("files are as they were told", stored.count, flaws.told())


def _check_returns(connection: Connection) -> Check:
    """Every return was told with its receipt, company, project and what was given back and kept."""
    given, flaws = LicenseReturn, Flaws()
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, ("licenses_returned",)):
            with flaws.reading(f"event {row.id} about a return"):
                data = event.data
                answer = {name: data[name] for name in ("serial", "receipt", "returned", "kept")}
                answer["hardware_id"] = event.hardwareid
                facts = [event.companyid, event.projectid, event.hardwareid, answer]
                told.add(data["serial"], _fact(data["receipt"], *facts, row.created_at))
        columns = (given.id, given.company_id, given.project_id, given.hardware_id, given.answer, given.returned_at)
        for row in stream(connection, sa.select(given.serial, *columns)):
            stored.add(row.serial, _fact(*row[1:]))
        _compare("return of the file", stored, told, flaws)
        return Check("returns are as they were told", stored.count, flaws.told())


@dataclass(frozen=True, slots=True)
class _Certificate:
    """A certificate, when the device's youngest was recorded, and whose the one is that it renews."""

    serial: str
    hardware_id: str
    company_id: str
    device_id: str
    recorded_at: datetime
    not_after: datetime
    state: str
    renews: str | None
    reason: str | None
    newest_at: datetime
    renewed_of: str | None


def _check_certificates(connection: Connection) -> Check:
    """Every certificate was told with company, record and end; the youngest of a device is its present one."""
    one, flaws = DeviceCertificate, Flaws()
    newest = sa.select(one.hardware_id, sa.func.max(one.recorded_at).label("at")).group_by(one.hardware_id).subquery()
    before = aliased(DeviceCertificate)
    renewed_of = sa.inspect(before).selectable.c.hardware_id
    statement = (
        sa.select(*columns_of(_Certificate, one.__table__, newest_at=newest.c.at, renewed_of=renewed_of))
        .join(newest, newest.c.hardware_id == one.hardware_id)
        .outerjoin(before, before.serial == one.renews)
    )
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, ("certificate_issued",)):
            with flaws.reading(f"event {row.id} about a certificate"):
                data = event.data
                facts = [event.companyid, event.deviceid, row.created_at, data["expires_at"]]
                told.add(data["serial"], _fact(*facts))
        for row in stream(connection, statement):
            stored.add(row.serial, _fact(row.company_id, row.device_id, row.recorded_at, write_moment(row.not_after)))
            for flaw in _state_flaws(part_of(row, _Certificate)):
                flaws.add(f"certificate {row.serial} of {row.hardware_id} {flaw}")
        _compare("certificate", stored, told, flaws)
        return Check("certificates say whose they are", stored.count, flaws.told())


def _state_flaws(row: _Certificate) -> Iterator[str]:
    is_newest = row.recorded_at == row.newest_at
    if row.state not in ("current", "superseded", "revoked") or (
        row.state != "revoked" and is_newest != (row.state == "current")
    ):
        yield f"is {row.state} and {'' if is_newest else 'not '}the device's youngest"
    if (row.state == "revoked") != (row.reason is not None):
        yield f"is {row.state} and has the reason {row.reason!r}"
    if row.renews is not None and (row.renewed_of != row.hardware_id or row.renews == row.serial):
        yield f"renews {row.renews}, which is none of the device's"


def _check_acceptances(connection: Connection) -> Check:
    """Every key that a company took for its device's is that of a certificate of this device (LIC-10)."""
    flaws, checked, taken, one = Flaws(), 0, CertificateAcceptance, DeviceCertificate
    same = sa.and_(one.serial == taken.serial, one.hardware_id == taken.hardware_id, one.key_digest == taken.key_digest)
    statement = sa.select(taken.company_id, taken.hardware_id, taken.serial, one.serial.label("found"))
    for row in stream(connection, statement.outerjoin(one, same)):
        checked += 1
        if row.found is None:
            flaws.add(
                f"company {row.company_id} accepted a key of {row.hardware_id} by the certificate {row.serial}, which "
                "is none of the device's with this key"
            )
    with Scratch() as told, Scratch() as stored:
        for noted, event in events(connection, ("certificate_accepted",)):
            with flaws.reading(f"event {noted.id} about an accepted key"):
                company_id = aliases.current(connection, str(event.companyid))
                said = (company_id, event.data["fingerprint"], event.data["serial"], event.actorid, noted.created_at)
                told.add(str(event.hardwareid), _fact(*said))
        for given in stream(connection, sa.select(taken.__table__)):
            company_id = aliases.current(connection, given.company_id)
            said = (company_id, given.key_digest, given.serial, given.accepted_by, given.accepted_at)
            stored.add(given.hardware_id, _fact(*said))
        for hardware_id, found, facts in merged(stored.items(), told.items()):
            for fact in sorted(set(found) - set(facts)):
                flaws.add(f"a key of {hardware_id} is noted as accepted, {fact}, and nobody was told so")
    return Check("accepted keys are of certificates", checked, flaws.told())


def _compare(what: str, stored: Scratch, told: Scratch, flaws: Flaws) -> None:
    for serial, found, facts in merged(stored.items(), told.items()):
        if not found:
            flaws.add(f"{what} {serial} was told and is not there")
        elif found[0] not in facts:
            flaws.add(f"{what} {serial} is {found[0]}, and was told as {facts[-1] if facts else None}")


def _fact(*values: object) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return json.dumps(plain, sort_keys=True)


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else "none"
