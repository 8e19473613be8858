"""The XML envelope around a signed payload, plain or encrypted (S13, S17).

The envelope repeats what a reader needs before it can verify; nothing in it is believed: after verification it must say
the same as the payload, and it must be written in its one form, so that no byte of a file can be changed unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.licensing.files.errors import FormatError
from services.licensing.files.payload import FORMAT, Payload, decode
from services.licensing.files.signing import SIGNATURE_BYTES, SUITE, seal, unseal, verify
from services.licensing.files.xml import read_envelope

_FIELDS = ("company", "device", "serial", "key", "suite", "recipient", "content")
_NOBODY = "none"


@dataclass(frozen=True, slots=True)
class SignedFile:
    """An envelope as it is read, before anything in it is believed; `recipient` names the device key it is for."""

    form: str
    company: str
    device: str
    serial: str
    key: str
    recipient: str
    content: bytes


def key_name(device_key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a device key: the first 32 hexadecimal digits of the SHA-256 of its DER."""
    der = device_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:32]


def hpke_info(company: str, device: str, serial: str, key: str) -> bytes:
    """Return the context that an encrypted content is bound to (rule S17)."""
    return f"TESSERA LICENSE FILE HPKE|{FORMAT}|{company}|{device}|{serial}|{key}".encode("ascii")


def wrap(payload: Payload, payload_bytes: bytes, signature: bytes, device_key: ec.EllipticCurvePublicKey | None) -> str:
    """Write the file: sign inside, encrypt outside.

    Args:
        payload: what the bytes say, for the envelope's own fields.
        payload_bytes: the bytes that were signed.
        signature: 64 bytes over them.
        device_key: the key to encrypt to; None for a plain file.
    """
    content = signature + payload_bytes
    if device_key is not None:
        info = hpke_info(payload.company, payload.device, payload.serial, payload.key)
        content = seal(device_key, content, info)
    form, recipient = ("plain", _NOBODY) if device_key is None else ("encrypted", key_name(device_key))
    return write(SignedFile(form, payload.company, payload.device, payload.serial, payload.key, recipient, content))


def write(file: SignedFile) -> str:
    """Write the envelope in its one form."""
    suite = SUITE if file.form == "encrypted" else "none"
    content = base64.b64encode(file.content).decode()
    values = (file.company, file.device, file.serial, file.key, suite, file.recipient, content)
    rows = [f" <{name}>{value}</{name}>" for name, value in zip(_FIELDS, values, strict=True)]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<license-file format="{FORMAT}" form="{file.form}">',
            *rows,
            "</license-file>",
            "",
        ]
    )


def read(data: bytes) -> SignedFile:
    """Read an envelope.

    Raises:
        FormatError: `malformed` when it is not one; `changed` when it is not written in its one form.
    """
    envelope = read_envelope(data)
    form = envelope.attributes.get("form", "")
    if envelope.tag != "license-file" or tuple(tag for tag, _ in envelope.children) != _FIELDS:
        raise FormatError("malformed", "The document is not a license file of this format.")
    if envelope.attributes.get("format") != str(FORMAT) or form not in ("plain", "encrypted"):
        raise FormatError("malformed", "The license file has a format or form that is not known here.")
    company, device, serial, key, _suite, recipient, content = (text for _, text in envelope.children)
    file = SignedFile(form, company, device, serial, key, recipient, read_base64(content))
    if write(file).encode() != data or (form == "plain" and recipient != _NOBODY):
        raise FormatError("changed", "The license file was changed: its envelope is not as it was issued.")
    return file


def open_file(
    file: SignedFile,
    keys: Mapping[str, ec.EllipticCurvePublicKey],
    device_key: ec.EllipticCurvePrivateKey | None,
) -> tuple[Payload, bytes]:
    """Decrypt and verify a file, then read exactly the bytes that were verified.

    Args:
        file: the envelope.
        keys: verification keys by id.
        device_key: needed for an encrypted file only.

    Returns:
        The payload and its signed bytes.

    Raises:
        FormatError: `unknown_key`, `unreadable`, `changed` or `malformed`.
    """
    if file.key not in keys:
        raise FormatError("unknown_key", f'The file is signed with the key "{file.key}", which is not known.')
    content = file.content
    if file.form == "encrypted":
        if device_key is None:
            raise FormatError("unreadable", "The file is encrypted; the device's key is needed to read it.")
        if file.recipient != key_name(device_key.public_key()):
            raise FormatError("unreadable", "The file is encrypted to another key than this device's.")
        content = unseal(device_key, content, hpke_info(file.company, file.device, file.serial, file.key))
    signature, signed = content[:SIGNATURE_BYTES], content[SIGNATURE_BYTES:]
    if not verify(keys[file.key], signature, signed):
        raise FormatError("changed", "The license file was changed: its signature does not fit.")
    payload = decode(signed)
    said = (payload.form, payload.company, payload.device, payload.serial, payload.key)
    if said != (file.form, file.company, file.device, file.serial, file.key):
        raise FormatError("changed", "The license file was changed: envelope and signed content differ.")
    return payload, signed


def read_base64(text: str) -> bytes:
    """Read base64 in its one form.

    Raises:
        FormatError: `malformed` for anything else.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("malformed", "The content is not base64.") from error
