"""The formats' parsers: the published vectors, every bit, hostile XML, and whatever hypothesis thinks of."""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.licensing.files import envelope, payload, possession, returns, signing, text
from services.licensing.files.errors import FormatError
from services.licensing.files.xml import MAX_BYTES, read_envelope
from services.licensing.tests.files import make_vectors as vectors
from services.licensing.tests.files.make_possession_vectors import possession_vectors

FOLDER = Path(__file__).resolve().parents[4] / "docs" / "reference" / "test-vectors"
KEYS = {vectors.KID: vectors.SIGNING_KEY.public_key()}


def published(name: str) -> dict[str, Any]:
    """Return a file of published vectors."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def test_the_published_vectors_are_what_the_code_makes() -> None:
    files = published("license-files")
    made = vectors.license_file_vectors()
    assert files["payload"] == made["payload"]
    # Encrypted files and X.509 names of authorities differ from run to run; everything else is the same for ever.
    plain = [(old["name"], old["file"]) for old in files["cases"] if 'form="plain"' in old["file"]]
    assert plain == [(new["name"], new["file"]) for new in made["cases"] if 'form="plain"' in new["file"]]
    assert published("text-files") == vectors.text_vectors()
    again = vectors.returns_vectors()
    for name in ("signed_return", "request_pem", "proof"):
        assert published("returns")[name] == again[name]


def test_the_published_returns_verify() -> None:
    found = published("returns")
    read = returns.read_return(found["return"].encode())
    key = vectors.DEVICE_KEY.public_key()
    assert signing.verify(key, read.signature, read.signed)
    assert (read.device, read.serial, read.counter) == (vectors.DEVICE, vectors.SERIAL, 7)
    proof = returns.read_proof(found["proof"])
    assert signing.verify(key, proof.signature, proof.signed)


def test_the_published_proofs_of_possession_are_what_the_code_makes_and_takes() -> None:
    found = published("possession")
    assert found == possession_vectors()
    moment, key = datetime.fromisoformat(found["now"]), vectors.DEVICE_KEY.public_key()
    for case in found["cases"]:
        try:
            proof = possession.read_possession(case["proof"])
        except FormatError:
            # The portal answers every text that is none with this code.
            said: str | None = "licensing.possession_proof_invalid"
        else:
            said = possession.flaw(proof, key, device=found["hardware_id"], record=found["record"], now=moment)
        assert (said or "accepted") == case["expected"], case["name"]


def test_the_published_text_file_verifies_and_its_change_does_not() -> None:
    found = published("text-files")
    secret = bytes.fromhex(found["vendor_secret_hex"])
    assert len(text.check_text(found["file"], found["hardware_id"], secret)) == 3
    with pytest.raises(FormatError, match=r"Line 2 was changed"):
        text.check_text(found["changed"], found["hardware_id"], secret)
    with pytest.raises(FormatError, match="is for the device"):
        text.check_text(found["file"], vectors.OTHER, secret)


def test_a_changed_symbol_of_a_text_file_is_refused() -> None:
    found = published("text-files")
    secret = bytes.fromhex(found["vendor_secret_hex"])
    data = found["file"].encode()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(FormatError):
            text.check_text(changed.decode(), found["hardware_id"], secret)


@pytest.mark.parametrize("form", ["plain", "encrypted"])
def test_a_flipped_bit_of_any_byte_is_refused(form: str) -> None:
    data = vectors.make_file(form=form).encode()
    assert envelope.open_file(envelope.read(data), KEYS, vectors.DEVICE_KEY)[0] == vectors.make_payload(form=form)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(FormatError):
            envelope.open_file(envelope.read(bytes(changed)), KEYS, vectors.DEVICE_KEY)


@pytest.mark.parametrize("name", ["company", "device", "serial", "key"])
def test_an_encrypted_file_is_bound_to_its_envelope(name: str) -> None:
    file = envelope.read(vectors.make_file(form="encrypted").encode())
    swapped = {
        "company": "01930000-0000-7000-8000-00000000c0df",
        "device": vectors.OTHER,
        "serial": "01930000-0000-7000-8000-000000000002",
        "key": "other",
    }
    keys = {**KEYS, "other": KEYS[vectors.KID]}
    values = {field: getattr(file, field) for field in ("form", "company", "device", "serial", "key", "recipient")}
    moved = envelope.SignedFile(**{**values, name: swapped[name]}, content=file.content)
    with pytest.raises(FormatError, match="cannot be decrypted"):
        envelope.open_file(moved, keys, vectors.DEVICE_KEY)


def test_the_twin_of_a_signature_is_refused_in_files_only() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signature = signing.sign(vectors.SIGNING_KEY, b"data")
    twin = signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    public = vectors.SIGNING_KEY.public_key()
    assert signing.verify(public, signature, b"data")
    assert not signing.verify(public, twin, b"data")
    assert signing.verify(public, twin, b"data", one_form=False)
    for wrong in (b"", bytes(64), signature[:-1], signature + b"\0", b"\xff" * 64):
        assert not signing.verify(public, wrong, b"data", one_form=False)


_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_RETURN = vectors.returns_vectors()["return"]
_BODY = _RETURN.removeprefix(_HEAD)
_BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
ATTACKS = {
    "empty": "",
    "no declaration": _BODY,
    "billion laughs": _HEAD + _BOMB + "<license-return>&b;</license-return>",
    "external entity": _HEAD
    + '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><license-return>&x;</license-return>',
    "external dtd": _HEAD + '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">' + _BODY,
    "parameter entity": _HEAD + '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;]>' + _BODY,
    "undefined entity": _HEAD + "<license-return>&nothing;</license-return>",
    "deep": _HEAD + "<a>" * 3000 + "</a>" * 3000,
    "many attributes": _HEAD + "<license-return " + " ".join(f'a{n}="1"' for n in range(3000)) + "/>",
    "many elements": _HEAD + "<license-return>" + "<a/>" * 3000 + "</license-return>",
    "too large": _HEAD + "<license-return>" + " " * MAX_BYTES + "</license-return>",
    "huge token": _HEAD + "<license-return a='" + "x" * (MAX_BYTES - 100),
    "comment split": _RETURN.replace("<content>", "<content><!-- x -->"),
    "comment before": _HEAD + "<!-- x -->" + _BODY,
    "processing instruction": _HEAD + "<?x y?>" + _BODY,
    "second payload": _RETURN.replace("</license-return>", " <content>AAAA</content>\n</license-return>"),
    "moved payload": _RETURN.replace(" <content>", " <wrap><content>").replace("</content>", "</content></wrap>"),
    "other root": _RETURN.replace("license-return", "license-file"),
    "attribute on a child": _RETURN.replace("<content>", '<content x="1">'),
    "namespace": _RETURN.replace('<license-return format="1">', '<license-return xmlns="urn:x" format="1">'),
    "other format": _RETURN.replace('format="1"', 'format="2"'),
    "utf-16": _RETURN.replace("UTF-8", "UTF-16"),
    "latin-1": _RETURN.replace("UTF-8", "ISO-8859-1"),
    "utf-7": _RETURN.replace("UTF-8", "UTF-7"),
    "nul": _RETURN.replace(" <content>", "\0<content>"),
    "trailing": _RETURN + "<more/>",
    "text between": _RETURN.replace(" <content>", "x<content>"),
    "cut": _RETURN[:-30],
    "not base64": _RETURN.replace("<content>", "<content>!"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_xml_is_refused_quickly(name: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(FormatError) as caught:
        returns.read_return(ATTACKS[name].encode())
    assert caught.value.reason == "malformed"
    assert time.perf_counter() - begin < 0.1


def test_a_return_may_be_laid_out_as_the_device_likes() -> None:
    loose = _RETURN.replace("\n ", "\r\n\t").replace("<content>", "<content>\n").replace("UTF-8", "utf-8")
    assert returns.read_return(loose.encode()) == returns.read_return(_RETURN.encode())


def _parses_or_refuses(read: Any, data: Any) -> None:
    # Anything but the declared refusal fails the test.
    with suppress(FormatError):
        read(data)


@given(st.binary(max_size=300))
@example(_RETURN.encode())
def test_envelopes_read_or_refuse_anything(data: bytes) -> None:
    _parses_or_refuses(read_envelope, data)
    _parses_or_refuses(read_envelope, _HEAD.encode() + data)
    _parses_or_refuses(envelope.read, _HEAD.encode() + data)
    _parses_or_refuses(returns.read_return, _HEAD.encode() + data)


_PIECES = st.sampled_from(
    [
        "<license-return format='1'>",
        "</license-return>",
        "<certificate>",
        "</certificate>",
        "<content>",
        "</content>",
        "AAAA",
        " ",
        "&amp;",
        "<![CDATA[AAAA]]>",
        "é",
    ]
)


@given(st.lists(_PIECES, max_size=12))
def test_envelopes_of_the_right_pieces_read_or_refuse(pieces: list[str]) -> None:
    _parses_or_refuses(returns.read_return, (_HEAD + "".join(pieces)).encode())


@given(st.binary(max_size=400), st.integers(0, 500), st.binary(max_size=8))
def test_signed_texts_have_one_written_form(noise: bytes, place: int, insert: bytes) -> None:
    _parses_or_refuses(payload.decode, noise)
    written = payload.encode(vectors.make_payload())
    changed = written[:place] + insert + written[place + len(insert) :]
    try:
        read = payload.decode(changed)
    except FormatError:
        return
    assert payload.encode(read) == changed


_LINE = st.builds(
    payload.LicenseLine,
    version=st.integers(1, 99),
    license_type=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    quantity=st.integers(1, 999_999_999),
    name=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
)
_TIME = st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


@given(st.sets(_LINE, max_size=20), _TIME, st.one_of(st.none(), _TIME), st.integers(1, 10**15))
def test_payloads_survive_writing_and_reading(
    lines: set[payload.LicenseLine], issued: datetime, expires: datetime | None, counter: int
) -> None:
    made = vectors.make_payload(lines=tuple(sorted(lines)), issued_at=issued, expires_at=expires, counter=counter)
    assert payload.decode(payload.encode(made)) == made


@given(st.text(max_size=200))
def test_proofs_and_text_files_read_or_refuse_anything(noise: str) -> None:
    _parses_or_refuses(returns.read_proof, noise)
    _parses_or_refuses(returns.read_proof, base64.b64encode(noise.encode()).decode())
    _parses_or_refuses(lambda given: text.check_text(given, vectors.DEVICE, b"secret"), noise)


def test_a_name_with_a_blank_is_refused_before_it_is_signed() -> None:
    with pytest.raises(FormatError):
        payload.encode(vectors.make_payload(lines=(payload.LicenseLine(8, "port8", 1, "PORT 8"),)))
    with pytest.raises(FormatError):
        text.write_text([text.TextLine("PBX 7", 1)], vectors.DEVICE, b"secret")
