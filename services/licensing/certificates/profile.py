"""What our certificates look like (rule S16), how they are made, and how a stored one is checked again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANIZATION = "Tessera"
DEVICE_DAYS = 3653
"""Validity of a device certificate: ten years (LIC-10)."""
_ROOT_DAYS, _ISSUING_DAYS = 40 * 365, 20 * 365
BACKDATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DeviceSubject:
    """Everything that a device certificate says, as it is recorded before it is signed (rule L9).

    Args:
        serial: at least 64 random bits, unique in the database.
        hardware_id: canonical; it is the subject and, as a URN and a DNS name, the alternative name.
        key: the device's public key.
        not_before, not_after: UTC.
        crl_url: where the revocation list is.
    """

    serial: int
    hardware_id: str
    key: ec.EllipticCurvePublicKey
    not_before: datetime
    not_after: datetime
    crl_url: str


def make_root(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Make the self-signed root, path length 1."""
    name = _name("Tessera Device Root")
    return _authority(name, name, key.public_key(), key, now, _ROOT_DAYS, path_length=1, issuer_key=key.public_key())


def make_issuing(
    key: ec.EllipticCurvePublicKey,
    number: str,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make an issuing authority under the root, path length 0.

    Args:
        key: of the new authority.
        number: distinguishes the authorities' names.
        root, root_key: who signs.
        now: start of validity.
    """
    name = _name(f"Tessera Device Authority {number}")
    return _authority(
        name, root.subject, key, root_key, now, _ISSUING_DAYS, path_length=0, issuer_key=root_key.public_key()
    )


def make_device(
    subject: DeviceSubject, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Sign a device certificate; the same record gives the same bytes."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject.hardware_id))
        .issuer_name(issuer.subject)
        .public_key(subject.key)
        .serial_number(subject.serial)
        .not_valid_before(subject.not_before)
        .not_valid_after(subject.not_after)
    )
    for extension, critical in _device_extensions(subject, issuer_key.public_key()):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)


def make_crl(
    revoked: list[tuple[int, datetime]],
    number: int,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    next_update: datetime,
) -> bytes:
    """Sign a revocation list.

    Args:
        revoked: serial numbers and times.
        number: of the list, ever growing.
        issuer, issuer_key: who signs.
        now, next_update: validity of the list.

    Returns:
        DER.
    """
    builder = (
        x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(now).next_update(next_update)
    )
    for serial, at in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        )
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    crl = builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)
    return crl.public_bytes(serialization.Encoding.DER)


def check_device(certificate: x509.Certificate, subject: DeviceSubject, issuer: x509.Certificate) -> list[str]:
    """Check a stored certificate against its record, field by field; returns what is wrong, nothing if all is right."""
    wrong = []
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        wrong.append("it is not signed by its authority")
    said = (
        ("serial number", certificate.serial_number, subject.serial),
        ("subject", certificate.subject, _name(subject.hardware_id)),
        ("start", certificate.not_valid_before_utc, subject.not_before.replace(microsecond=0)),
        ("end", certificate.not_valid_after_utc, subject.not_after.replace(microsecond=0)),
        ("key", certificate.public_key(), subject.key),
    )
    wrong += [f"its {name} is {found}, recorded is {expected}" for name, found, expected in said if found != expected]
    issuer_key = issuer.public_key()
    assert isinstance(issuer_key, ec.EllipticCurvePublicKey)
    expected = {extension.oid: (extension, critical) for extension, critical in _device_extensions(subject, issuer_key)}
    found = {one.oid: (one.value, one.critical) for one in certificate.extensions}
    if found != expected:
        wrong.append("its extensions are not those of the profile")
    if subject.serial.bit_length() < 64:
        wrong.append("its serial number is too short")
    return wrong


def urn(hardware_id: str) -> str:
    """Return a hardware id as a URN: RFC 9039 for a MAC address, a name of our own for an IPEI."""
    digits = hardware_id.replace("-", "")
    return f"urn:dev:mac:{digits.lower()}" if len(digits) == 12 else f"urn:tessera:ipei:{digits.replace('*', 'X')}"


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _authority(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
    *,
    path_length: int,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _device_extensions(
    subject: DeviceSubject, issuer_key: ec.EllipticCurvePublicKey
) -> list[tuple[x509.ExtensionType, bool]]:
    dns = subject.hardware_id.replace("-", "").replace("*", "x").lower()
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(urn(subject.hardware_id)),
        x509.DNSName(f"device-{dns}.tessera.internal"),
    ]
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(subject.crl_url)], None, None, None)
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.CRLDistributionPoints([point]), False),
        (x509.SubjectKeyIdentifier.from_public_key(subject.key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False),
    ]


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
