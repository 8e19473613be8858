"""Whether a device's key is certified, what is recorded of it, and its signing (LIC-10, DEV-15, rules L9, S16)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, invalid
from services.chassis.faults import fail_point
from services.chassis.fields import write_moment
from services.chassis.keys.keystore import KeyStore
from services.devices.api import CLAIMED, PROVEN, DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.certificates import profile
from services.licensing.certificates.requests import key_bytes, key_digest, load_key
from services.licensing.commands.authority import ISSUING_KEY, chain, private
from services.licensing.commands.possession import (
    ENDED,
    end_claims,
    origin_of,
    possession_needed,
    require_first_certificate,
)
from services.licensing.commands.telling import CERTIFIED, tell_of, tell_payers_of, tell_revoked
from services.licensing.files.errors import FormatError
from services.licensing.files.returns import read_proof
from services.licensing.files.signing import verify
from services.licensing.store import certificates as store
from services.licensing.store import holders
from services.licensing.store.certificates import StoredCertificate
from services.projects.api import REQUEST_CERTIFICATE

RIGHT: Final = "REQUEST_CERTIFICATE"
RENEW_BEFORE: Final = timedelta(days=90)
"""A request with the same key gets the same certificate until this long before its end."""
RECERTIFIED: Final = "The vendor's staff certified another key of the device."
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Application:
    """A key that somebody asks to certify for a device.

    Args:
        actor: who asks.
        device: as devices told it.
        key: whose owner signed the request.
        proof: the present key's word for this one, in base64 or PEM.
        authority: id of the key that is to sign.
        crl_url: where the revocation list is.
        claims_allowed: whether a claim gets a first certificate while nobody else ever had a stake in the device.
    """

    actor: Actor
    device: Device
    key: ec.EllipticCurvePublicKey
    proof: str | None
    authority: str
    crl_url: str
    claims_allowed: bool


def record(application: Application, unit: Unit) -> StoredCertificate:
    """Record the certificate that a request gets, a new one or the present one of the same key.

    Raises: licensing.request_key_known, licensing.proof_needed, licensing.proof_invalid, accounts.right_needed,
        access.power_needed, devices.possession_needed.
    Emits: certificate_issued, certificate_revoked, paid_device_used_elsewhere.
    """
    connection, actor, device = unit.connection, application.actor, application.device
    der = key_bytes(application.key)
    digest = key_digest(der)
    access.lock(unit, actor, device)
    store.lock_hardware(connection, device.hardware_id)
    if device.proven:
        # Also done when the proof is told; whoever proved must not wait for that.
        end_claims(unit, device.hardware_id, device.company_id)
    current = store.current(connection, device.hardware_id)
    if store.other_device_with_key(connection, digest, device.hardware_id) is not None:
        raise conflict("licensing.request_key_known", ERRORS["licensing.request_key_known"])
    # The request itself is signed by its key: with the present key it proves as much as a separate proof.
    same_key = current is not None and current.key_digest == digest
    if not same_key:
        _require_permission(connection, application, current, digest)
    elif current is not None and (current.signed_at is None or current.not_after - unit.now > RENEW_BEFORE):
        if actor.staff:
            store.set_possession(connection, current.serial, PROVEN)
        return current
    spoken_for = current if same_key or application.proof is not None else None
    if actor.staff and spoken_for is None:
        _revoke_before(unit, device)
    store.supersede(connection, device.hardware_id)
    made = _made(unit, application, der, spoken_for)
    store.insert(connection, made)
    data = {"serial": made.serial, "expires_at": write_moment(made.not_after), "renewal": current is not None}
    tell_of(unit, "certificate_issued", device, data)
    # Whose key it was before, and who has the device too, must learn that another key speaks for it now.
    also = holders.companies(connection, device.hardware_id) | ({current.company_id} if current else set())
    tell_payers_of(unit, actor, device, CERTIFIED, also=also)
    return made


def _made(unit: Unit, application: Application, der: bytes, spoken_for: StoredCertificate | None) -> StoredCertificate:
    not_before = (unit.now - profile.BACKDATE).replace(microsecond=0)
    worth = spoken_for.possession if spoken_for is not None else origin_of(application.device)
    return StoredCertificate(
        serial=f"{x509.random_serial_number() | 1 << 150:x}",
        hardware_id=application.device.hardware_id,
        company_id=application.device.company_id,
        device_id=application.device.device_id,
        key_digest=key_digest(der),
        public_key=der,
        authority=application.authority,
        crl_url=application.crl_url,
        not_before=not_before,
        not_after=not_before + timedelta(days=profile.DEVICE_DAYS),
        recorded_at=unit.now,
        state=store.CURRENT,
        # Whose word this key has: its own of before, or the one whose proof came with it.
        renews=spoken_for.serial if spoken_for is not None else None,
        possession=PROVEN if application.actor.staff else worth,
    )


def _require_permission(
    connection: Connection, application: Application, current: StoredCertificate | None, digest: str
) -> None:
    actor, device = application.actor, application.device
    if application.proof is not None:
        _check_proof(device, current, digest, application.proof)
        return
    if actor.staff:
        return
    if store.has_had(connection, device.hardware_id, ended_claims=not device.proven):
        raise conflict("licensing.proof_needed", ERRORS["licensing.proof_needed"])
    actor.require_right(RIGHT)
    device.require(REQUEST_CERTIFICATE)
    require_first_certificate(connection, device, claims_allowed=application.claims_allowed)


def _check_proof(device: Device, current: StoredCertificate | None, digest: str, text: str) -> None:
    try:
        proof = read_proof(text)
    except FormatError as error:
        raise invalid("licensing.proof_invalid", f"{error.detail} Let the device make a new proof.") from error
    refusal = conflict("licensing.proof_invalid", ERRORS["licensing.proof_invalid"])
    if current is None or current.signed_at is None:
        raise refusal
    key = load_key(current.public_key)
    fits = proof.device == device.hardware_id and hmac.compare_digest(proof.key_sha256, digest)
    if not fits or not verify(key, proof.signature, proof.signed, one_form=False):
        raise refusal


def _revoke_before(unit: Unit, device: Device) -> None:
    """Revoke every certificate of before: staff's word for a new key says that the old ones are over."""
    for certificate in store.valid(unit.connection, device.hardware_id):
        if store.revoke(unit.connection, certificate.serial, unit.now, RECERTIFIED):
            tell_revoked(unit, certificate, RECERTIFIED)


