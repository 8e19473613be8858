"""Certificates of devices: request, renewal, revocation (LIC-10, rules L9, S16)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, Row

from services.accounts.api import SCOPE_DEVICE, SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, invalid, not_found
from services.chassis.faults import fail_point
from services.chassis.fields import write_moment
from services.chassis.keys.keystore import KeyStore
from services.chassis.paging import Listing
from services.devices.api import CLAIMED, PROVEN, DevicesClient
from services.licensing import access
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.certificates import profile
from services.licensing.certificates.requests import key_bytes, key_digest, load_key, read_request
from services.licensing.commands.acceptance import standings
from services.licensing.commands.authority import ISSUING_KEY, chain, issuing_authority, private
from services.licensing.commands.possession import (
    ENDED,
    end_claims,
    origin_of,
    possession_needed,
    require_first_certificate,
)
from services.licensing.commands.telling import CERTIFIED, REVOKED, tell_payers, tell_payers_of
from services.licensing.files.errors import FormatError
from services.licensing.files.returns import read_proof, split_proof
from services.licensing.files.signing import verify
from services.licensing.store import certificates as store
from services.licensing.store import holders
from services.licensing.store.payers import payers
from services.projects.api import REQUEST_CERTIFICATE

RIGHT = "REQUEST_CERTIFICATE"
RENEW_BEFORE = timedelta(days=90)
"""A request with the same key gets the same certificate until this long before its end."""
RECERTIFIED = "The vendor's staff certified another key of the device."
_log = structlog.get_logger(__name__)


def request_certificate(
    database: Database,
    keystore: KeyStore,
    call: Call,
    request: Mapping[str, Any],
    *,
    devices: DevicesClient,
    rules: Rules,
) -> dict[str, Any]:
    """Certify a device's key on a user's or staff's request.

    Raises: licensing.request_malformed, .request_bad_signature, .request_wrong_key, .request_key_known,
        .request_superseded, .proof_needed, .proof_invalid, .device_rma, devices.possession_needed,
        accounts.right_needed, access.power_needed.
    Emits: certificate_issued, paid_device_used_elsewhere.
    """
    Actor.of(call).require_scope(SCOPE_WRITE)
    device = Device.of(devices.get_device_facts(call, device_id=request["device_id"]))
    return _Request(database, keystore, call, device, devices, rules).run(request["pem"], request.get("proof"))


def request_device_certificate(
    database: Database,
    keystore: KeyStore,
    call: Call,
    request: Mapping[str, Any],
    *,
    devices: DevicesClient,
    rules: Rules,
) -> dict[str, Any]:
    """Certify a device's key on its own request, with the login of the device door.

    Raises: as `request_certificate`, and accounts.scope_needed.
    Emits: certificate_issued, paid_device_used_elsewhere.
    """
    Actor.of(call).require_scope(SCOPE_DEVICE)
    device = Device.of(devices.find_device(call, hardware_id=request["hardware_id"]))
    return _Request(database, keystore, call, device, devices, rules).run(request["pem"], None)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the installation says about certificates.

    Args:
        crl_url: where the revocation list is.
        claims_allowed: whether a claim gets a first certificate while nobody else ever had a stake in the device.
    """

    crl_url: str
    claims_allowed: bool = False


