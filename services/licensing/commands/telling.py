"""Who is told of what is done with a device: whose record it is, and who paid for what is on it (DEV-15, rule S9)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.accounts.api import Actor
from services.chassis.data import aliases
from services.chassis.data.db import Unit
from services.licensing.access import Device
from services.licensing.store.certificates import StoredCertificate
from services.licensing.store.payers import Paid, names, payers

ADDED, FILED, DOWNLOADED_PLAIN, RETURNED = "added", "filed", "downloaded_plain", "returned"
CERTIFIED, REVOKED, PROVEN = "certified", "revoked", "proven"


def tell_of(
    unit: Unit, type: str, device: Device, data: Mapping[str, object], *, company_id: str | None = None
) -> None:
    """Tell of a device's record the company that has it, or another one that is concerned.

    Args:
        unit: the transaction in which it is done.
        type: of the event.
        device: with which it is done.
        data: of the event.
        company_id: whom to tell instead.
    """
    unit.emit(
        type,
        subject=device.hardware_id,
        data=data,
        company_id=company_id or device.company_id,
        project_id=device.project_id,
        device_id=device.device_id,
        hardware_id=device.hardware_id,
    )


def tell_revoked(unit: Unit, certificate: StoredCertificate, reason: str, *, anonymous: bool = False) -> None:
    """Tell the company that has a certificate, or imported the one that had, that it is revoked.

    Args:
        unit: the transaction in which it is done.
        certificate: as it was before.
        reason: one sentence.
        anonymous: never tell who did it.

    Emits: certificate_revoked.
    """
    unit.emit(
        "certificate_revoked",
        subject=certificate.hardware_id,
        data={"serial": certificate.serial, "reason": reason},
        company_id=aliases.current(unit.connection, certificate.company_id),
        device_id=certificate.device_id,
        hardware_id=certificate.hardware_id,
        anonymous=anonymous,
    )


def tell_payers_of(unit: Unit, actor: Actor, device: Device, what: str, *, also: Collection[str] = ()) -> None:
    """Tell who paid for what is on a device, and is not told as one of those who did it, what was done with it.

    Args:
        unit: the transaction in which it is done.
        actor: who does it.
        device: with which it is done.
        what: one of the words above.
        also: companies to tell though they paid for nothing.

    Emits: paid_device_used_elsewhere.
    """
    told = [*device.concerned(actor), *actor.company_ids]
    tell_payers(unit, device.hardware_id, what, payers(unit.connection, device.hardware_id), told=told, also=also)


def tell_payers(
    unit: Unit,
    hardware_id: str,
    what: str,
    paid: Paid,
    *,
    told: Collection[str],
    also: Collection[str] = (),
) -> None:
    """Tell companies what another one did with a device that they paid for; never who it was.

    Args:
        unit: the transaction in which it is done.
        hardware_id: of the device.
        what: one of the words above.
        paid: who paid for what of it; each is told of the own part only.
        told: companies that know it already, because they did it or get an event of their own.
        also: companies to tell though they paid for nothing.

    Emits: paid_device_used_elsewhere.
    """
    connection = unit.connection
    known = set(aliases.currents(connection, list(told)).values())
    concerned = {*paid, *aliases.currents(connection, list(also)).values()} - known
    called = names(connection, {license_type for shares in paid.values() for license_type in shares})
    for company_id in sorted(concerned):
        licenses = [
            {"license_type": license_type, "name": called.get(license_type, license_type), "quantity": quantity}
            for license_type, quantity in sorted(paid.get(company_id, {}).items())
        ]
        unit.emit(
            "paid_device_used_elsewhere",
            subject=hardware_id,
            data={"what": what, "licenses": licenses},
            company_id=company_id,
            hardware_id=hardware_id,
            anonymous=True,
        )
