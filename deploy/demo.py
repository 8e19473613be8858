"""The demo world of a first start: made through the public HTTP interface on loopback, as a client would make it.

Only the first staff account is made behind the door, by the same command as `tessera-admin create-staff`: there is
nobody yet who could. A start that was killed half way is finished by the next one: the choices made are kept in
`demo.pending`, and every request carries an Idempotency-Key derived from them. While that file is there, `/readyz`
says 503; at the end `demo.json` is renamed into place and the file is removed.
"""

from __future__ import annotations

import email
import email.policy
import http.client
import json
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.alone import LOCK_FILE
from deploy.demo_factor import DemoFactor
from deploy.staff import STAFF_EMAIL
from services.chassis.keys.keyfiles import write_private
from services.chassis.settings import Settings

PENDING = "demo.pending"
DEMO = "demo.json"
FIRST_START = "first-start"
ADMIN_EMAIL = "admin@customer.example"
COMPANY = "Example Communications Ltd"

_MAIL_SECONDS = 30.0
_UNKNOWN_OUTCOMES = frozenset({429, 503})
_ATTEMPTS = 40
_REACHED_WITHIN = 120.0
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on

# The seed's own device ids and its order number stay free: trying the main job by hand starts with entering them.
_ORDERS: tuple[dict[str, Any], ...] = (
    {
        "number": "DEMO-1001",
        "customer_name": COMPANY,
        "customer_reference": "PO 1001",
        "devices": [
            {"hardware_id": "00-90-33-40-10-01", "type": "IP6000"},
            {"hardware_id": "00-90-33-40-10-02", "type": "IP800"},
            {"hardware_id": "00-90-33-40-10-03", "type": "IP302"},
            {"hardware_id": "00-90-33-40-10-04", "type": "IP110"},
        ],
        "licenses": [
            {"license_type": "pbx7-100", "quantity": 1},
            {"license_type": "voicemail7-100", "quantity": 1},
            {"license_type": "registrations7", "quantity": 60},
            {"license_type": "port8", "quantity": 20},
        ],
    },
    {
        "number": "DEMO-1002",
        "customer_name": COMPANY,
        "customer_reference": "PO 1002",
        "devices": [],
        "licenses": [
            {"license_type": "pbx7-50", "quantity": 1},
            {"license_type": "registrations7", "quantity": 50},
            {"license_type": "port8", "quantity": 10},
        ],
    },
    {
        "number": "DEMO-1003",
        "customer_name": COMPANY,
        "customer_reference": "PO 1003",
        "devices": [],
        "licenses": [{"license_type": "warranty-year", "quantity": 2}, {"license_type": "port8", "quantity": 5}],
    },
)


class DemoError(RuntimeError):
    """The demo world could not be made; the text names the request and what was answered."""


