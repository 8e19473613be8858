"""Reading a certificate request: only the key in it is taken, and only with proof that its owner has it."""

from __future__ import annotations

import hashlib
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.licensing.files.errors import FormatError

MAX_BYTES = 16_384
_PEM = re.compile(
    r"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def read_request(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of a request; names and extensions in it are ignored.

    Args:
        pem: one PKCS#10 request, at most 16,384 characters.

    Raises:
        FormatError: `malformed`, `bad_signature` (possession not proven) or `wrong_key` (not on P-256).
    """
    if len(pem) > MAX_BYTES or not pem.isascii() or not _PEM.fullmatch(pem):
        raise FormatError(
            "malformed", "The upload is not a single certificate request in PEM of at most 16,384 characters."
        )
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        key = request.public_key()
    except UnsupportedAlgorithm as error:
        raise FormatError("wrong_key", "The key in the request is of a kind that is not known here.") from error
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise FormatError("malformed", "The PEM block does not hold a certificate request.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise FormatError("wrong_key", "The key in the request is not an elliptic curve key on P-256.")
    try:
        proven = isinstance(request.signature_hash_algorithm, _HASHES) and request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FormatError("bad_signature", "The request's signature is of a kind that is not accepted.") from error
    if not proven:
        raise FormatError("bad_signature", "The request is not signed with SHA-2 by the key in it.")
    return key


def key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a key as SubjectPublicKeyInfo in DER, points uncompressed."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_digest(der: bytes) -> str:
    """Return the SHA-256 of a key's DER, by which keys are told apart."""
    return hashlib.sha256(der).hexdigest()


def load_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Return a stored public key."""
    key = serialization.load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("A stored device key is not an elliptic curve key.")
    return key
