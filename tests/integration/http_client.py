"""A small HTTP client for journeys: it knows the published contract and nothing of the services."""

from __future__ import annotations

import email
import email.policy
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

T = TypeVar("T")


class Answer:
    """One answer: its status, headers and JSON body."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.content = response.content
        self.is_json = "json" in response.headers.get("Content-Type", "")
        self.body: Any = response.json() if self.is_json and response.content else None

    def expect(self, status: int) -> Any:
        """Return the body, after checking the status."""
        assert self.status == status, f"expected {status}, got {self.status}: {self.content[:2000]!r}"
        return self.body

    def refused(self, status: int, code: str) -> dict[str, Any]:
        """Return the problem document of a refusal, after checking its status and code."""
        assert self.status == status, f"expected {status}, got {self.status}: {self.content[:2000]!r}"
        assert self.headers["Content-Type"].startswith("application/problem+json")
        assert self.body["code"] == code, self.body
        for member in ("type", "title", "status", "detail", "instance"):
            assert self.body.get(member) not in (None, ""), (member, self.body)
        problem: dict[str, Any] = self.body
        return problem


class Person:
    """Somebody with a login, or nobody yet.

    Args:
        base: address of the gateway, for example `http://127.0.0.1:8000`.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False
        self.tokens: dict[str, Any] = {}
        self.company: dict[str, Any] | None = None
        self.password = ""

    def login(self, address: str, password: str) -> Person:
        """Start a session; the access token is sent from then on."""
        self.use(self.post("/v1/sessions", {"email": address, "password": password}).expect(201))
        self.password = password
        return self

    def refresh(self) -> Person:
        """Get new tokens, with the company, role and rights of today."""
        self.use(self.post("/v1/sessions/refreshes", {"refresh_token": self.tokens["refresh_token"]}).expect(201))
        return self

    def accept_invitations(self) -> Person:
        """Say yes to every open invitation, and get tokens that know it."""
        for item in self.get("/v1/me/invitations").expect(200)["items"]:
            self.post(f"/v1/me/invitations/{item['id']}/acceptance").expect(204)
        return self.refresh()

    def use(self, tokens: dict[str, Any]) -> None:
        """Send these tokens from now on."""
        self.tokens = tokens
        self.company = tokens["company"]
        self.session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def get(self, path: str, **query: Any) -> Answer:
        """Send a GET."""
        return self.send("GET", path, **query)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **query: Any) -> Answer:
        """Send a POST with a JSON body; every write but a session's has an idempotency key."""
        return self.send("POST", path, body, key=key, **query)

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None, **query: Any) -> Answer:
        """Send any method; where the login is too old for it, confirm it and send it again, as a portal would."""
        headers = {} if "/sessions" in path or method == "GET" else {"Idempotency-Key": key or str(uuid.uuid4())}
        for _ in range(2):
            response = self.session.request(
                method, self.base + path, json=body, params=query, headers=headers, timeout=30
            )
            answer = Answer(response)
            if answer.status != 403 or not self.password or answer.body["code"] != "accounts.confirmation_needed":
                break
            self.confirm()
        return answer

    def confirm(self) -> Person:
        """Prove once more who one is; the fresh access token is sent from then on."""
        path = "/v1/sessions/current/confirmations"
        answer = Answer(self.session.post(self.base + path, json={"password": self.password}, timeout=30)).expect(201)
        self.session.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return self


def eventually(probe: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """Return the first true value of a probe; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s, last was {value!r}"
        time.sleep(0.05)


def mailed_token(mail_folder: Path, recipient: str, page: str) -> str:
    """Return the token of the newest mailed link to a page such as `activate`."""

    def newest() -> str:
        for path in sorted(mail_folder.glob("*.eml"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if recipient not in str(message["To"]):
                continue
            part = message.get_body(("plain",))
            found = re.search(rf"/{page}\?token=([\w\-.~]+)", part.get_content() if part else "")
            if found:
                return found[1]
        return ""

    return eventually(newest, f"a mail to {recipient} with a link to {page}")
