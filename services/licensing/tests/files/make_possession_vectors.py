"""Write published vectors of possession (`python -m services.licensing.tests.files.make_possession_vectors FOLDER`).

All is the same at each run: the key is that of the other vectors, signatures are deterministic (RFC 6979).
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from services.licensing.files import signing
from services.licensing.tests.files.make_vectors import DEVICE, DEVICE_KEY, NEW_DEVICE_KEY, OTHER, pem, returns_vectors

RECORD, OTHER_RECORD = "01930000-0000-7000-8000-00000000de71", "01930000-0000-7000-8000-00000000de72"
CREATED = datetime(2026, 1, 11, tzinfo=UTC)
NOW = CREATED + timedelta(hours=1)
INVALID, EXPIRED = "licensing.possession_proof_invalid", "licensing.possession_proof_expired"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def text(device: str = DEVICE, record: str = RECORD, created: datetime = CREATED) -> bytes:
    """Return the text that a device signs."""
    return (
        f"TESSERA DEVICE POSSESSION\nformat: 1\nalgorithm: ES256\ndevice: {device}\nrecord: {record}\n"
        f"created: {created:%Y-%m-%dT%H:%M:%SZ}\nEND\n"
    ).encode()


def proof(signed: bytes, key: ec.EllipticCurvePrivateKey = DEVICE_KEY) -> str:
    """Return signature and text in base64."""
    return base64.b64encode(signing.sign(key, signed) + signed).decode()


def block(content: str) -> str:
    """Return the PEM block around base64."""
    lines = "\n".join(content[start : start + 64] for start in range(0, len(content), 64))
    return f"-----BEGIN TESSERA POSSESSION PROOF-----\n{lines}\n-----END TESSERA POSSESSION PROOF-----\n"


def possession_vectors() -> dict[str, Any]:
    """Return proofs of possession, and what the portal says to each at one moment."""
    signed, second = text(), timedelta(seconds=1)
    signature = signing.sign(DEVICE_KEY, signed)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    twin = base64.b64encode(signature[:32] + (ORDER - s).to_bytes(32, "big") + signed).decode()
    der = base64.b64encode(encode_dss_signature(r, s) + signed).decode()
    renewal = "".join(returns_vectors()["proof"].splitlines()[1:-1])
    cases = [
        ("base64", proof(signed), "accepted"),
        ("PEM block", block(proof(signed)), "accepted"),
        ("the signature with the other s", twin, "accepted"),
        ("24 hours old", proof(text(created=NOW - timedelta(hours=24))), "accepted"),
        ("10 minutes ahead", proof(text(created=NOW + timedelta(minutes=10))), "accepted"),
        ("older than 24 hours", proof(text(created=NOW - timedelta(hours=24) - second)), EXPIRED),
        ("more than 10 minutes ahead", proof(text(created=NOW + timedelta(minutes=10) + second)), EXPIRED),
        ("for another record", proof(text(record=OTHER_RECORD)), INVALID),
        ("for another device", proof(text(device=OTHER)), INVALID),
        ("signed by another key", proof(signed, NEW_DEVICE_KEY), INVALID),
        ("a changed byte", base64.b64encode(signature + text(created=CREATED + second)).decode(), INVALID),
        ("signature in DER", der, INVALID),
        ("a proof of renewal", renewal, INVALID),
        ("hardware id in small letters without dashes", proof(text(device="009033082020")), INVALID),
        ("time with fractions", proof(signed.replace(b":00Z", b":00.000Z")), INVALID),
        ("rows ended by CR LF", proof(signed.replace(b"\n", b"\r\n")), INVALID),
        ("no line feed at the end", proof(signed[:-1]), INVALID),
        ("one row more", proof(signed.replace(b"END", b"nonce: 00\nEND")), INVALID),
        ("the text alone", base64.b64encode(signed).decode(), INVALID),
        ("base64url", proof(signed).replace("+", "-").replace("/", "_").rstrip("="), INVALID),
    ]
    return {
        "about": "What a device signs to prove that a company has it in hand; each case is sent as `proof` at `now`.",
        "hardware_id": DEVICE,
        "record": RECORD,
        "now": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        "device_key_pem": pem(DEVICE_KEY),
        "signed_text": signed.decode(),
        "signature_hex": signature.hex(),
        "proof": proof(signed),
        "cases": [{"name": name, "proof": content, "expected": expected} for name, content, expected in cases],
    }


def main() -> None:
    """Write the file into the folder named on the command line."""
    content = json.dumps(possession_vectors(), indent=1)
    (Path(sys.argv[1]) / "possession.json").write_text(f"{content}\n")


if __name__ == "__main__":
    main()