class _Request:
    """One request on its way: who asks for which device, and whether they may."""

    def __init__(
        self, database: Database, keystore: KeyStore, call: Call, device: Device, devices: DevicesClient, rules: Rules
    ) -> None:
        self.database, self.keystore, self.call, self.device, self.devices = database, keystore, call, device, devices
        self.crl_url, self.claims_allowed = rules.crl_url, rules.claims_allowed

    def run(self, upload: str, proof: str | None) -> dict[str, Any]:
        """Check, record, sign, store; a repetition finishes what a crash left undone."""
        pem, block = split_proof(upload)
        proof = proof or block
        try:
            key = read_request(pem)
        except FormatError as error:
            raise invalid(
                f"licensing.request_{error.reason}", f"{error.detail} Let the device make a new request."
            ) from error
        access.refuse_rma(self.device)
        authority, _ = issuing_authority(self.database, self.keystore)
        fingerprint = {"device": self.device.hardware_id, "pem": pem, "proof": proof}

        def record(unit: Unit) -> dict[str, Any]:
            return {"serial": self._record(unit, key, proof, authority.kid)}

        answer = self.database.command(self.call, "request_certificate", fingerprint, record)
        assert answer is not None
        self._withdraw_overtaken(answer["serial"])
        return finish(self.database, self.keystore, answer["serial"])

    def _withdraw_overtaken(self, serial: str) -> None:
        """End a claim's first certificate before it is signed if somebody else has got the device meanwhile (DEV-15).

        Who proves after this look finds the recorded certificate, and ends it.
        """
        row = self.database.read(lambda connection: store.get(connection, serial))
        assert row is not None
        if self.device.proven or row.possession != CLAIMED or row.renews is not None or row.signed_at is not None:
            return
        device = Device.of(self.devices.get_device_facts(self.call, device_id=self.device.device_id))
        if device.proven or not device.held_by_others:
            return

        def withdraw(unit: Unit) -> ServiceError | None:
            store.lock_hardware(unit.connection, self.device.hardware_id)
            if store.revoke(unit.connection, serial, unit.now, ENDED):
                self._emit(unit, "certificate_revoked", serial=serial, reason=ENDED)
            return possession_needed(unit.connection, device)

        refusal = self.database.write(withdraw, call=self.call)
        assert refusal is not None
        raise refusal

    def _record(self, unit: Unit, key: ec.EllipticCurvePublicKey, proof: str | None, authority: str) -> str:
        connection, der = unit.connection, key_bytes(key)
        digest = key_digest(der)
        staff = Actor.of(self.call).staff
        access.lock(unit, Actor.of(self.call), self.device)
        store.lock_hardware(connection, self.device.hardware_id)
        if self.device.proven:
            # Also done when the proof is told; whoever proved must not wait for that.
            end_claims(unit, self.device.hardware_id, self.device.company_id)
        current = store.current(connection, self.device.hardware_id)
        if store.other_device_with_key(connection, digest, self.device.hardware_id) is not None:
            raise conflict("licensing.request_key_known", ERRORS["licensing.request_key_known"])
        # The request itself is signed by its key: with the present key it proves as much as a separate proof.
        same_key = current is not None and current.key_digest == digest
        if not same_key:
            self._require_permission(connection, current, digest, proof)
        elif current is not None and (current.signed_at is None or current.not_after - unit.now > RENEW_BEFORE):
            if staff:
                store.set_possession(connection, current.serial, PROVEN)
            return str(current.serial)
        spoken_for = current if current is not None and (same_key or proof is not None) else None
        if staff and spoken_for is None:
            self._revoke_before(unit)
        store.supersede(connection, self.device.hardware_id)
        serial = f"{x509.random_serial_number() | 1 << 150:x}"
        not_before = (unit.now - profile.BACKDATE).replace(microsecond=0)
        not_after = not_before + timedelta(days=profile.DEVICE_DAYS)
        values = {
            "serial": serial,
            "hardware_id": self.device.hardware_id,
            "company_id": self.device.company_id,
            "device_id": self.device.device_id,
            "key_digest": digest,
            "public_key": der,
            "authority": authority,
            "crl_url": self.crl_url,
            "not_before": not_before,
            "not_after": not_after,
            "recorded_at": unit.now,
            "state": store.CURRENT,
            # Whose word this key has: its own of before, or the one whose proof came with it.
            "renews": spoken_for.serial if spoken_for is not None else None,
            "possession": PROVEN if staff else spoken_for.possession if spoken_for else origin_of(self.device),
        }
        store.insert(connection, values)
        self._emit(
            unit, "certificate_issued", serial=serial, expires_at=write_moment(not_after), renewal=current is not None
        )
        # Whose key it was before, and who has the device too, must learn that another key speaks for it now.
        also = holders.companies(connection, self.device.hardware_id) | ({current.company_id} if current else set())
        tell_payers_of(unit, Actor.of(self.call), self.device, CERTIFIED, also=also)
        return serial

    def _require_permission(
        self, connection: Connection, current: Row[Any] | None, digest: str, proof: str | None
    ) -> None:
        if proof is not None:
            self._check_proof(current, digest, proof)
            return
        actor = Actor.of(self.call)
        if actor.staff:
            return
        if store.has_had(connection, self.device.hardware_id, ended_claims=not self.device.proven):
            raise conflict("licensing.proof_needed", ERRORS["licensing.proof_needed"])
        actor.require_right(RIGHT)
        self.device.require(REQUEST_CERTIFICATE)
        require_first_certificate(connection, self.device, claims_allowed=self.claims_allowed)

    def _revoke_before(self, unit: Unit) -> None:
        """Revoke every certificate of before: staff's word for a new key says that the old ones are over."""
        for row in store.valid(unit.connection, self.device.hardware_id):
            if store.revoke(unit.connection, row.serial, unit.now, RECERTIFIED):
                unit.emit(
                    "certificate_revoked",
                    subject=row.hardware_id,
                    data={"serial": row.serial, "reason": RECERTIFIED},
                    company_id=aliases.current(unit.connection, row.company_id),
                    device_id=row.device_id,
                    hardware_id=row.hardware_id,
                )

    def _check_proof(self, current: Row[Any] | None, digest: str, text: str) -> None:
        try:
            proof = read_proof(text)
        except FormatError as error:
            raise invalid("licensing.proof_invalid", f"{error.detail} Let the device make the proof anew.") from error
        refusal = conflict("licensing.proof_invalid", ERRORS["licensing.proof_invalid"])
        if current is None or current.signed_at is None:
            raise refusal
        key = load_key(bytes(current.public_key))
        fits = proof.device == self.device.hardware_id and hmac.compare_digest(proof.key_sha256, digest)
        if not fits or not verify(key, proof.signature, proof.signed, one_form=False):
            raise refusal

    def _emit(self, unit: Unit, type: str, **data: Any) -> None:
        unit.emit(
            type,
            subject=self.device.hardware_id,
            data=data,
            company_id=self.device.company_id,
            project_id=self.device.project_id,
            device_id=self.device.device_id,
            hardware_id=self.device.hardware_id,
        )


