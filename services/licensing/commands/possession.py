"""What a claimed record may not do, what proves possession, and what a proof ends (DEV-15, LIC-10).

A MAC is printed on the box. Whoever only claims a device has no first certificate, no unencrypted file and no move
while somebody else has a stake in it; whoever proves it ends the certificates that were given to mere claims of others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.idempotency import database_time
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.service.declare import command, query
from services.chassis.service.running import answered, repeatable, run
from services.chassis.settings import Settings
from services.devices.api import (
    CLAIMED,
    DEVICE_KEY,
    ORDER_NUMBER,
    POSSESSION_NEEDED,
    PROVEN,
    STAFF,
    DevicesClient,
    PossessionAnswer,
)
from services.devices.api import ERRORS as DEVICE_ERRORS
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api import possession as api
from services.licensing.api.possession import ERRORS
from services.licensing.certificates.requests import load_key
from services.licensing.commands.telling import tell_revoked
from services.licensing.files.errors import FormatError
from services.licensing.files.possession import PossessionProof, flaw, read_possession
from services.licensing.store import certificates
from services.licensing.store.lines import PLAIN, installed_lines
from services.licensing.store.payers import payers
from services.licensing.store.stakes import ever_paid
from services.projects.api import ADD

ENDED: Final = "Possession of the device was proven; this certificate had been issued on a claim."
# What a claimed record may not do, by the names of the device's actions.
UNENCRYPTED, MOVE, FIRST_CERTIFICATE = "download_unencrypted_licenses", "move_licenses", "request_certificate"


def require_possession(connection: Connection, device: Device, actor: Actor) -> None:
    """Refuse a claimed record what could harm whoever else holds the device or paid for what is on it.

    For unencrypted files and moves; staff's word counts as a proof.

    Raises: devices.possession_needed with `ways`.
    """
    if (
        not device.proven
        and not actor.staff
        and others_have_a_stake(connection, device, payers(connection, device.hardware_id))
    ):
        raise possession_needed(connection, device)


def refuse_lines_of_others(connection: Connection, device: Device, line_ids: Collection[str]) -> None:
    """Refuse what ends the right to return licenses of another company that has the device too, proven or not.

    Whoever sold a device knows its order's number for ever. What was downloaded unencrypted before is lost already.

    Args:
        connection: of the transaction in which the device is locked.
        device: as devices told it.
        line_ids: what is in the unencrypted file.

    Raises: licensing.paid_by_holder.
    """
    installed = [
        line
        for line in installed_lines(connection, device.hardware_id)
        if line.id in line_ids and line.file_issued != PLAIN
    ]
    if access.lines_of_present_others(connection, device, installed):
        raise conflict("licensing.paid_by_holder", ERRORS["licensing.paid_by_holder"])


def require_first_certificate(connection: Connection, device: Device, *, claims_allowed: bool) -> None:
    """Refuse a claimed record the first certificate, unless the installation allows it and nobody ever had a stake.

    Args:
        connection: of the running transaction.
        device: as devices told it.
        claims_allowed: the vendor's setting.

    Raises: devices.possession_needed with `ways`.
    """
    if device.proven:
        return
    if not claims_allowed or others_have_a_stake(connection, device, ever_paid(connection, device.hardware_id)):
        raise possession_needed(connection, device)


def possession_needed(connection: Connection, device: Device) -> ServiceError:
    """Return the refusal, with the ways to prove possession that are open now."""
    return conflict(POSSESSION_NEEDED, DEVICE_ERRORS[POSSESSION_NEEDED], ways=ways(connection, device))


def ways(connection: Connection, device: Device) -> list[str]:
    """Return how possession of a device can be proven; its own key does only where it was certified on a proof."""
    current = certificates.current(connection, device.hardware_id)
    by_key = current is not None and current.signed_at is not None and current.possession == PROVEN
    return [ORDER_NUMBER, *([DEVICE_KEY] if by_key else []), STAFF]


@query(
    request=api.GetPossessionRequest,
    answer=api.PossessionLimits,
    needs=(needs.READ,),
    raises=("devices.device_not_found",),
)
def get_possession(
    database: Database, call: Call, request: Mapping[str, Any], devices: DevicesClient, settings: Settings
) -> dict[str, list[str]]:
    """Tell the gateway which actions with a device need a proof of possession first, and the ways to it (DEV-15)."""
    actor = Actor.of(call)
    device = Device.of_answer(devices.get_device_facts(call, device_id=request["device_id"]))

    def work(connection: Connection) -> dict[str, list[str]]:
        limited = []
        try:
            require_possession(connection, device, actor)
        except ServiceError:
            limited += [UNENCRYPTED, MOVE]
        try:
            # A device that has had a certificate gets the next one by its key, whoever asks.
            if not certificates.has_had(connection, device.hardware_id) and not actor.staff:
                require_first_certificate(connection, device, claims_allowed=settings.claimed_certificates)
        except ServiceError:
            limited.append(FIRST_CERTIFICATE)
        return {"limited": limited, "ways": ways(connection, device) if limited else []}

    return database.read(work, snapshot=True)


@command(
    request=api.ProvePossessionRequest,
    answer=PossessionAnswer,
    needs=(needs.WRITE,),
    raises=(
        "devices.device_not_found",
        "access.power_needed",
        "devices.malformed_order_number",
        "devices.order_not_found",
        "devices.not_in_order",
        "devices.throttled",
        "licensing.possession_proof_invalid",
        "licensing.possession_proof_expired",
        "licensing.possession_key_claimed",
    ),
    emits=("certificate_revoked",),
)
@repeatable
def prove_possession(database: Database, call: Call, request: Mapping[str, Any], devices: DevicesClient) -> Answer:
    """Prove possession of a device by its order's number, or by a text that its certified key signed (DEV-15).

    A repetition gets the first answer and proves nothing anew, however old its proof is by then.
    """
    device = access.get_device(call, devices, request["device_id"], ADD)
    answer = answered(database, call, request)
    if answer is not None:
        return answer
    step = call.derive("possession")
    if request["proof"] is None:
        told = devices.prove_possession(step, device_id=device.device_id, order_number=request["order_number"])
    else:
        proof = _read(request["proof"])
        database.read(lambda connection: _verify(connection, device, proof))
        told = devices.confirm_possession(step, device_id=device.device_id)

    def work(unit: Unit) -> Mapping[str, object]:
        # The event of devices does this too; here nobody has to wait for it.
        end_claims(unit, device.hardware_id, device.company_id)
        return told

    return run(database, call, request, work)


def end_claims(unit: Unit, hardware_id: str, company_id: str) -> None:
    """End the certificates that claims of others got for a device, now that a company proved that it possesses it.

    A certificate of the company's own claim stays and is as good as a proven one from here on.

    Emits: certificate_revoked to the company that has one of them, never telling who proved.
    """
    connection = unit.connection
    certificates.lock_hardware(connection, hardware_id)
    group = aliases.group_today(connection, company_id)
    for certificate in certificates.claimed(connection, hardware_id):
        if certificate.company_id in group:
            certificates.set_possession(connection, certificate.serial, PROVEN)
        elif certificates.revoke(connection, certificate.serial, unit.now, ENDED):
            tell_revoked(unit, certificate, ENDED, anonymous=True)


def origin_of(device: Device) -> str:
    """Return what a certificate is worth that a record gets: as much as the record."""
    return PROVEN if device.proven else CLAIMED


def others_have_a_stake(connection: Connection, device: Device, paid: Collection[str]) -> bool:
    """Tell whether another company has a device too, or is among those who paid for what is on it.

    Args:
        connection: of the running transaction.
        device: as devices told it.
        paid: the companies that paid.
    """
    group = aliases.group_today(connection, device.company_id)
    return access.held_by_others(connection, device) or bool({*paid} - {*group})


def _read(text: str) -> PossessionProof:
    try:
        return read_possession(text)
    except FormatError as error:
        raise invalid(
            "licensing.possession_proof_invalid", f"{error.detail} Let the device make a new proof."
        ) from error


def _verify(connection: Connection, device: Device, proof: PossessionProof) -> None:
    refusal = conflict("licensing.possession_proof_invalid", ERRORS["licensing.possession_proof_invalid"])
    current = certificates.current(connection, device.hardware_id)
    if current is None or current.signed_at is None:
        raise refusal
    code = flaw(
        proof,
        load_key(current.public_key),
        device=device.hardware_id,
        record=device.device_id,
        now=database_time(connection),
    )
    if code is not None:
        raise conflict(code, ERRORS[code])
    if current.possession != PROVEN:
        # Else a stranger's claim would prove itself by the key that it had certified.
        code = "licensing.possession_key_claimed"
        raise conflict(code, ERRORS[code])
