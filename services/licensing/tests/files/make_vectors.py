"""Write the published test vectors into a folder (`python -m services.licensing.tests.files.make_vectors FOLDER`).

All keys in them are derived from small numbers and known to everybody. Run it only when a format gets a new version:
the encrypted file is different each time, and others have these files in their own tests.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from services.licensing.certificates import profile
from services.licensing.certificates.requests import key_bytes, key_digest
from services.licensing.files import envelope, payload, returns, signing, text

DEVICE, OTHER = "00-90-33-08-20-20", "00-90-33-08-20-21"
COMPANY = "01930000-0000-7000-8000-00000000c0de"
SERIAL = "01930000-0000-7000-8000-000000000001"
KID = "license-files-20260101-0badc0de"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LINES = (
    payload.LicenseLine(8, "port8", 20, "PORT8"),
    payload.LicenseLine(8, "port8-20", 20, "PORT8*20"),
    payload.LicenseLine(8, "voicemail8", 20, "Voicemail8"),
)


def number_key(number: int) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key with this private number."""
    return ec.derive_private_key(number, ec.SECP256R1())


SIGNING_KEY, DEVICE_KEY, NEW_DEVICE_KEY, ROOT_KEY, ISSUING_KEY = (number_key(number) for number in range(1001, 1006))


def make_payload(**changes: Any) -> payload.Payload:
    """Return the vectors' payload with some values changed."""
    values: dict[str, Any] = {
        "key": KID,
        "serial": SERIAL,
        "company": COMPANY,
        "device": DEVICE,
        "counter": 7,
        "issued_at": MOMENT,
        "expires_at": None,
        "kind": "license",
        "form": "plain",
        "lines": LINES,
    }
    return payload.Payload(**{**values, **changes})


def make_file(
    signer: ec.EllipticCurvePrivateKey = SIGNING_KEY,
    recipient: ec.EllipticCurvePrivateKey = DEVICE_KEY,
    **changes: Any,
) -> str:
    """Return a file of the vectors, signed with and encrypted to their keys unless told otherwise."""
    content = make_payload(**changes)
    signed = payload.encode(content)
    device_key = recipient.public_key() if content.form == "encrypted" else None
    return envelope.wrap(content, signed, signing.sign(signer, signed), device_key)


def one_changed(file: str) -> str:
    """Return a file with one symbol of its content replaced."""
    place = file.index("<content>") + 200
    return file[:place] + ("A" if file[place] != "A" else "B") + file[place + 1 :]


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def jwk_set() -> dict[str, Any]:
    """Return the vectors' verification keys."""
    jwk = dict(ECAlgorithm.to_jwk(SIGNING_KEY.public_key(), as_dict=True))
    return {"keys": [{**jwk, "kid": KID, "use": "sig", "alg": "ES256"}]}


def make_chain() -> list[x509.Certificate]:
    """Return a device certificate, its issuing authority and the root."""
    root = profile.make_root(ROOT_KEY, MOMENT)
    issuing = profile.make_issuing(ISSUING_KEY.public_key(), "vector", root, ROOT_KEY, MOMENT)
    subject = profile.DeviceSubject(
        serial=0x1234567890ABCDEF1234567890ABCDEF,
        hardware_id=DEVICE,
        key=DEVICE_KEY.public_key(),
        not_before=MOMENT,
        not_after=datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC),
        crl_url="https://licenses.example.com/v1/device-ca.crl",
    )
    return [profile.make_device(subject, issuing, ISSUING_KEY), issuing, root]


