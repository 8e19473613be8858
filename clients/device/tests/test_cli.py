"""The command line: what it prints, its exit codes, and what it leaves in the device's folder."""

from __future__ import annotations

import base64
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner, Result

from clients.device.cli import app
from clients.device.errors import EXIT_CODES
from clients.device.formats import read_signed
from clients.device.state import State
from clients.device.tests.conftest import Script
from clients.device.tests.test_vectors import CASES, FOLDER, KEYS, VECTORS

RETURNS: dict[str, Any] = json.loads((FOLDER / "returns.json").read_text())
DEVICE = VECTORS["hardware_id"]
DOOR = f"/device/v1/{DEVICE}"


def run(*arguments: str, **environment: str) -> Result:
    """Run the command line."""
    return CliRunner().invoke(app, list(arguments), env={"TESSERA_DEVICE_PASSWORD": "geheim", **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of the vectors' device, with its key, certificate and pinned keys."""
    state = State(tmp_path / "device")
    state.create(DEVICE)
    key = serialization.load_pem_private_key(VECTORS["device_key_pem"].encode(), None)
    state.save_key("key.pem", key)  # type: ignore[arg-type]
    state.write("certificate.pem", RETURNS["chain_pem"].encode())
    state.write("keys.json", json.dumps(VECTORS["keys"]).encode())
    return state.folder


def written(tmp_path: Path, case: str) -> str:
    """Write a vector's file and return its path."""
    path = tmp_path / "file.xml"
    path.write_text(CASES[case]["file"])
    return str(path)


def test_keygen_makes_a_secret_key_once(tmp_path: Path) -> None:
    state = tmp_path / "new"
    assert run("keygen", "009033082020", "--state", str(state)).exit_code == 0
    assert stat.S_IMODE((state / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    again = run("keygen", "00:90:33:08:20:20", "--state", str(state))
    assert again.exit_code == EXIT_CODES["exists"][0]
    assert "--renew" in again.stderr
    other = run("keygen", "082021", "--state", str(state))
    assert (other.exit_code, DEVICE in other.stderr) == (21, True)
    assert run("keygen", "0090330820", "--state", str(tmp_path / "x")).exit_code == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("case", "word", "text"),
    [
        ("file of another device", "other_device", "00-90-33-08-20-21"),
        ("one byte of the plain content changed", "changed", "signature does not fit"),
        ("one byte of the encrypted content changed", "changed", "cannot be decrypted"),
        ("signed under an unknown key id", "unknown_key", "license-files-19990101-00000000"),
        ("encrypted to another key", "unreadable", "a key other than"),
        ("expired test file", "expired", "2026-01-03"),
        ("not a license file", "malformed", "not a license file"),
    ],
)
def test_what_is_refused_installs_nothing(folder: Path, tmp_path: Path, case: str, word: str, text: str) -> None:
    result = run("install", written(tmp_path, case), "--state", str(folder))
    assert result.exit_code == EXIT_CODES[word][0]
    assert result.stderr.startswith(f"{word}: ")
    assert text in result.stderr
    assert not (folder / "installed.signed").exists()
    assert run("show", "--state", str(folder)).exit_code == EXIT_CODES["not_ready"][0]


@pytest.mark.parametrize("command", ["verify", "install"])
def test_a_file_that_is_not_there_is_wrong_usage(folder: Path, command: str) -> None:
    result = run(command, "nofile.xml", "--state", str(folder))
    assert (result.exit_code, "nofile.xml" in result.stderr) == (2, True)


def test_install_show_and_an_old_counter(folder: Path, tmp_path: Path) -> None:
    result = run("install", written(tmp_path, "encrypted file"), "--state", str(folder))
    assert result.exit_code == 0, result.output
    assert "20 x PORT8*20" in result.stdout
    shown = json.loads(run("show", "--json", "--state", str(folder)).stdout)
    assert (shown["counter"], shown["form"], shown["device"]) == (7, "encrypted", DEVICE)
    old = run("install", written(tmp_path, "counter below the highest installed"), "--state", str(folder))
    assert old.exit_code == EXIT_CODES["old_counter"][0]
    assert "counter 4" in old.stderr
    assert run("install", written(tmp_path, "encrypted file"), "--state", str(folder)).exit_code == 0


def test_a_return_by_hand_uninstalls_for_good(folder: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "encrypted file")
    assert run("install", file, "--state", str(folder)).exit_code == 0
    out = tmp_path / "return.xml"
    assert run("return", "--out", str(out), "--state", str(folder)).exit_code == 0
    again = tmp_path / "again.xml"
    assert run("return", "--out", str(again), "--state", str(folder)).exit_code == 0
    assert out.read_bytes() == again.read_bytes()
    assert run("show", "--state", str(folder)).exit_code == 20
    refused = run("install", file, "--state", str(folder))
    assert (refused.exit_code, "given back" in refused.stderr) == (13, True)


def test_fetch_over_http(folder: Path, portal: Script, tmp_path: Path) -> None:
    portal.answer(f"GET {DOOR}/license-file", 200, CASES["encrypted file"]["file"].encode(), ETag='"one"')
    arguments = ["--state", str(folder), "--portal", portal.url, "--login", "a@example.com"]
    assert run("fetch", *arguments).exit_code == 0
    asked = portal.asked[0]
    assert base64.b64decode(asked["headers"]["Authorization"].removeprefix("Basic ")) == b"a@example.com:geheim"
    assert "If-None-Match" not in asked["headers"]
    portal.answer(f"GET {DOOR}/license-file", 304)
    assert "already" in run("fetch", *arguments).stdout
    assert portal.asked[-1]["headers"]["If-None-Match"] == '"one"'
    portal.answer(f"GET {DOOR}/license-file", 204)
    assert "no license file" in run("fetch", *arguments).stdout


def test_new_keys_are_asked_for_once_when_the_key_is_unknown(folder: Path, portal: Script) -> None:
    State(folder).write("keys.json", b'{"keys": []}')
    portal.answer(f"GET {DOOR}/license-file", 200, CASES["plain file"]["file"].encode(), ETag='"one"')
    portal.answer("GET /v1/keys", 200, VECTORS["keys"])
    arguments = ["--state", str(folder), "--portal", portal.url]
    assert run("fetch", *arguments).exit_code == 0
    portal.answer(f"GET {DOOR}/license-file", 200, CASES["signed under an unknown key id"]["file"].encode())
    portal.asked.clear()
    assert run("fetch", *arguments).exit_code == 14
    assert [one["request"] for one in portal.asked] == [f"GET {DOOR}/license-file", "GET /v1/keys"]


def test_a_portal_that_is_away_or_refuses_changes_nothing(folder: Path, portal: Script, tmp_path: Path) -> None:
    run("install", written(tmp_path, "encrypted file"), "--state", str(folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    away = run("fetch", "--state", str(folder), "--portal", "http://127.0.0.1:9")
    assert away.exit_code == EXIT_CODES["unreachable"][0]
    arguments = ["--state", str(folder), "--portal", portal.url]
    portal.answer(f"GET {DOOR}/license-file", 409, b"The device is marked RMA.\n", X_Error_Code="licensing.device_rma")
    refused = run("fetch", *arguments)
    assert refused.exit_code == EXIT_CODES["refused"][0]
    assert "409 licensing.device_rma" in refused.stderr
    assert "marked RMA" in refused.stderr
    portal.answer(f"GET {DOOR}/license-file", 401, b"no\n", X_Error_Code="accounts.login_refused")
    assert run("fetch", *arguments).exit_code == EXIT_CODES["login_refused"][0]
    portal.answer(f"GET {DOOR}/license-file", 302, b"", Location="http://127.0.0.1:9/")
    assert run("fetch", *arguments).exit_code == EXIT_CODES["refused"][0]
    portal.answer(f"GET {DOOR}/license-file", 503, b"later\n")
    assert run("fetch", *arguments).exit_code == EXIT_CODES["unreachable"][0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_return_over_http_survives_a_lost_answer_and_a_refusal(folder: Path, portal: Script, tmp_path: Path) -> None:
    run("install", written(tmp_path, "encrypted file"), "--state", str(folder))
    arguments = ["--state", str(folder), "--portal", portal.url]
    portal.answer(f"PUT {DOOR}/license-return", 503, b"later\n")
    assert run("return", *arguments).exit_code == 3
    assert run("show", "--state", str(folder)).exit_code == 20
    portal.answer(f"PUT {DOOR}/license-return", 409, b"no\n", X_Error_Code="licensing.not_returnable")
    assert run("return", *arguments).exit_code == 4
    assert run("show", "--state", str(folder)).exit_code == 0
    receipt = {
        "returned": [{"license_type": "port8", "name": "PORT8", "quantity": 20, "project_id": "p"}],
        "kept": [{"license_type": "x", "name": "X", "quantity": 1, "reason": "gateway"}],
        "receipt": "r-1",
    }
    portal.answer(f"PUT {DOOR}/license-return", 201, receipt)
    result = run("return", *arguments)
    assert result.exit_code == 0
    assert "returned  20 x PORT8" in result.stdout
    assert "kept      1 x X (gateway)" in result.stdout
    first, second, third = (one["body"] for one in portal.asked)
    assert first == second != third
    assert portal.asked[0]["headers"]["Idempotency-Key"] == portal.asked[1]["headers"]["Idempotency-Key"]


@pytest.mark.parametrize(
    ("before", "status", "code", "exit_code", "installed"),
    [
        # Never sent before: whatever refuses it, nothing was credited.
        (None, 404, "devices.device_not_found", 4, True),
        (None, 403, "accounts.locked", 4, True),
        (None, 409, "licensing.return_certificate_revoked", 4, True),
        # The answer to an earlier attempt got lost: it may have been credited.
        (503, 404, "devices.device_not_found", 4, False),
        (503, 403, "accounts.locked", 4, False),
        (503, 409, "licensing.return_certificate_revoked", 4, False),
        (503, 409, "licensing.not_returnable", 4, True),
        (503, 409, "licensing.return_newer_file", 4, True),
        # The first attempt is still at work, or another return of the same file was taken.
        (None, 409, "idempotency.in_progress", 3, False),
        (None, 409, "licensing.already_returned", 4, False),
        # A wrong login says that nothing was done.
        (401, 404, "devices.device_not_found", 4, True),
    ],
)
def test_a_refused_return_is_withdrawn_only_if_nothing_can_have_been_credited(
    folder: Path,
    portal: Script,
    tmp_path: Path,
    before: int | None,
    status: int,
    code: str,
    exit_code: int,
    installed: bool,
) -> None:
    run("install", written(tmp_path, "encrypted file"), "--state", str(folder))
    arguments = ["--state", str(folder), "--portal", portal.url]
    if before is not None:
        portal.answer(f"PUT {DOOR}/license-return", before, b"no\n")
        assert run("return", *arguments).exit_code in (3, 5)
    portal.answer(f"PUT {DOOR}/license-return", status, b"no\n", X_Error_Code=code)
    assert run("return", *arguments).exit_code == exit_code
    assert (run("show", "--state", str(folder)).exit_code == 0) is installed
    # What was not withdrawn goes out again as it was, unless another return of the file was taken.
    portal.answer(f"PUT {DOOR}/license-return", 201, {"returned": [], "kept": [], "receipt": "r"})
    again = run("return", *arguments)
    if code == "licensing.already_returned":
        assert again.exit_code == EXIT_CODES["not_ready"][0]
    else:
        assert again.exit_code == 0
        assert (portal.asked[-1]["body"] == portal.asked[-2]["body"]) is not installed


def test_a_certificate_over_http_and_by_hand(tmp_path: Path, folder: Path, portal: Script) -> None:
    (folder / "certificate.pem").unlink()
    portal.answer("GET /v1/keys", 200, VECTORS["keys"])
    portal.answer(f"POST {DOOR}/certificate-request", 201, RETURNS["chain_pem"].encode())
    result = run("request-certificate", "--state", str(folder), "--portal", portal.url)
    assert result.exit_code == 0, result.output
    assert "valid until 2036-01-02" in result.stdout
    request = x509.load_pem_x509_csr(portal.asked[-1]["body"])
    assert request.is_signature_valid
    other = tmp_path / "other"
    run("keygen", DEVICE, "--state", str(other))
    chain = tmp_path / "chain.pem"
    chain.write_text(RETURNS["chain_pem"])
    refused = run("request-certificate", "--install", str(chain), "--state", str(other))
    assert (refused.exit_code, "a key other than" in refused.stderr) == (22, True)
    out = tmp_path / "request.pem"
    assert run("request-certificate", "--out", str(out), "--state", str(other)).exit_code == 0
    assert "CERTIFICATE REQUEST" in out.read_text()


def test_verify_by_hand_with_keys_of_a_file(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(VECTORS["keys"]))
    file = written(tmp_path, "plain file")
    assert run("verify", file, "--keys", str(keys), "--state", str(folder)).exit_code == 0
    keys.write_text("[]")
    assert run("verify", file, "--keys", str(keys), "--state", str(folder)).exit_code == 10
    assert run("trust", str(keys), "--state", str(folder)).exit_code == 10


def test_the_device_says_who_has_it_in_hand(folder: Path, tmp_path: Path) -> None:
    record = "01930000-0000-7000-8000-00000000de71"
    told = run("prove-possession", record, "--state", str(folder))
    assert told.exit_code == 0
    name = "TESSERA POSSESSION PROOF"
    assert told.stdout.startswith(f"-----BEGIN {name}-----\n")
    assert told.stdout.endswith(f"-----END {name}-----\n")
    content = base64.b64decode("".join(told.stdout.split("\n")[1:-2]))
    rows = content[64:].decode().split("\n")
    assert rows[:3] == ["TESSERA DEVICE POSSESSION", "format: 1", "algorithm: ES256"]
    assert rows[3:5] == [f"device: {DEVICE}", f"record: {record}"]
    assert rows[6:] == ["END", ""]
    assert run("keygen", DEVICE, "--state", str(tmp_path / "bare")).exit_code == 0
    refused = run("prove-possession", record, "--state", str(tmp_path / "bare"))
    assert refused.exit_code == EXIT_CODES["not_ready"][0]


def test_help_tells_every_exit_code() -> None:
    result = run("--help")
    for word in EXIT_CODES:
        assert f"{EXIT_CODES[word][0]}" in result.stdout
        assert word in result.stdout


def test_a_password_never_leaves_unprotected(folder: Path) -> None:
    result = run("fetch", "--state", str(folder), "--portal", "http://licenses.example.com")
    assert (result.exit_code, "https" in result.stderr) == (2, True)


def test_a_tampered_folder_is_noticed(folder: Path, tmp_path: Path) -> None:
    run("install", written(tmp_path, "plain file"), "--state", str(folder))
    state = State(folder)
    signed = state.read("installed.signed")
    assert signed is not None
    read_signed(signed, KEYS["license-files-20260101-0badc0de"])
    state.write("installed.signed", signed.replace(b"8 20 port8 ", b"8 90 port8 "))
    assert run("show", "--state", str(folder)).exit_code == EXIT_CODES["changed"][0]


def test_the_documents_list_every_exit_code() -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    listed = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", readme, re.MULTILINE))
    assert listed == {str(number): word for word, (number, _) in EXIT_CODES.items()}
    reference = (FOLDER.parent / "license-files.md").read_text()
    for word, number in re.findall(r"`(\w+)` (\d\d)\b", reference):
        assert EXIT_CODES[word][0] == int(number)
