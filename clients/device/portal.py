"""The device door over HTTP: Basic login, short time limits, no redirects, errors as the portal tells them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests
import requests.auth

from clients.device.errors import DeviceError

TIMEOUT_SECONDS = (5.0, 30.0)
MAX_ANSWER = 1_048_576
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the portal: status, body, ETag."""

    status: int
    body: bytes
    etag: str | None


class _Basic(requests.auth.AuthBase):
    """HTTP Basic in UTF-8 (RFC 7617); the library's own would send Latin-1."""

    def __init__(self, login: str, password: str) -> None:
        self._header = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class Portal:
    """The portal as a device sees it.

    Args:
        url: base address of the gateway, such as `https://licenses.example.com`.
        login: e-mail of the portal account.
        password: its password, or an API token of scope `device`.

    Raises:
        DeviceError: `usage` for an address that would send the password unprotected.
    """

    def __init__(self, url: str, login: str = "", password: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise DeviceError("usage", f'The portal address "{url}" is not an http(s) address.')
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise DeviceError("usage", f'The portal address "{url}" would send the password unprotected; use https.')
        self._url = url.rstrip("/")
        self._login = _Basic(login, password) if login or password else None

    def get(self, path: str, etag: str | None = None) -> Answer:
        """Fetch something; with `etag` the answer may be 304."""
        return self._send("GET", path, headers={"If-None-Match": etag} if etag else {})

    def put(self, path: str, body: bytes, content_type: str, key: str) -> Answer:
        """Deliver something; `key` makes repetitions harmless."""
        return self._send("PUT", path, body=body, headers={"Content-Type": content_type, "Idempotency-Key": key})

    def post(self, path: str, body: bytes, content_type: str, key: str) -> Answer:
        """Ask for something to be made; `key` makes repetitions harmless."""
        return self._send("POST", path, body=body, headers={"Content-Type": content_type, "Idempotency-Key": key})

    @staticmethod
    def device_path(hardware_id: str, what: str) -> str:
        """Return the path of the device door for one device."""
        return f"/device/v1/{quote(hardware_id, safe='')}/{what}"

    def _send(self, method: str, path: str, *, headers: dict[str, str], body: bytes | None = None) -> Answer:
        try:
            with requests.Session() as session:
                # Neither a netrc file nor a proxy variable of the host decides where a device's password goes.
                session.trust_env = False
                response = session.request(
                    method,
                    self._url + path,
                    data=body,
                    headers={"User-Agent": "tessera-device/1", **headers},
                    auth=self._login,
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                    stream=True,
                )
                content = response.raw.read(MAX_ANSWER + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise DeviceError(
                "unreachable", f"The portal {self._url} does not answer: {type(error).__name__}."
            ) from error
        if len(content) > MAX_ANSWER:
            raise DeviceError("unreachable", "The portal's answer is larger than 1 MiB and was not read.")
        if response.status_code in (200, 201, 204, 304):
            return Answer(response.status_code, content, response.headers.get("ETag"))
        raise _refusal(response, content)


def _refusal(response: requests.Response, content: bytes) -> DeviceError:
    status = response.status_code
    code = response.headers.get("X-Error-Code") or f"http.{status}"
    text = content[:500].decode("utf-8", "replace").strip().split("\n")[0] or response.reason or "no text"
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    if status == 401:
        return DeviceError("login_refused", f"The portal does not accept this login: {text}", code)
    # The first request with the same key may still be at work: no word about its outcome.
    if status >= 500 or status == 429 or code == "idempotency.in_progress":
        return DeviceError("unreachable", f"The portal cannot answer now ({status} {code}): {text}", code)
    return DeviceError("refused", f"The portal refused ({status} {code}): {text}", code)
