"""The device client against the published test vectors: what any other implementation must do as well."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients.device.errors import DeviceError
from clients.device.formats import LicenseFile, open_license_file, read_keys

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference" / "test-vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "license-files.json").read_text())
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
