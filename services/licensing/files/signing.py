"""ECDSA P-256 over bytes, and HPKE to a device's key; a signature is r||s, 64 bytes (rules S13, S17)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from services.licensing.files.errors import FormatError

SIGNATURE_BYTES = 64
ALGORITHM = "ES256"
SUITE = "DHKEM-P256-HKDF-SHA256/HKDF-SHA256/AES-256-GCM"
# (n - 1) / 2 of P-256: a signature with a larger s has a twin and is refused, so that a file has one written form.
_HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 >> 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

Verifier = Callable[[bytes, bytes], bool]


def sign(private: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign bytes the deterministic way (RFC 6979), so that signing the same bytes again gives the same signature."""
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    s = min(s, _ORDER - s)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, *, one_form: bool = True) -> bool:
    """Tell whether a 64-byte signature over these bytes is by this key.

    Args:
        one_form: refuse the twin with the large s; what devices sign is taken in both forms.
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if one_form and s > _HALF_ORDER:
        return False
    try:
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def seal(public: ec.EllipticCurvePublicKey, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to a device's key (RFC 9180, base mode); the answer is enc (65 bytes) || ciphertext."""
    return _SUITE.encrypt(plaintext, public, info)


def unseal(private: ec.EllipticCurvePrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Decrypt what `seal` made for this key and this info.

    Raises:
        FormatError: `changed` when key, info or any byte differ.
    """
    try:
        return _SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError) as error:
        raise FormatError("changed", "The license file was changed: it cannot be decrypted.") from error
