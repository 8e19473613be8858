"""The device client against the published test vectors: what any other implementation must do as well."""

from __future__ import annotations

import base64
import json
import string
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from clients.device.errors import DeviceError
from clients.device.formats import LicenseFile, open_license_file, read_keys, write_possession

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference" / "test-vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "license-files.json").read_text())
BASE64 = set(string.ascii_letters + string.digits + "+/=")
CASES: dict[str, dict[str, str]] = {case["name"]: case for case in VECTORS["cases"]}


def device_key() -> ec.EllipticCurvePrivateKey:
    """Return the device key of the vectors."""
    key = serialization.load_pem_private_key(VECTORS["device_key_pem"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


KEYS, DEVICE_KEY = read_keys(VECTORS["keys"]), device_key()


def opened(data: bytes) -> LicenseFile:
    """Open a file as the vectors' device does."""
    return open_license_file(
        data,
        hardware_id=VECTORS["hardware_id"],
        keys=KEYS,
        device_key=DEVICE_KEY,
        last_counter=VECTORS["last_counter"],
        now=datetime.fromisoformat(VECTORS["now"]),
    )


@pytest.mark.parametrize("name", CASES)
def test_each_vector_is_taken_or_refused_as_published(name: str) -> None:
    case = CASES[name]
    if case["expected"] != "accepted":
        with pytest.raises(DeviceError) as caught:
            opened(case["file"].encode())
        assert caught.value.word == case["expected"]
        return
    file = opened(case["file"].encode())
    found = [[one.version, one.license_type, one.quantity, one.name] for one in file.licenses]
    assert found == VECTORS["licenses"]


def test_every_refusal_has_its_own_text() -> None:
    texts: dict[str, str] = {}
    for case in VECTORS["cases"]:
        if case["expected"] != "accepted":
            with pytest.raises(DeviceError) as caught:
                opened(case["file"].encode())
            texts.setdefault(caught.value.word, caught.value.detail)
    assert len(set(texts.values())) == len(texts) == 7


@pytest.mark.parametrize("name", ["plain file", "encrypted file"])
def test_a_flipped_bit_of_any_byte_is_refused(name: str) -> None:
    data = CASES[name]["file"].encode()
    opened(data)
    for place in range(len(data)):
        # One bit of each byte, another one each time: all eight in the course of eight bytes.
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(DeviceError):
            opened(bytes(changed))


@pytest.mark.parametrize("name", ["plain file", "encrypted file"])
def test_a_cut_or_longer_file_is_refused(name: str) -> None:
    data = CASES[name]["file"].encode()
    for changed in (data[:-1], data[1:], data + b"\n", b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), b""):
        with pytest.raises(DeviceError):
            opened(changed)


def test_the_clients_proof_of_possession_is_the_published_one() -> None:
    """Whoever writes firmware sees at which step he differs: the text, the signature, the base64."""
    found = json.loads((FOLDER / "possession.json").read_text())
    key = serialization.load_pem_private_key(found["device_key_pem"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    public = key.public_key()

    def opened_proof(text: str) -> tuple[bytes, bytes]:
        content = base64.b64decode("".join(line for line in text.split() if set(line) <= BASE64), validate=True)
        r, s = (int.from_bytes(content[start : start + 32], "big") for start in (0, 32))
        public.verify(encode_dss_signature(r, s), content[64:], ec.ECDSA(hashes.SHA256()))
        return content[:64], content[64:]

    signature, signed = opened_proof(found["proof"])
    assert (signature.hex(), signed.decode()) == (found["signature_hex"], found["signed_text"])
    (created,) = (line.removeprefix("created: ") for line in signed.decode().splitlines() if line.startswith("created"))
    made = write_possession(key, found["hardware_id"], found["record"], datetime.fromisoformat(created))
    body = "\n".join(made.splitlines()[1:-1])
    assert opened_proof(body)[1] == signed
