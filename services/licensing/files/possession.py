"""What a device signs to prove that a company has it in hand (DEV-15): a signed text with a purpose of its own.

It names the company's record, so that it proves nothing for another company, and the time, so that one that was kept
proves nothing later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from services.licensing.files.envelope import read_base64
from services.licensing.files.errors import FormatError
from services.licensing.files.payload import read_time
from services.licensing.files.returns import DEVICE_PATTERN, UUID_PATTERN, read_signed
from services.licensing.files.signing import SIGNATURE_BYTES, verify

PURPOSE = "TESSERA DEVICE POSSESSION"
_HEADERS = ("format", "algorithm", "device", "record", "created")
_OLDEST: Final = timedelta(hours=24)
_AHEAD: Final = timedelta(minutes=10)
_PEM = re.compile(
    r"\s*-----BEGIN TESSERA POSSESSION PROOF-----\s+([A-Za-z0-9+/=\s]{1,4000})-----END TESSERA POSSESSION PROOF-----\s*"
)


@dataclass(frozen=True, slots=True)
class PossessionProof:
    """A device's word that a company has it in hand, before it is verified."""

    signature: bytes
    signed: bytes
    device: str
    record: str
    created_at: datetime


def read_possession(text: str) -> PossessionProof:
    """Read a proof of possession from base64, or from a whole PEM block.

    Raises:
        FormatError: `malformed` when it is not one; nothing is verified here.
    """
    block = _PEM.fullmatch(text)
    content = read_base64("".join((block.group(1) if block else text).split()))
    signature, signed = content[:SIGNATURE_BYTES], content[SIGNATURE_BYTES:]
    values = read_signed(signed, PURPOSE, _HEADERS)
    if not DEVICE_PATTERN.fullmatch(values["device"]) or not UUID_PATTERN.fullmatch(values["record"]):
        raise FormatError("malformed", "The proof has a wrong device or record.")
    return PossessionProof(signature, signed, values["device"], values["record"], read_time(values["created"]))


def flaw(
    proof: PossessionProof, key: ec.EllipticCurvePublicKey, *, device: str, record: str, now: datetime
) -> str | None:
    """Return the code that says why a proof proves nothing, None when it is good.

    Args:
        proof: as read.
        key: of the device's present certificate.
        device: hardware id of the device it is to prove.
        record: id of the company's record of it.
        now: the portal's time.
    """
    if (proof.device, proof.record) != (device, record):
        return "licensing.possession_proof_invalid"
    if not verify(key, proof.signature, proof.signed, one_form=False):
        return "licensing.possession_proof_invalid"
    if not now - _OLDEST <= proof.created_at <= now + _AHEAD:
        return "licensing.possession_proof_expired"
    return None
