"""The tenant matrix at the door, made from the rows: a row without a right fails, so does one that lets too many in."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Answer, Gateway
from gateway.tests.fakes import COMPANY, SESSION, USER
from gateway.tests.test_rows import check_problem, is_door, name_of, path_of
from services.chassis.data.outbox import Event
from services.chassis.errors import forbidden, unauthenticated
from services.chassis.ids import new_id
from services.projects.api import POWERS

CLOSED = [row for row in ROWS if row.right is not Right.NONE]
PUBLIC = {
    "POST /v1/registrations",
    "POST /v1/registrations/confirmations",
    "POST /v1/registrations/resends",
    "POST /v1/password-resets",
    "POST /v1/password-resets/confirmations",
    "POST /v1/email-changes/undos",
    "POST /v1/sessions",
    "POST /v1/sessions/refreshes",
    "GET /v1/keys",
    "GET /v1/device-ca.pem",
    "GET /v1/device-ca.crl",
}


def event(type: str, data: dict[str, Any], at: float | None = None, company: str | None = None) -> Event:
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return Event(new_id(), "accounts", type, when, USER, 1, data, companyid=company)


def ask(gateway: Gateway, row: Row, token: str | None) -> Answer:
    """Send the row a request with a body that is wrong: whoever is let in gets a 4xx for it, not 401 or 403."""
    body = b"{" if row.method in ("POST", "PUT", "PATCH") else None
    return gateway.ask(row.method, path_of(row), body, token=token, headers={"Content-Type": "x/y"} if body else None)


def test_every_row_declares_a_right_and_only_these_are_public() -> None:
    assert all(isinstance(row.right, Right) for row in ROWS)
    assert {name_of(row) for row in ROWS if row.right is Right.NONE} == PUBLIC


def test_every_row_of_a_write_has_a_schema_and_all_path_parameters_are_in_it() -> None:
    for row in ROWS:
        assert row.request is not None, name_of(row)
        assert row.dry_run is ("dry_run" in row.wire_fields), name_of(row)
        assert set(row.path_names) <= set(row.wire_fields), name_of(row)
        assert row.answer is not None or row.status == 204 or row.gives != ("application/json",), name_of(row)
        if row.raw is not None:
            assert row.raw in row.wire_fields


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
def test_nobody_is_let_in_without_a_good_token(gateway: Gateway, row: Row) -> None:
    now = int(time.time())
    other = type(gateway.tokens)()
    tokens = {
        "none": None,
        "expired": gateway.tokens.make(exp=now - 60, iat=now - 960),
        "other key": other.make(),
        "other audience": gateway.tokens.make(aud="elsewhere"),
        "other issuer": gateway.tokens.make(iss="licensing"),
        "altered": gateway.tokens.make()[:-4] + "AAAA",
        "nonsense": "a.b.c",
    }
    for name, token in tokens.items():
        answer = ask(gateway, row, token)
        check_problem(answer, 401, door=is_door(row))
        assert answer.headers["www-authenticate"].startswith("Basic" if is_door(row) else "Bearer"), name
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
def test_a_locked_user_and_an_ended_session_are_out_at_once(gateway: Gateway, row: Row) -> None:
    token = gateway.tokens.make(iat=int(time.time()) - 60, staff=True)
    revocations = gateway.authentication.revocations
    revocations.note(event("session_revoked", {"user_id": USER, "session_id": SESSION}))
    check_problem(ask(gateway, row, token), 401, "token.revoked", door=is_door(row))
    other = gateway.tokens.make(iat=int(time.time()) - 60, staff=True, sid=new_id())
    revocations.note(event("user_locked", {"user_id": USER}))
    check_problem(ask(gateway, row, other), 401, "token.revoked", door=is_door(row))
    assert gateway.rooms.calls == []


def _staff_can(row: Row) -> bool:
    return all(power.staff != "no" for power in POWERS if power.name == row.power)


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
def test_a_right_is_checked_before_the_body(gateway: Gateway, row: Row) -> None:
    nobody: dict[str, Any] = {"company": None, "companies": [], "role": None}
    expected: dict[Right, list[tuple[dict[str, Any], str | None]]] = {
        Right.LOGIN: [(nobody, None)],
        Right.COMPANY: [
            (nobody, "accounts.company_needed"),
            ({"role": "member"}, None),
            (nobody | {"staff": True}, None if _staff_can(row) else "access.power_needed"),
        ],
        Right.ADMIN: [(nobody, "accounts.company_needed"), ({"role": "member"}, "accounts.admin_needed"), ({}, None)],
        Right.STAFF: [({}, "accounts.staff_needed"), ({"staff": True}, None)],
        Right.DEVICE: [(nobody, "accounts.company_needed"), ({}, None)],
    }
    for claims, code in expected[row.right]:
        answer = ask(gateway, row, gateway.tokens.make(**claims))
        if code is None:
            assert answer.status not in (401, 403), (claims, answer)
        else:
            check_problem(answer, 403, code, door=is_door(row))
    answer = ask(gateway, row, gateway.tokens.make(scopes=[], staff=True))
    check_problem(answer, 403, "accounts.scope_needed", door=is_door(row))


# What names a thing in a project without a power of its own: LIC-10 lets staff certify too, a token may name any
# project, and one's own lines of history are read without a company as well.
OF_NO_POWER = {
    "POST /v1/devices/{device_id}/certificates",
    "POST /device/v1/{hardware_id}/certificate-request",
    "PATCH /v1/staff/devices/{hardware_id}",
    "GET /v1/warranty",
    "POST /v1/me/tokens",
    "GET /v1/history",
}
IN_A_PROJECT = frozenset({"project_id", "project", "device_id", "device_ids", "hardware_id", "from_project_id"})


def test_every_row_that_names_a_thing_in_a_project_says_which_power_it_needs() -> None:
    names = {power.name for power in POWERS}
    for row in ROWS:
        needs_one = bool(IN_A_PROJECT & set(row.wire_fields)) and name_of(row) not in OF_NO_POWER
        assert row.power in names if needs_one or row.power else True, name_of(row)


@pytest.mark.parametrize("row", [row for row in ROWS if row.power is not None], ids=name_of)
def test_who_can_have_a_power_in_no_project_is_refused_at_the_door(gateway: Gateway, row: Row) -> None:
    nobody: dict[str, Any] = {"company": None, "companies": [], "role": None, "staff": True}
    answer = ask(gateway, row, gateway.tokens.make(**nobody))
    if _staff_can(row):
        assert answer.status not in (401, 403)
    else:
        problem = check_problem(answer, 403, "access.power_needed", door=is_door(row))
        assert is_door(row) or problem["power"] == row.power
        assert gateway.rooms.calls == []
    for role in ("admin", "member"):
        if row.right is not Right.STAFF:
            assert ask(gateway, row, gateway.tokens.make(role=role)).status not in (401, 403)


@pytest.mark.parametrize("row", [row for row in CLOSED if row.is_write and row.scope is None], ids=name_of)
def test_a_token_that_may_only_read_writes_nothing(gateway: Gateway, row: Row) -> None:
    answer = ask(gateway, row, gateway.tokens.make(scopes=["read"], staff=True))
    check_problem(answer, 403, "accounts.scope_needed", door=is_door(row))
    assert gateway.rooms.calls == []


def test_a_lock_in_one_company_leaves_the_others_alone(gateway: Gateway) -> None:
    old = int(time.time()) - 60
    here = gateway.tokens.make(iat=old)
    there = gateway.tokens.make(iat=old, company=new_id(), sid=new_id())
    changed = {"user_id": USER, "what": ["locked"], "locked": True, "role": "member"}
    gateway.authentication.revocations.note(event("company_user_changed", changed, company=COMPANY))
    assert gateway.ask("GET", "/v1/projects", token=here).status == 401
    assert gateway.ask("GET", "/v1/projects", token=there).status == 200


def test_revocations_of_before_the_start_count(gateway: Gateway) -> None:
    from datetime import UTC, datetime

    at = datetime.now(UTC).isoformat()
    items = [{"kind": "membership", "id": USER, "company_id": COMPANY, "at": at}]
    gateway.rooms.on("accounts", "list_revocations", {"items": items})
    gateway.authentication.is_ready = False
    token = gateway.tokens.make(iat=int(time.time()) - 60)
    check_problem(gateway.ask("GET", "/v1/projects", token=token), 503, "service.starting")
    gateway.authentication.load_revocations()
    check_problem(gateway.ask("GET", "/v1/projects", token=token), 401, "token.revoked")


def test_what_changed_while_no_gateway_listened_is_asked_once_for_each_older_token(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "list_revocations", {"items": []})
    old = gateway.tokens.make(iat=time.time() - 60, role="admin")
    demoted = gateway.tokens.make(role="member")
    gateway.rooms.on("accounts", "renew_token", {"access_token": demoted, "expires_in": 900})
    gateway.authentication.load_revocations()
    for _ in range(2):
        answer = gateway.ask("PATCH", "/v1/company", {"name": "x"}, token=old)
        check_problem(answer, 403, "accounts.admin_needed")
    assert len(gateway.rooms.named("renew_token")) == 1


def test_a_changed_password_ends_a_remembered_device_login(gateway: Gateway) -> None:
    import base64

    token = gateway.tokens.make(scopes=["device"], sid=new_id(), iat=time.time() - 60)
    gateway.rooms.on("accounts", "create_device_session", {"access_token": token, "expires_in": 900})
    gateway.rooms.on("licensing", "fetch_device_file", {"state": "nothing"})
    login = {"Authorization": "Basic " + base64.b64encode(b"a@example.com:old").decode()}
    door = "/device/v1/00-90-33-08-20-20/license-file"
    assert gateway.ask("GET", door, token=None, headers=login).status == 204
    gateway.rooms.on("accounts", "create_device_session", unauthenticated("accounts.login_failed", "Wrong."))
    assert gateway.ask("GET", door, token=None, headers=login).status == 204
    gateway.authentication.revocations.note(event("password_changed", {"user_id": USER}))
    check_problem(gateway.ask("GET", door, token=None, headers=login), 401, "accounts.login_failed", door=True)


def test_a_right_granted_by_staff_works_at_once_with_the_old_token(gateway: Gateway) -> None:
    old = gateway.tokens.make(iat=int(time.time()) - 60)
    fresh = gateway.tokens.make(rights=["REQUEST_CERTIFICATE"])
    gateway.rooms.on("accounts", "renew_token", {"access_token": fresh, "expires_in": 900})
    what = {"user_id": USER, "what": ["account_rights"], "account_rights": ["REQUEST_CERTIFICATE"]}
    gateway.authentication.revocations.note(event("user_changed", what))
    for _ in range(3):
        assert gateway.ask("GET", "/v1/projects", token=old).status == 200
    assert len(gateway.rooms.named("renew_token")) == 1
    assert [call.token for call, _ in gateway.rooms.named("list_projects")] == [fresh] * 3
    gateway.authentication.revocations.note(event("user_changed", what, at=time.time() + 1))
    assert gateway.ask("GET", "/v1/projects", token=old).status == 200
    assert len(gateway.rooms.named("renew_token")) == 2


def test_a_token_of_before_the_company_is_told_to_refresh(gateway: Gateway) -> None:
    """Issue 6.2: after `POST /companies` the old token was told that there is no company."""
    old = gateway.tokens.make(company=None, companies=[], role=None)
    gateway.rooms.on("accounts", "renew_token", {"access_token": gateway.tokens.make(), "expires_in": 900})
    answer = gateway.ask("GET", "/v1/projects", token=old, headers={"Accept-Language": "de"})
    problem = check_problem(answer, 401, "token.outdated")
    assert "Erneuern Sie die Sitzung" in problem["detail"]
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    gateway.rooms.on("accounts", "renew_token", {"access_token": old, "expires_in": 900})
    check_problem(gateway.ask("GET", "/v1/projects", token=old), 403, "accounts.company_needed")
    gateway.rooms.on("accounts", "renew_token", unauthenticated("accounts.session_ended", "Ended."))
    check_problem(gateway.ask("GET", "/v1/projects", token=old), 403, "accounts.company_needed")


def test_a_token_of_the_time_of_the_lock_is_decided_by_accounts(gateway: Gateway) -> None:
    token = gateway.tokens.make()
    gateway.rooms.on("accounts", "renew_token", forbidden("accounts.locked", "Locked."))
    gateway.authentication.revocations.note(event("user_locked", {"user_id": USER}))
    check_problem(gateway.ask("GET", "/v1/projects", token=token), 401, "token.revoked")
    assert gateway.rooms.named("list_projects") == []
