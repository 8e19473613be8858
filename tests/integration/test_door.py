"""The public door of a running installation: who is let in, and how soon that changes."""

from __future__ import annotations

import socket
import time
import uuid
from urllib.parse import urlsplit

from tests.integration.http_client import Person, eventually, mailed_token
from tests.integration.installation import Installation

PASSWORD = "correct horse battery staple"


def newcomer(installation: Installation, *, company: bool = True) -> Person:
    """Return a new user, logged in, with a company of their own unless told otherwise."""
    person, address = installation.person(), f"door-{uuid.uuid4()}@example.com"
    person.post(
        "/v1/registrations",
        {
            "email": address, "password": PASSWORD, "forename": "Door", "surname": "Keeper", "language": "en",
            "accept_terms": True,
        },
    ).expect(202)  # fmt: skip
    token = mailed_token(installation.mail_folder, address, "activate")
    person.post("/v1/registrations/confirmations", {"token": token}).expect(204)
    person.login(address, PASSWORD)
    if not company:
        return person
    person.post("/v1/companies", {"name": f"Doors {uuid.uuid4()}"}).expect(201)
    return person.refresh()


def test_a_locked_users_token_is_dead_within_a_second_and_unlocking_helps(installation: Installation) -> None:
    person, staff = newcomer(installation), installation.staff()
    path = f"/v1/staff/users/{person.tokens['user']['id']}"
    person.get("/v1/projects").expect(200)
    staff.send("PATCH", path, {"locked": True}).expect(200)
    locked_at = time.monotonic()
    eventually(lambda: person.get("/v1/projects").status == 401, "the token's end", 5)
    assert time.monotonic() - locked_at < 1.5
    person.get("/v1/projects").refused(401, "token.revoked")
    staff.send("PATCH", path, {"locked": False}).expect(200)
    person.login(person.tokens["user"]["email"], PASSWORD)
    eventually(lambda: person.get("/v1/projects").status == 200, "the new token", 5)


def test_a_right_granted_by_staff_works_with_the_token_in_hand(installation: Installation) -> None:
    person, staff = newcomer(installation, company=False), installation.staff()
    body = {"account_rights": ["REQUEST_CERTIFICATE"]}
    staff.send("PATCH", f"/v1/staff/users/{person.tokens['user']['id']}", body).expect(200)
    staff.send("PATCH", f"/v1/staff/users/{person.tokens['user']['id']}", {"staff": True}).expect(200)
    eventually(lambda: person.get("/v1/staff/orders").status == 200, "the new right", 5)


def test_an_ended_session_is_out_within_a_second(installation: Installation) -> None:
    person = newcomer(installation)
    person.send("DELETE", "/v1/sessions/current").expect(204)
    eventually(lambda: person.get("/v1/projects").status == 401, "the session's end", 1.5)


def test_a_foreign_object_is_answered_like_an_unknown_one(installation: Installation) -> None:
    person, other = newcomer(installation), newcomer(installation)
    (project,) = other.get("/v1/projects").expect(200)["items"]
    for path in ("/v1/projects/{}", "/v1/projects/{}/rights"):
        foreign = person.get(path.format(project["id"]))
        unknown = person.get(path.format("0190a000-0000-7000-8000-000000000000"))
        assert foreign.status == unknown.status == 404
        assert {**foreign.body, "instance": ""} == {**unknown.body, "instance": ""}


def test_a_slow_client_holds_nobody_up(installation: Installation) -> None:
    address = urlsplit(installation.base)
    half_open = []
    try:
        for _ in range(250):
            sock = socket.create_connection((address.hostname, address.port), timeout=5)
            sock.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Le")
            half_open.append(sock)
        person = installation.person()
        person.get("/healthz").expect(200)
        person.get("/v1/projects").refused(401, "token.missing")
    finally:
        for sock in half_open:
            sock.close()


def test_the_documents_are_there(installation: Installation) -> None:
    person = installation.person()
    assert person.get("/openapi.json").expect(200)["openapi"] == "3.1.0"
    assert b"<h1>" in person.get("/docs").content
    assert person.get("/v1/keys").expect(200)["keys"]
    assert b"BEGIN CERTIFICATE" in person.get("/v1/device-ca.pem").content
    assert person.get("/v1/device-ca.crl").content[:1] == b"\x30"
