"""Certificates of devices: requests, the list, revocation (LIC-10, rule S16); `certifying` decides on a request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from marshmallow import fields

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer, Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import invalid, not_found
from services.chassis.fields import AnswerSchema
from services.chassis.keys.keystore import KeyStore
from services.chassis.paging import Listing
from services.chassis.service.declare import command, query
from services.chassis.service.running import run
from services.chassis.settings import Settings
from services.devices.api import DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api import files as api
from services.licensing.api.file_errors import ERRORS
from services.licensing.certificates.requests import read_request
from services.licensing.commands.acceptance import standings
from services.licensing.commands.authority import crl_url, issuing_authority
from services.licensing.commands.certifying import Application, record, sign, withdraw_overtaken
from services.licensing.commands.telling import REVOKED, tell_payers, tell_revoked
from services.licensing.files.errors import FormatError
from services.licensing.files.returns import split_proof
from services.licensing.store import certificates as store
from services.licensing.store import holders
from services.licensing.store.certificates import StoredCertificate
from services.licensing.store.payers import payers

_REFUSALS: Final = (
    "devices.device_not_found",
    "licensing.device_rma",
    "licensing.request_malformed",
    "licensing.request_bad_signature",
    "licensing.request_wrong_key",
    "licensing.request_key_known",
    "licensing.request_superseded",
    "licensing.proof_needed",
    "licensing.proof_invalid",
    "accounts.right_needed",
    "access.power_needed",
    "devices.possession_needed",
)
_EVENTS: Final = ("certificate_issued", "certificate_revoked", "paid_device_used_elsewhere")


class Recorded(AnswerSchema):
    """What the command of a request keeps: the certificate is signed afterwards, and then it is the answer."""

    serial = fields.String(required=True)


@command(
    request=api.RequestCertificateRequest,
    answer=api.IssuedCertificate,
    needs=(needs.WRITE,),
    raises=_REFUSALS,
    emits=_EVENTS,
)
def request_certificate(
    database: Database,
    keystore: KeyStore,
    call: Call,
    request: Mapping[str, Any],
    devices: DevicesClient,
    settings: Settings,
) -> Shown:
    """Certify a device's key on a user's or staff's request (LIC-10)."""
    device = Device.of_answer(devices.get_device_facts(call, device_id=request["device_id"]))
    pem, block = split_proof(request["pem"])
    return _certify(database, keystore, call, device, devices, settings, pem, request["proof"] or block)


@command(
    request=api.RequestDeviceCertificateRequest,
    answer=api.IssuedCertificate,
    needs=(needs.DEVICE,),
    raises=(*_REFUSALS, "devices.malformed_id"),
    emits=_EVENTS,
)
def request_device_certificate(
    database: Database,
    keystore: KeyStore,
    call: Call,
    request: Mapping[str, Any],
    devices: DevicesClient,
    settings: Settings,
) -> Shown:
    """Certify a device's key on its own request, with the login of the device door (LIC-10)."""
    device = Device.of_answer(devices.find_device(call, hardware_id=request["hardware_id"]))
    pem, block = split_proof(request["pem"])
    return _certify(database, keystore, call, device, devices, settings, pem, block)


def _certify(
    database: Database,
    keystore: KeyStore,
    call: Call,
    device: Device,
    devices: DevicesClient,
    settings: Settings,
    pem: str,
    proof: str | None,
) -> Shown:
    """Check, record, sign, store; a repetition finishes what a crash left undone."""
    try:
        key = read_request(pem)
    except FormatError as error:
        raise invalid(
            f"licensing.request_{error.reason}", f"{error.detail} Let the device make a new request."
        ) from error
    access.refuse_rma(device)
    authority, _ = issuing_authority(database, keystore)
    application = Application(
        Actor.of(call), device, key, proof, authority.kid, crl_url(settings), settings.claimed_certificates
    )
    fingerprint = {"device": device.hardware_id, "pem": pem, "proof": proof}
    # Both doors are one command: what comes again by the other one is no new request.
    recorded = run(database, call, fingerprint, partial(record, application), step=Recorded, name="request_certificate")
    serial = recorded["serial"]
    withdraw_overtaken(database, call, device, devices, serial)
    certificate, pem_chain = sign(database, keystore, serial)
    return _shown(certificate, content_type="application/pem-certificate-chain", content=pem_chain)


@query(
    request=api.ListCertificatesRequest,
    answer=api.Certificates,
    needs=(needs.READ,),
    raises=("devices.device_not_found",),
)
def list_certificates(database: Database, call: Call, request: Mapping[str, Any], devices: DevicesClient) -> Page:
    """List all certificates that a device ever had, newest first."""
    device = Device.of_answer(devices.get_device_facts(call, device_id=request["device_id"]))
    rows, acceptance = database.read(
        lambda connection: (store.of_device(connection, device.hardware_id), standings(connection, device)),
        snapshot=True,
    )
    # They are never deleted, so that the number of one, counted from the oldest, is its place for ever.
    places = {row.serial: place for place, row in enumerate(reversed(rows))}
    page, following = Listing(call, "list_certificates", request).cut(rows, lambda row: -places[row.serial])
    # Who else holds the device asked for some of them: whoever looks sees the device as their own record (I14).
    own = {"device_id": device.device_id}
    return Page([_shown(row, **own, acceptance=acceptance[row.serial]) for row in page], following)


@command(
    request=api.RevokeCertificateRequest,
    answer=api.Certificate,
    needs=(needs.STAFF,),
    raises=("licensing.certificate_not_found",),
    emits=("certificate_revoked", "paid_device_used_elsewhere"),
)
def revoke_certificate(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Revoke a certificate, by staff; doing it again changes nothing."""
    serial, reason = request["serial"].lower(), request["reason"]

    def work(unit: Unit) -> Shown:
        found = store.find(unit.connection, serial)
        if found is None or found.signed_at is None:
            raise not_found("licensing.certificate_not_found", ERRORS["licensing.certificate_not_found"])
        # Whoever returns with this key ends before, or finds it revoked: none is booked once the answer is out.
        store.lock_hardware(unit.connection, found.hardware_id)
        if store.revoke(unit.connection, serial, unit.now, reason):
            tell_revoked(unit, found, reason)
            paid = payers(unit.connection, found.hardware_id)
            also = holders.companies(unit.connection, found.hardware_id)
            tell_payers(unit, found.hardware_id, REVOKED, paid, told=[found.company_id], also=also)
        return _shown(store.get(unit.connection, serial))

    return run(database, call, request, work)


def _shown(certificate: StoredCertificate, **more: object) -> Shown:
    """Return a certificate's facts as they are published."""
    facts = {
        "fingerprint": certificate.key_digest,
        "issued_at": certificate.recorded_at,
        "expires_at": certificate.not_after,
    }
    return shown(certificate, **facts, **more)
