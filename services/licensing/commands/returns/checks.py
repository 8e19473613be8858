"""Which return is taken: by whose signature, of which file, with which counter, from whose record (LIC-8, DEV-15)."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.errors import ServiceError, conflict, invalid, not_found
from services.licensing.access import Device
from services.licensing.api.file_errors import ERRORS
from services.licensing.commands.possession import others_have_a_stake
from services.licensing.files.returns import DeviceReturn
from services.licensing.files.signing import verify
from services.licensing.store import certificates, files
from services.licensing.store.certificates import StoredCertificate
from services.licensing.store.files import StoredFile
from services.licensing.store.payers import payers

COUNTER_LEAP: Final = 1_000_000
"""So far above the highest issued counter a device is believed: each such leap costs it a file and a return."""


def check_signature(connection: Connection, given: DeviceReturn) -> str:
    """Refuse a return that was not signed with the key of a certificate of this device; an expired one is good.

    Returns:
        The certificate's serial number. Whether its key still speaks for the device is looked at under the lock.

    Raises: licensing.return_malformed, licensing.return_untrusted, licensing.return_other_device,
        licensing.return_certificate_revoked, licensing.return_bad_signature.
    """
    try:
        certificate = x509.load_der_x509_certificate(given.certificate)
        serial = f"{certificate.serial_number:x}"
    except (ValueError, x509.InvalidVersion) as error:
        raise invalid(
            "licensing.return_malformed",
            "The certificate in the return cannot be read. Upload the file as the device made it.",
        ) from error
    stored = certificates.find(connection, serial)
    if stored is None or stored.certificate is None or _der(stored.certificate) != given.certificate:
        raise invalid("licensing.return_untrusted", ERRORS["licensing.return_untrusted"])
    issuer = certificates.authority(connection, stored.authority)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(issuer.certificate.encode()))
    if stored.hardware_id != given.device:
        raise invalid("licensing.return_other_device", ERRORS["licensing.return_other_device"])
    if stored.state == certificates.REVOKED:
        raise conflict("licensing.return_certificate_revoked", ERRORS["licensing.return_certificate_revoked"])
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if not verify(key, given.signature, given.signed, one_form=False):
        raise invalid("licensing.return_bad_signature", ERRORS["licensing.return_bad_signature"])
    return serial


def check_file(connection: Connection, device: Device, given: DeviceReturn, signer: str) -> StoredFile:
    """Return the file that a return gives up, which it can give up, and this key and this company may.

    Args:
        connection: of the transaction in which the device is locked.
        device: as devices told it.
        given: the return.
        signer: serial number of the certificate whose key signed it.

    Raises: licensing.return_file_unknown, licensing.return_malformed, licensing.return_not_encrypted,
        licensing.already_returned, licensing.return_newer_file, licensing.return_file_void, those of `check_signer`,
        licensing.return_other_company.
    """
    file = files.find(connection, given.serial)
    if file is None or file.hardware_id != device.hardware_id or file.signed_at is None:
        raise not_found("licensing.return_file_unknown", ERRORS["licensing.return_file_unknown"])
    if given.counter < file.counter:
        # The device signs that it installs nothing up to this counter again: that must be true of the file itself.
        raise invalid(
            "licensing.return_malformed",
            f"The return gives up files up to the counter {given.counter}, and the file has {file.counter}: "
            "upload the return unchanged.",
        )
    if file.form != files.ENCRYPTED or file.kind != "license" or file.certificate_serial is None:
        raise conflict("licensing.return_not_encrypted", ERRORS["licensing.return_not_encrypted"])
    if file.state == files.RETURNED:
        raise conflict("licensing.already_returned", ERRORS["licensing.already_returned"])
    check_signer(connection, signer, file.certificate_serial)
    newest = files.newest(connection, device.hardware_id, (files.ENCRYPTED,))
    if newest is not None and newest.counter > file.counter:
        # Were it taken, the newer file could still be installed with the same licenses in it.
        raise conflict("licensing.return_newer_file", ERRORS["licensing.return_newer_file"])
    if file.state == files.VOID:
        raise conflict("licensing.return_file_void", ERRORS["licensing.return_file_void"])
    _check_company(connection, device, file)
    return file


def check_signer(connection: Connection, serial: str, recipient: str) -> None:
    """Refuse a signature that is not of the file's certificate or a later one, or of one that is over (LIC-8).

    Args:
        connection: of the transaction in which the device is locked.
        serial: number of the certificate whose key signed the return.
        recipient: serial number of the certificate that the file was issued to.

    Raises: licensing.return_certificate_revoked, licensing.return_certificate_superseded,
        licensing.return_other_certificate.
    """
    signer, issued_to = certificates.get(connection, serial), certificates.get(connection, recipient)
    if signer.state == certificates.REVOKED:
        raise conflict("licensing.return_certificate_revoked", ERRORS["licensing.return_certificate_revoked"])
    if signer.state != certificates.CURRENT:
        raise _superseded(connection, signer)
    if signer.recorded_at < issued_to.recorded_at:
        raise conflict(
            "licensing.return_other_certificate",
            f"The file was issued to the device's certificate {issued_to.serial}, and the return is signed with"
            f" the earlier one {signer.serial}: let the device make the return again with its present key.",
            certificate=signer.serial,
            issued_to=issued_to.serial,
        )


def check_counter(counter: int, highest: int) -> None:
    """Refuse a counter that no file of the device can have: a device must not use up all that there are.

    Args:
        counter: that the return names.
        highest: that was issued for the device.

    Raises: licensing.return_counter_too_high.
    """
    limit = highest + COUNTER_LEAP
    if counter > limit:
        raise invalid(
            "licensing.return_counter_too_high",
            f"The return gives up files up to the counter {counter}; the highest that was issued for"
            f" the device is {highest}, and at most {limit} is accepted. The device was given a file that is not "
            f"from this portal: ask the vendor to look into it.",
            counter=counter,
            highest=highest,
            limit=limit,
        )


def remember_counter(connection: Connection, hardware_id: str, counter: int, highest: int) -> None:
    """Let the next file have a counter above what the device says it had: it would refuse any other."""
    if highest < counter <= highest + COUNTER_LEAP:
        certificates.raise_floor(connection, hardware_id, counter)


def _check_company(connection: Connection, device: Device, file: StoredFile) -> None:
    """Refuse another company's file to a record that proves nothing, while somebody else has a stake in the device.

    A return says what the device gives up, not to whom: whoever got hold of it could deliver it as his own.
    """
    if device.proven or file.company_id in aliases.group_today(connection, device.company_id):
        return
    if others_have_a_stake(connection, device, payers(connection, device.hardware_id)):
        raise conflict("licensing.return_other_company", ERRORS["licensing.return_other_company"])


def _superseded(connection: Connection, signer: StoredCertificate) -> ServiceError:
    """Make the refusal of a return whose key no longer speaks for the device; it says which one does."""
    current = certificates.current(connection, signer.hardware_id)
    present = f"the key {current.key_digest}" if current is not None else "none"
    return conflict(
        "licensing.return_certificate_superseded",
        f"The return is signed with an earlier key of the device ({signer.key_digest}); the one that is valid for it "
        f"now is {present}. Make the return again on the device; if it does not have that key, request a new "
        f"certificate.",
        certificate=signer.serial,
        fingerprint=signer.key_digest,
        current_fingerprint=current.key_digest if current is not None else None,
    )


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