def withdraw_overtaken(database: Database, call: Call, device: Device, devices: DevicesClient, serial: str) -> None:
    """End a claim's first certificate before it is signed if somebody else has got the device meanwhile (DEV-15).

    Who proves after this look finds the recorded certificate, and ends it.

    Raises: devices.possession_needed, when it is ended.
    """
    made = database.read(lambda connection: store.get(connection, serial))
    if device.proven or made.possession != CLAIMED or made.renews is not None or made.signed_at is not None:
        return
    today = Device.of_answer(devices.get_device_facts(call, device_id=device.device_id))
    if today.proven or not today.held_by_others:
        return

    def withdraw(unit: Unit) -> ServiceError:
        store.lock_hardware(unit.connection, device.hardware_id)
        if store.revoke(unit.connection, serial, unit.now, ENDED):
            tell_of(unit, "certificate_revoked", device, {"serial": serial, "reason": ENDED})
        return possession_needed(unit.connection, today)

    # Raised when what was done is stored.
    raise database.write(withdraw, call=call)


def sign(database: Database, keystore: KeyStore, serial: str) -> tuple[StoredCertificate, str]:
    """Sign a recorded certificate unless that is done, store it, and return it with its chain in PEM (rule L9).

    Raises: licensing.request_superseded.
    """
    recorded = database.read(lambda connection: store.get(connection, serial))
    # What is over before it is signed never is: another request, or a proof, has taken its place.
    if recorded.signed_at is None and recorded.state == store.CURRENT:
        fail_point("licensing.certificate.before_signing")
        certificate = _signed(database, keystore, recorded)
        fail_point("licensing.certificate.after_signing")
        database.write(lambda unit: store.fill(unit.connection, serial, profile.pem(certificate), unit.now))
        recorded = database.read(lambda connection: store.get(connection, serial))
    if recorded.certificate is None:
        raise conflict("licensing.request_superseded", ERRORS["licensing.request_superseded"])
    return recorded, recorded.certificate + database.read(lambda connection: chain(connection, recorded.authority))


def _signed(database: Database, keystore: KeyStore, recorded: StoredCertificate) -> x509.Certificate:
    key = keystore.named(ISSUING_KEY, recorded.authority)
    authority = database.read(lambda connection: store.authority(connection, recorded.authority))
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    certificate = profile.make_device(subject_of(recorded), issuer, private(key))
    wrong = profile.check_device(certificate, subject_of(recorded), issuer)
    if wrong:
        raise RuntimeError(f"The certificate {recorded.serial} came out wrong: {'; '.join(wrong)}.")
    _log.info("certificate_signed", serial=recorded.serial, kid=recorded.authority)
    return certificate


def subject_of(recorded: StoredCertificate) -> profile.DeviceSubject:
    """Return what a recorded certificate says."""
    return profile.DeviceSubject(
        serial=int(recorded.serial, 16),
        hardware_id=recorded.hardware_id,
        key=load_key(recorded.public_key),
        not_before=recorded.not_before,
        not_after=recorded.not_after,
        crl_url=recorded.crl_url,
    )
