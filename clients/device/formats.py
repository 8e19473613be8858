"""Reading a license file and writing what a device signs, from the published description alone."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import ParseError

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from clients.device.errors import DeviceError

MAX_FILE_BYTES = 65_536
_SUITE_NAME = "DHKEM-P256-HKDF-SHA256/HKDF-SHA256/AES-256-GCM"
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ENVELOPE = ("company", "device", "serial", "key", "suite", "recipient", "content")
_HEADERS = (
    "format",
    "algorithm",
    "key",
    "serial",
    "company",
    "device",
    "counter",
    "issued",
    "expires",
    "kind",
    "form",
    "licenses",
)
_ROW = re.compile(r"([1-9][0-9]?) ([1-9][0-9]{0,8}) ([a-z0-9][a-z0-9-]{0,62}) ([!-~]{1,60})")

Keys = Mapping[str, ec.EllipticCurvePublicKey]


@dataclass(frozen=True, slots=True)
class License:
    """One license of a file: version, type id, number of units, name as the trade writes it."""

    version: int
    license_type: str
    quantity: int
    name: str


@dataclass(frozen=True, slots=True)
class LicenseFile:
    """A verified license file; `signed` is signature (64 bytes) and payload, `key` the signing key's id."""

    key: str
    serial: str
    company: str
    device: str
    counter: int
    issued_at: datetime
    expires_at: datetime | None
    kind: str
    form: str
    licenses: tuple[License, ...]
    signed: bytes


def open_license_file(
    data: bytes,
    *,
    hardware_id: str,
    keys: Keys,
    device_key: ec.EllipticCurvePrivateKey | None = None,
    last_counter: int = 0,
    now: datetime | None = None,
) -> LicenseFile:
    """Verify a license file offline and read it.

    The order of the checks is the published one: envelope, device, key id, decryption, signature, content, device
    again under the signature, counter, expiry.

    Args:
        data: the file's bytes.
        hardware_id: this device, in canonical spelling.
        keys: published verification keys by id.
        device_key: this device's private key, for encrypted files.
        last_counter: highest counter installed so far; a lower one is refused.
        now: time for the expiry of test licenses, default the clock.

    Raises:
        DeviceError: `malformed`, `changed`, `other_device`, `old_counter`, `unknown_key`, `expired`, `unreadable`.
    """
    form, values = _read_envelope(data)
    company, device, serial, key = values["company"], values["device"], values["serial"], values["key"]
    if device != hardware_id:
        raise _other_device(device, hardware_id)
    if key not in keys:
        raise DeviceError("unknown_key", f'The file is signed with the key "{key}", which is not a published one.')
    content = _base64(values["content"])
    if form == "encrypted":
        if device_key is None:
            raise DeviceError("unreadable", "The file is encrypted and this device has no key yet.")
        if values["recipient"] != key_name(device_key.public_key()):
            raise DeviceError("unreadable", "The file is encrypted to a key other than this device's present one.")
        info = f"TESSERA LICENSE FILE HPKE|1|{company}|{device}|{serial}|{key}".encode()
        try:
            content = _SUITE.decrypt(content, device_key, info)
        except (InvalidTag, ValueError) as error:
            raise DeviceError("changed", "The file was changed: it cannot be decrypted.") from error
    file = read_signed(content, keys[key])
    if (file.form, file.company, file.device, file.serial, file.key) != (form, company, device, serial, key):
        raise DeviceError("changed", "The file was changed: its envelope and its signed content differ.")
    if file.device != hardware_id:
        raise _other_device(file.device, hardware_id)
    if file.counter < last_counter:
        raise DeviceError(
            "old_counter",
            f"The file has the counter {file.counter}; a file with {last_counter} was installed before,"
            " so this one is outdated.",
        )
    if file.expires_at is not None and file.expires_at < (now or datetime.now(UTC)):
        raise DeviceError("expired", f"The test license expired at {file.expires_at:%Y-%m-%d %H:%M} UTC.")
    return file


