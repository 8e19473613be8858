"""For which keys of a device a company has files encrypted: its own, what renewed them, and those it accepted (LIC-10).

Whoever holds a device's key reads the files that are encrypted to it, and returns what is in them. So a company that
did not have the key certified compares its fingerprint with the one that the device shows, once per key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from services.accounts.api import Actor
from services.chassis.data import aliases
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, conflict
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.commands.telling import tell_of
from services.licensing.store import acceptances, certificates
from services.licensing.store.acceptances import Acceptance
from services.licensing.store.certificates import StoredCertificate
from services.projects.api import REQUEST_CERTIFICATE

OWN, ACCEPTED, NEEDED = "own", "accepted", "needed"


def standings(connection: Connection, device: Device) -> Mapping[str, str]:
    """Return for each certificate of a device how it stands with the company: `own`, `accepted` or `needed`."""
    rows = {row.serial: row for row in certificates.of_device(connection, device.hardware_id)}
    group = aliases.group_today(connection, device.company_id)
    taken = acceptances.accepted(connection, group, device.hardware_id)
    return {serial: _standing(rows, row, group, taken) for serial, row in rows.items()}


def require_accepted(connection: Connection, device: Device, certificate: StoredCertificate) -> None:
    """Refuse to encrypt to a key that the company neither had certified nor accepted.

    Raises: licensing.certificate_not_accepted.
    """
    if standings(connection, device).get(certificate.serial, NEEDED) == NEEDED:
        raise _not_accepted(certificate)


def accept(unit: Unit, device: Device, actor: Actor, fingerprint: str) -> None:
    """Take the present key of a device for the device's own, by its fingerprint; remembered for the company.

    A guest of the project does so only where he could have requested the certificate himself.

    Raises: licensing.no_certificate, licensing.certificate_not_accepted, access.power_needed.
    Emits: certificate_accepted.
    """
    connection = unit.connection
    certificate = certificates.current(connection, device.hardware_id)
    if certificate is None or certificate.signed_at is None:
        raise conflict("licensing.no_certificate", ERRORS["licensing.no_certificate"])
    if fingerprint != certificate.key_digest:
        raise _not_accepted(certificate, given=fingerprint)
    if standings(connection, device)[certificate.serial] != NEEDED:
        return
    if not actor.owns(device.company_id):
        device.require(REQUEST_CERTIFICATE)
    acceptance = Acceptance(
        # Held until the transaction ends, so that nothing is stored under a company that is just imported.
        company_id=aliases.share(connection, device.company_id),
        hardware_id=device.hardware_id,
        key_digest=fingerprint,
        serial=certificate.serial,
        accepted_by=actor.user_id,
        accepted_at=unit.now,
    )
    if acceptances.insert(connection, acceptance):
        data = {"serial": certificate.serial, "fingerprint": fingerprint}
        for company_id in device.concerned(actor):
            tell_of(unit, "certificate_accepted", device, data, company_id=company_id)


def _standing(
    rows: Mapping[str, StoredCertificate], row: StoredCertificate, group: Collection[str], taken: Collection[str]
) -> str:
    if row.key_digest in taken:
        return ACCEPTED
    renewed: StoredCertificate | None = row
    while renewed is not None:
        if renewed.company_id in group:
            return OWN
        renewed = rows.get(renewed.renews) if renewed.renews else None
    return NEEDED


def _not_accepted(certificate: StoredCertificate, *, given: str | None = None) -> ServiceError:
    requested_on = certificate.recorded_at.date().isoformat()
    differs = f"{given} is not the fingerprint of the device's key. " if given else ""
    return conflict(
        "licensing.certificate_not_accepted",
        f"{differs}The device's key {certificate.key_digest} was certified on {requested_on}, and not for your company."
        " Compare it with the fingerprint that the device shows; if they are the same, ask once for an encrypted file"
        " with it as `accept_certificate` (POST /v1/devices/{id}/license-files), else ask the vendor.",
        fingerprint=certificate.key_digest,
        serial=certificate.serial,
        requested_on=requested_on,
    )
