"""What a device signs: the return of a file, and the proof that it still has its old key.

Both are signed texts like a license file, each with a purpose line of its own. A return travels in an XML envelope
with the device's certificate; a proof as a PEM block behind the certificate request.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from services.licensing.files.envelope import read_base64
from services.licensing.files.errors import FormatError
from services.licensing.files.payload import read_headers, read_time, split_rows
from services.licensing.files.signing import SIGNATURE_BYTES
from services.licensing.files.xml import read_envelope

RETURN_PURPOSE = "TESSERA LICENSE RETURN"
PROOF_PURPOSE = "TESSERA CERTIFICATE RENEWAL"
_RETURN_HEADERS = ("format", "algorithm", "device", "serial", "counter", "nonce", "created")
_PROOF_HEADERS = ("format", "algorithm", "device", "key-sha256", "created")
UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COUNTER = re.compile(r"[1-9][0-9]{0,15}")
DEVICE_PATTERN = re.compile(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}|[0-9]{5}-[0-9]{7}-[0-9*]")
_PROOF_PEM = re.compile(
    r"-----BEGIN TESSERA RENEWAL PROOF-----\s+([A-Za-z0-9+/=\s]{1,4000})-----END TESSERA RENEWAL PROOF-----"
)
_MAX_CERTIFICATE = 8_192


@dataclass(frozen=True, slots=True)
class DeviceReturn:
    """A return as read, before it is verified.

    Args:
        certificate: DER of the device's certificate.
        signature: 64 bytes by the certificate's key.
        signed: the bytes under the signature.
        device: hardware id that the return names.
        serial: the returned file.
        counter: the highest counter the device has installed; it will not install that or a lower one again.
        nonce: fresh number of this return, 32 hexadecimal digits.
        created_at: the device's time; only told, never used to decide.
    """

    certificate: bytes
    signature: bytes
    signed: bytes
    device: str
    serial: str
    counter: int
    nonce: str
    created_at: datetime

    @property
    def digest(self) -> str:
        """The SHA-256 of the signed bytes, by which a return is known again."""
        return hashlib.sha256(self.signed).hexdigest()


@dataclass(frozen=True, slots=True)
class RenewalProof:
    """The old key's word for a new key, before it is verified."""

    signature: bytes
    signed: bytes
    device: str
    key_sha256: str


def read_return(data: bytes) -> DeviceReturn:
    """Read a return's envelope and the text in it.

    Raises:
        FormatError: `malformed` when it is not a return; nothing is verified here.
    """
    envelope = read_envelope(data)
    tags = tuple(tag for tag, _ in envelope.children)
    if envelope.tag != "license-return" or tags != ("certificate", "content"):
        raise FormatError("malformed", "The document is not a license return of this format.")
    if envelope.attributes != {"format": "1"}:
        raise FormatError("malformed", "The license return has a format that is not known here.")
    certificate, content = (read_base64("".join(text.split())) for _, text in envelope.children)
    if len(certificate) > _MAX_CERTIFICATE:
        raise FormatError("malformed", f"The certificate has {len(certificate)} bytes; at most 8,192 are accepted.")
    signature, signed = content[:SIGNATURE_BYTES], content[SIGNATURE_BYTES:]
    values = read_signed(signed, RETURN_PURPOSE, _RETURN_HEADERS)
    for name, pattern in (
        ("device", DEVICE_PATTERN),
        ("serial", UUID_PATTERN),
        ("nonce", _NONCE),
        ("counter", _COUNTER),
    ):
        if not pattern.fullmatch(values[name]):
            raise FormatError("malformed", f'The return has a wrong {name}: "{values[name][:60]}".')
    created = read_time(values["created"])
    return DeviceReturn(
        certificate=certificate,
        signature=signature,
        signed=signed,
        device=values["device"],
        serial=values["serial"],
        counter=int(values["counter"]),
        nonce=values["nonce"],
        created_at=created,
    )


def counter_of(signed: bytes) -> int:
    """Return the counter that a return names, of the bytes under its signature.

    Raises:
        FormatError: `malformed` when it is not a return.
    """
    return int(read_signed(signed, RETURN_PURPOSE, _RETURN_HEADERS)["counter"])


def names_of(signed: bytes) -> tuple[str, str]:
    """Return the device and the serial number of the file that a return names, of the bytes under its signature.

    Raises:
        FormatError: `malformed` when it is not a return.
    """
    values = read_signed(signed, RETURN_PURPOSE, _RETURN_HEADERS)
    return values["device"], values["serial"]


def split_proof(pem: str) -> tuple[str, str | None]:
    """Split an upload into the request's PEM and the proof's base64, which may stand behind it."""
    match = _PROOF_PEM.search(pem)
    if not match:
        return pem, None
    return pem[: match.start()] + pem[match.end() :], "".join(match.group(1).split())


def read_proof(text: str) -> RenewalProof:
    """Read a renewal proof from base64, or from a whole PEM block.

    Raises:
        FormatError: `malformed` when it is not one; nothing is verified here.
    """
    _, block = split_proof(text)
    content = read_base64(block if block is not None else "".join(text.split()))
    signature, signed = content[:SIGNATURE_BYTES], content[SIGNATURE_BYTES:]
    values = read_signed(signed, PROOF_PURPOSE, _PROOF_HEADERS)
    if not DEVICE_PATTERN.fullmatch(values["device"]) or not _DIGEST.fullmatch(values["key-sha256"]):
        raise FormatError("malformed", "The proof has a wrong device or key digest.")
    read_time(values["created"])
    return RenewalProof(signature, signed, values["device"], values["key-sha256"])


def write_return(certificate: bytes, signature: bytes, signed: bytes) -> str:
    """Write a return's envelope; devices do this, the server's tests and test vectors too."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<license-return format="1">\n'
        f" <certificate>{base64.b64encode(certificate).decode()}</certificate>\n"
        f" <content>{base64.b64encode(signature + signed).decode()}</content>\n</license-return>\n"
    )


def read_signed(signed: bytes, purpose: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the rows of a text that a device signed, for one purpose and with exactly these names.

    Raises:
        FormatError: `malformed`.
    """
    rows = split_rows(signed, purpose)
    values = read_headers(rows, names)
    if len(rows) != len(names) or values["format"] != "1" or values["algorithm"] != "ES256":
        raise FormatError("malformed", "The signed content has a format or algorithm that is not known here.")
    return values