class Door:
    """The gateway as seen by one person.

    Args:
        address: host and port of the gateway.
        keys: prefix of the Idempotency-Keys.
    """

    def __init__(self, address: tuple[str, int], keys: str) -> None:
        host, port = address
        # Where the gateway listens on all addresses, it is asked by a name that it answers to.
        self._address = ("localhost" if host in _EVERY_ADDRESS else host, port)
        self._keys = keys
        self._token = ""

    def login(self, address: str, password: str, otp: str | None = None) -> dict[str, Any] | None:
        """Start a session and use its token from now on; None when the login is refused."""
        form = {"email": address, "password": password, **({"otp": otp} if otp else {})}
        status, answer = self._send("POST", "/v1/sessions", form, None)
        if status in (401, 403):
            return None
        tokens = self._expect(status, answer, 201, "POST /v1/sessions")
        self._token = tokens["access_token"]
        return tokens

    def refresh(self, refresh_token: str) -> None:
        """Use a token that knows what was changed since the login."""
        status, answer = self._send("POST", "/v1/sessions/refreshes", {"refresh_token": refresh_token}, None)
        self._token = self._expect(status, answer, 201, "POST /v1/sessions/refreshes")["access_token"]

    def send(self, method: str, path: str, body: Mapping[str, Any], step: str, *expected: int) -> dict[str, Any]:
        """Send a write with the key of a step, again and again while the outcome is unknown.

        Raises:
            DemoError: another status came than those expected.
        """
        status, answer = self._send(method, path, body, f"{self._keys}:{step}")
        return self._expect(status, answer, expected, f"{method} {path}")

    def _send(self, method: str, path: str, body: Mapping[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        deadline, attempt = time.monotonic() + _REACHED_WITHIN, 0
        while True:
            try:
                connection = http.client.HTTPConnection(*self._address, timeout=30)
                try:
                    # A DELETE has no body here.
                    connection.request(method, path, json.dumps(body) if method != "DELETE" else None, headers)
                    response = connection.getresponse()
                    content = response.read()
                finally:
                    connection.close()
            except OSError as error:
                # Processes of a crowded machine take their time to listen.
                if time.monotonic() > deadline:
                    raise DemoError(f"{method} {path}: the gateway cannot be reached: {error}") from error
            else:
                attempt += 1
                if response.status not in _UNKNOWN_OUTCOMES or attempt == _ATTEMPTS:
                    return response.status, json.loads(content) if content else {}
            time.sleep(0.5)

    @staticmethod
    def _expect(status: int, answer: dict[str, Any], expected: int | tuple[int, ...], what: str) -> dict[str, Any]:
        if status not in (expected if isinstance(expected, tuple) else (expected,)):
            raise DemoError(f"{what} was answered with {status}: {answer.get('code')} {answer.get('detail')}")
        return answer


def is_first_start(settings: Settings) -> bool:
    """Tell whether nobody has used this data folder: nothing is in it that a start leaves behind."""
    return not settings.data_dir.exists() or not any(path.name != LOCK_FILE for path in settings.data_dir.iterdir())


def begin(settings: Settings) -> None:
    """Choose names and passwords of the demo world and note them, so that a later start can go on with them."""
    choices = {
        "keys": secrets.token_hex(16),
        "staff": {"email": STAFF_EMAIL, "password": secrets.token_urlsafe(15)},
        "admin": {"email": ADMIN_EMAIL, "password": secrets.token_urlsafe(15)},
        "shipped_on": (datetime.now(UTC).date() - timedelta(days=30)).isoformat(),
    }
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(settings.data_dir / PENDING, json.dumps(choices).encode())


def pending(settings: Settings) -> dict[str, Any] | None:
    """Return the choices of a demo world that is not finished, None when there is nothing to finish."""
    path = settings.data_dir / PENDING
    return dict(json.loads(path.read_text())) if path.exists() else None


def build(settings: Settings, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Make the demo world through the running gateway, write `demo.json`, and return its content.

    The staff account of `choices` must exist.

    Raises:
        DemoError: a request was not answered as the public contract says.
    """
    if settings.mail_server is not None:
        raise DemoError(
            "the demo world reads its activation mail from a file: unset TESSERA_SMTP_URI or set TESSERA_DEMO=0"
        )
    staff, admin = Door(settings.http, choices["keys"]), Door(settings.http, choices["keys"])
    factor = DemoFactor(settings.data_dir / PENDING, choices)
    if not settings.staff_otp and not factor.is_begun:
        if staff.login(**_login(choices["staff"])) is None:
            raise DemoError(f"{choices['staff']['email']} cannot log in")
    elif not factor.login(staff):
        raise DemoError(f"{choices['staff']['email']} cannot log in")
    orders = [_enter(staff, order, choices["shipped_on"]) for order in _ORDERS]
    _make_admin(settings, admin, staff, choices["admin"])
    demo = {
        "gateway": f"http://{host_of(settings.http)}",
        "portal": settings.public_url,
        "staff": dict(choices["staff"]),
        "admin": dict(choices["admin"]),
        "activation_keys": [order["activation_key"] for order in orders],
        "order_number": _ORDERS[0]["number"],
        "legacy": None,
    }
    if settings.staff_otp or factor.is_begun:
        factor.end(staff)
    write_private(settings.data_dir / DEMO, f"{json.dumps(demo, indent=2)}\n".encode())
    (settings.data_dir / PENDING).unlink()
    return demo


def _enter(staff: Door, order: Mapping[str, Any], shipped_on: str) -> dict[str, Any]:
    devices = [{**device, "shipped_on": shipped_on} for device in order["devices"]]
    body = {**order, "devices": devices}
    return staff.send("POST", "/v1/staff/orders", body, f"order-{order['number']}", 200, 201)


def _make_admin(settings: Settings, admin: Door, staff: Door, person: Mapping[str, str]) -> None:
    # Repeated after a kill, the same keys and the same mail give the same answers: a used link is confirmed again.
    form = {**person, "forename": "Demo", "surname": "Admin", "language": "en", "accept_terms": True}
    admin.send("POST", "/v1/registrations", form, "register", 202)
    token = _mailed_token(settings.data_dir / "mail", person["email"])
    admin.send("POST", "/v1/registrations/confirmations", {"token": token}, "confirm", 204)
    tokens = admin.login(**_login(person))
    if tokens is None:
        raise DemoError(f"{person['email']} cannot log in after the activation")
    if tokens["company"] is None:
        admin.send("POST", "/v1/companies", {"name": COMPANY}, "company", 201)
    rights = {"account_rights": ["MOVE_LICENSES", "REQUEST_CERTIFICATE"]}
    staff.send("PATCH", f"/v1/staff/users/{tokens['user']['id']}", rights, "rights", 200)


def _mailed_token(folder: Path, recipient: str) -> str:
    """Wait for the newest mail to a person and return the token of the link in it."""
    deadline = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < deadline:
        for path in sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            part = message.get_body(("plain",))
            found = re.search(r"[?&]token=([\w\-.~]+)", part.get_content() if part else "")
            if recipient in str(message["To"]) and found:
                return found[1]
        time.sleep(0.05)
    raise DemoError(f"no mail to {recipient} came into {folder} within {_MAIL_SECONDS:.0f} s")


def _login(account: Mapping[str, str]) -> dict[str, str]:
    return {"address": account["email"], "password": account["password"]}


def host_of(address: tuple[str, int]) -> str:
    """Return host and port as they stand in an address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