def finish(database: Database, keystore: KeyStore, serial: str) -> dict[str, Any]:
    """Sign a recorded certificate unless that is done, store it, and return it with its chain (rule L9)."""
    row = database.read(lambda connection: store.get(connection, serial))
    assert row is not None
    kid = str(row.authority)
    # What is over before it is signed never is: another request, or a proof, has taken its place.
    if row.signed_at is None and row.state == store.CURRENT:
        fail_point("licensing.certificate.before_signing")
        certificate = _signed(database, keystore, row)
        fail_point("licensing.certificate.after_signing")
        database.write(lambda unit: store.fill(unit.connection, serial, profile.pem(certificate), unit.now))
        row = database.read(lambda connection: store.get(connection, serial))
        assert row is not None
    if row.signed_at is None:
        raise conflict("licensing.request_superseded", ERRORS["licensing.request_superseded"])
    issuers = database.read(lambda connection: chain(connection, kid))
    return {**describe(row), "content_type": "application/pem-certificate-chain", "content": row.certificate + issuers}


def _signed(database: Database, keystore: KeyStore, row: Row[Any]) -> x509.Certificate:
    key = keystore.named(ISSUING_KEY, row.authority)
    issuer_row = database.read(lambda connection: store.authority(connection, row.authority))
    assert issuer_row is not None
    issuer = x509.load_pem_x509_certificate(issuer_row.certificate.encode())
    certificate = profile.make_device(subject_of(row), issuer, private(key))
    wrong = profile.check_device(certificate, subject_of(row), issuer)
    if wrong:
        raise RuntimeError(f"The certificate {row.serial} came out wrong: {'; '.join(wrong)}.")
    _log.info("certificate_signed", serial=row.serial, kid=row.authority)
    return certificate


def list_certificates(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> dict[str, Any]:
    """List all certificates that a device ever had, newest first."""
    device = Device.of(devices.get_device_facts(call, device_id=request["device_id"]))
    rows, acceptance = database.read(
        lambda connection: (store.of_device(connection, device.hardware_id), standings(connection, device)),
        snapshot=True,
    )
    # Who else holds the device asked for some of them: whoever looks sees the device as their own record (I14).
    facts = {"device_id": device.device_id}
    # They are never deleted, so that the number of one, counted from the oldest, is its place for ever.
    places = {row.serial: place for place, row in enumerate(reversed(rows))}
    page, following = Listing(call, "list_certificates", request).cut(rows, lambda row: -places[row.serial])
    items = [{**describe(row), **facts, "acceptance": acceptance[row.serial]} for row in page]
    return {"items": items, "next": following}


def revoke_certificate(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Revoke a certificate; doing it again changes nothing.

    Raises: accounts.staff_needed, licensing.certificate_not_found.
    Emits: certificate_revoked, paid_device_used_elsewhere.
    """
    Actor.of(call).require_staff()
    serial = str(request["serial"]).lower()

    def work(unit: Unit) -> dict[str, Any]:
        row = store.get(unit.connection, serial)
        if row is None or row.signed_at is None:
            raise missing()
        # Whoever returns with this key ends before, or finds it revoked: none is booked once the answer is out.
        store.lock_hardware(unit.connection, row.hardware_id)
        if store.revoke(unit.connection, serial, unit.now, request["reason"]):
            unit.emit(
                "certificate_revoked",
                subject=row.hardware_id,
                data={"serial": serial, "reason": request["reason"]},
                company_id=aliases.current(unit.connection, row.company_id),
                device_id=row.device_id,
                hardware_id=row.hardware_id,
            )
            paid = payers(unit.connection, row.hardware_id)
            also = holders.companies(unit.connection, row.hardware_id)
            tell_payers(unit, row.hardware_id, REVOKED, paid, told=[row.company_id], also=also)
        row = store.get(unit.connection, serial)
        assert row is not None
        return describe(row)

    answer = database.command(call, "revoke_certificate", request, work)
    assert answer is not None
    return answer


def missing() -> ServiceError:
    """Return the refusal for a serial number that is not one of ours."""
    return not_found("licensing.certificate_not_found", ERRORS["licensing.certificate_not_found"])


def describe(row: Row[Any]) -> dict[str, Any]:
    """Return a certificate's facts as they are published."""
    return {
        "serial": row.serial,
        "device_id": row.device_id,
        "hardware_id": row.hardware_id,
        "state": row.state,
        "fingerprint": row.key_digest,
        "issued_at": write_moment(row.recorded_at),
        "expires_at": write_moment(row.not_after),
        "revoked_at": write_moment(row.revoked_at) if row.revoked_at else None,
    }


def subject_of(row: Row[Any]) -> profile.DeviceSubject:
    """Return what a recorded certificate says."""
    return profile.DeviceSubject(
        serial=int(row.serial, 16),
        hardware_id=row.hardware_id,
        key=load_key(bytes(row.public_key)),
        not_before=row.not_before,
        not_after=row.not_after,
        crl_url=row.crl_url,
    )