def license_file_vectors() -> dict[str, Any]:
    """Return files and what a device must say to each."""
    plain, encrypted = make_file(), make_file(form="encrypted")
    test_file = make_file(kind="test", expires_at=datetime(2026, 2, 1, tzinfo=UTC))
    cases = [
        ("plain file", plain, "accepted"),
        ("encrypted file", encrypted, "accepted"),
        ("test file before its end", test_file, "accepted"),
        ("file of another device", make_file(device=OTHER), "other_device"),
        ("one byte of the plain content changed", one_changed(plain), "changed"),
        ("one byte of the encrypted content changed", one_changed(encrypted), "changed"),
        ("encrypted to another key", make_file(recipient=NEW_DEVICE_KEY, form="encrypted"), "unreadable"),
        ("signed by another key under the same id", make_file(number_key(999)), "changed"),
        (
            "signed under an unknown key id",
            make_file(number_key(999), key="license-files-19990101-00000000"),
            "unknown_key",
        ),
        ("counter below the highest installed", make_file(counter=4), "old_counter"),
        ("expired test file", make_file(kind="test", expires_at=datetime(2026, 1, 3, tzinfo=UTC)), "expired"),
        ("blank added to the envelope", plain.replace(" <company>", "  <company>"), "changed"),
        ("not a license file", returns_vectors()["return"], "malformed"),
    ]
    return {
        "about": "See docs/reference/license-files.md. The device checks at `now` and has installed `last_counter`.",
        "hardware_id": DEVICE,
        "device_key_pem": pem(DEVICE_KEY),
        "keys": jwk_set(),
        "now": "2026-01-10T00:00:00Z",
        "last_counter": 5,
        "payload": payload.encode(make_payload()).decode(),
        "cases": [{"name": name, "file": file, "expected": expected} for name, file, expected in cases],
        "licenses": [[line.version, line.license_type, line.quantity, line.name] for line in LINES],
    }


def returns_vectors() -> dict[str, Any]:
    """Return a return and a renewal proof, with the keys and certificates to check them."""
    chain = make_chain()
    rows = f"device: {DEVICE}\nserial: {SERIAL}\ncounter: 7\nnonce: {'0123456789abcdef' * 2}\n"
    signed = f"TESSERA LICENSE RETURN\nformat: 1\nalgorithm: ES256\n{rows}created: 2026-01-11T00:00:00Z\nEND\n".encode()
    certificate = chain[0].public_bytes(serialization.Encoding.DER)
    digest = key_digest(key_bytes(NEW_DEVICE_KEY.public_key()))
    proof = (
        f"TESSERA CERTIFICATE RENEWAL\nformat: 1\nalgorithm: ES256\ndevice: {DEVICE}\n"
        f"key-sha256: {digest}\ncreated: 2026-01-11T00:00:00Z\nEND\n"
    ).encode()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "is ignored")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = request.sign(NEW_DEVICE_KEY, hashes.SHA256(), ecdsa_deterministic=True)
    block = base64.b64encode(signing.sign(DEVICE_KEY, proof) + proof).decode()
    return {
        "about": "What the device 00-90-33-08-20-20 signs; signatures here are deterministic (RFC 6979).",
        "device_key_pem": pem(DEVICE_KEY),
        "new_device_key_pem": pem(NEW_DEVICE_KEY),
        "chain_pem": "".join(profile.pem(certificate) for certificate in chain),
        "signed_return": signed.decode(),
        "return": returns.write_return(certificate, signing.sign(DEVICE_KEY, signed), signed),
        "request_pem": csr.public_bytes(serialization.Encoding.PEM).decode(),
        "signed_proof": proof.decode(),
        "proof": f"-----BEGIN TESSERA RENEWAL PROOF-----\n{block}\n-----END TESSERA RENEWAL PROOF-----\n",
    }


def text_vectors() -> dict[str, Any]:
    """Return a text file of version 7 with the secrets behind its short keys."""
    secret = bytes(range(32))
    lines = [text.TextLine("PBX7#100", 1), text.TextLine("Voicemail7#100", 1), text.TextLine("Registrations7", 40)]
    content = text.write_text(lines, DEVICE, secret)
    return {
        "about": "Text file of version 7; the vendor's secret is one made for these vectors.",
        "hardware_id": DEVICE,
        "vendor_secret_hex": secret.hex(),
        "device_secret_hex": text.device_secret(secret, DEVICE).hex(),
        "file": content,
        "changed": content.replace("Registrations7 40", "Registrations7 41"),
    }


def main() -> None:
    """Write the three files into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    vectors = {"license-files": license_file_vectors, "returns": returns_vectors, "text-files": text_vectors}
    for name, make in vectors.items():
        (folder / f"{name}.json").write_text(json.dumps(make(), indent=1) + "\n")


if __name__ == "__main__":
    main()