def read_signed(content: bytes, key: ec.EllipticCurvePublicKey) -> LicenseFile:
    """Verify signature and payload of a file and read exactly the verified bytes.

    Raises:
        DeviceError: `changed` when the signature does not fit, `malformed` when the text is not as published.
    """
    signature, payload = content[:64], content[64:]
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        if len(signature) != 64 or s > _P256_ORDER // 2:
            raise InvalidSignature
        key.verify(encode_dss_signature(r, s), payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise DeviceError("changed", "The file was changed: its signature does not fit.") from error
    try:
        rows = payload.decode("ascii").split("\n")
        if rows[0] != "TESSERA LICENSE FILE" or rows[-2:] != ["END", ""]:
            raise ValueError("first or last row")
        values = dict(_header(row, name) for row, name in zip(rows[1:], _HEADERS, strict=False))
        if values["format"] != "1" or values["algorithm"] != "ES256":
            raise ValueError("format or algorithm")
        licenses = tuple(_license(row) for row in rows[1 + len(_HEADERS) : -2])
        if int(values["licenses"]) != len(licenses):
            raise ValueError("number of licenses")
        expires = None if values["expires"] == "never" else _time(values["expires"])
        issued, counter = _time(values["issued"]), int(values["counter"])
    except (ValueError, KeyError, IndexError) as error:
        raise DeviceError("malformed", f"The signed content is not as published: {error}.") from error
    return LicenseFile(
        values["key"],
        values["serial"],
        values["company"],
        values["device"],
        counter,
        issued,
        expires,
        values["kind"],
        values["form"],
        licenses,
        content,
    )


def key_name(device_key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a device key in envelopes: the first 32 hexadecimal digits of the SHA-256 of its DER."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(device_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()[:32]


def write_return(
    device_key: ec.EllipticCurvePrivateKey, certificate_der: bytes, file: LicenseFile, counter: int, nonce: str
) -> bytes:
    """Write the signed return of a file.

    Args:
        device_key: key of the certificate.
        certificate_der: the device's certificate.
        file: what is returned.
        counter: highest counter installed so far.
        nonce: fresh number, 32 hexadecimal digits.
    """
    rows = [
        "TESSERA LICENSE RETURN",
        "format: 1",
        "algorithm: ES256",
        f"device: {file.device}",
        f"serial: {file.serial}",
        f"counter: {counter}",
        f"nonce: {nonce}",
        f"created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "END",
        "",
    ]
    content = _sign(device_key, "\n".join(rows).encode())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<license-return format="1">\n'
        f" <certificate>{base64.b64encode(certificate_der).decode()}</certificate>\n"
        f" <content>{base64.b64encode(content).decode()}</content>\n</license-return>\n"
    ).encode()


def write_proof(old_key: ec.EllipticCurvePrivateKey, hardware_id: str, new_key_der: bytes) -> str:
    """Write the proof that the holder of the old key asks for a certificate of the new key, as a PEM block.

    Args:
        old_key: key of the present certificate.
        hardware_id: this device.
        new_key_der: the new public key as SubjectPublicKeyInfo.
    """
    digest = hashes.Hash(hashes.SHA256())
    digest.update(new_key_der)
    rows = [
        "TESSERA CERTIFICATE RENEWAL",
        "format: 1",
        "algorithm: ES256",
        f"device: {hardware_id}",
        f"key-sha256: {digest.finalize().hex()}",
        f"created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "END",
        "",
    ]
    return _block("TESSERA RENEWAL PROOF", old_key, rows)


def write_possession(
    key: ec.EllipticCurvePrivateKey, hardware_id: str, record: str, now: datetime | None = None
) -> str:
    """Write the proof that a company has the device in hand, as a PEM block.

    Args:
        key: key of the present certificate.
        hardware_id: this device.
        record: id of the company's record of the device.
        now: the device's time; the clock's when absent.
    """
    rows = [
        "TESSERA DEVICE POSSESSION",
        "format: 1",
        "algorithm: ES256",
        f"device: {hardware_id}",
        f"record: {record}",
        f"created: {now or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "END",
        "",
    ]
    return _block("TESSERA POSSESSION PROOF", key, rows)


def _block(name: str, key: ec.EllipticCurvePrivateKey, rows: list[str]) -> str:
    text = base64.b64encode(_sign(key, "\n".join(rows).encode())).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {name}-----\n{lines}\n-----END {name}-----\n"


def read_keys(jwk_set: object) -> dict[str, ec.EllipticCurvePublicKey]:
    """Read the P-256 keys of a JWK set by id; keys of other kinds are passed over.

    Raises:
        DeviceError: `malformed` when it is not a JWK set.
    """
    keys = jwk_set.get("keys") if isinstance(jwk_set, dict) else None
    if not isinstance(keys, list):
        raise DeviceError("malformed", 'The verification keys are not a JWK set: there is no list "keys".')
    found = {}
    try:
        for key in keys:
            if key.get("kty") == "EC" and key.get("crv") == "P-256" and key.get("alg", "ES256") == "ES256":
                x, y = (int.from_bytes(_base64url(key[name]), "big") for name in ("x", "y"))
                found[str(key["kid"])] = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeviceError("malformed", f"One of the verification keys cannot be read: {error}.") from error
    return found


def _read_envelope(data: bytes) -> tuple[str, dict[str, str]]:
    if len(data) > MAX_FILE_BYTES:
        raise DeviceError("malformed", f"The file has {len(data)} bytes; a license file has at most {MAX_FILE_BYTES}.")
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise DeviceError("malformed", f"The file is not the XML of a license file: {error}.") from error
    if root.tag != "license-file" or tuple(child.tag for child in root) != _ENVELOPE:
        raise DeviceError("malformed", "The XML is not a license file of a known format.")
    form, values = root.get("form", ""), {child.tag: child.text or "" for child in root}
    if root.get("format") != "1" or form not in ("plain", "encrypted"):
        raise DeviceError("malformed", "The license file has a format or form that this client does not know.")
    suite = _SUITE_NAME if form == "encrypted" else "none"
    rows = [f" <{name}>{suite if name == 'suite' else values[name]}</{name}>" for name in _ENVELOPE]
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<license-file format="1" form="{form}">\n'
    if form == "plain" and values["recipient"] != "none":
        raise DeviceError("changed", "The file was changed: a plain file names a device key.")
    # A license file has one written form: comparing with it finds every change that XML itself would forgive.
    if (head + "\n".join(rows) + "\n</license-file>\n").encode() != data:
        raise DeviceError("changed", "The file was changed: its envelope is not written as it was issued.")
    return form, values


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + min(s, _P256_ORDER - s).to_bytes(32, "big") + data


def _header(row: str, name: str) -> tuple[str, str]:
    if not row.startswith(f"{name}: "):
        raise ValueError(f'"{name}: " is missing')
    return name, row[len(name) + 2 :]


def _license(row: str) -> License:
    match = _ROW.fullmatch(row)
    if not match:
        raise ValueError(f'license line "{row[:60]}"')
    version, quantity, license_type, name = match.groups()
    return License(int(version), license_type, int(quantity), name)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _base64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DeviceError("malformed", "The content of the file is not base64.") from error
    if base64.b64encode(value).decode() != text:
        raise DeviceError("changed", "The file was changed: its base64 is not written in the one allowed form.")
    return value


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _other_device(device: str, hardware_id: str) -> DeviceError:
    return DeviceError("other_device", f"The file is for the device {device[:40]}; this device is {hardware_id}.")
