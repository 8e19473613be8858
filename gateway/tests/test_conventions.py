"""The conventions of the published contract at the door: keys, rehearsals, versions, documents, the device door."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from gateway.admission import Admission
from gateway.routes import ROWS
from gateway.tests.conftest import Gateway, make_gateway
from gateway.tests.fakes import COMPANY, SESSION, USER
from gateway.tests.test_rows import check_problem
from services.chassis import metrics
from services.chassis.context import Call
from services.chassis.errors import ServiceError, conflict, limited, stale, unauthenticated, unavailable
from services.chassis.ids import new_id

PROJECT = {"name": "North", "description": "", "version": 3, "id": new_id()}
LICENSES = {"licenses": [{"license_type": "port8", "quantity": 20}]}


def assign_path() -> str:
    return f"/v1/devices/{new_id()}/licenses"


def test_the_key_of_the_client_is_the_command_id_and_without_one_each_request_has_its_own(gateway: Gateway) -> None:
    path = assign_path()
    for headers in ({"Idempotency-Key": "my key".replace(" ", "-")}, {}, {}):
        assert gateway.ask("POST", path, LICENSES, headers=headers).status == 201
    ids = [call.command_id for call, _ in gateway.rooms.named("assign_licenses")]
    assert ids[0] == "my-key"
    assert len(set(ids)) == 3


def test_a_replay_says_so(gateway: Gateway) -> None:
    gateway.rooms.replayed = True
    assert gateway.ask("POST", assign_path(), LICENSES).headers["idempotent-replayed"] == "true"
    gateway.rooms.replayed = False
    assert "idempotent-replayed" not in gateway.ask("POST", assign_path(), LICENSES).headers
    refusal = conflict("licensing.device_rma", "No.")
    gateway.rooms.on("licensing", "assign_licenses", refusal)
    assert "idempotent-replayed" not in gateway.ask("POST", assign_path(), LICENSES).headers
    refusal.replayed = True
    answer = gateway.ask("POST", assign_path(), LICENSES)
    assert (answer.status, answer.headers["idempotent-replayed"]) == (409, "true")


def test_a_rehearsal_answers_200_and_does_not_use_up_the_key(gateway: Gateway) -> None:
    answer = gateway.ask("POST", f"{assign_path()}?dry_run=true", LICENSES, headers={"Idempotency-Key": "k"})
    assert answer.status == 200
    ((call, arguments),) = gateway.rooms.named("assign_licenses")
    assert arguments["dry_run"] is True
    assert call.command_id != "k"
    assert gateway.ask("POST", f"{assign_path()}?dry_run=false", LICENSES).status == 201


def test_sessions_take_no_key(gateway: Gateway) -> None:
    body = {"email": "a@example.com", "password": "secret"}
    gateway.ask("POST", "/v1/sessions", body, token=None, headers={"Idempotency-Key": "k"})
    ((call, arguments),) = gateway.rooms.named("create_session")
    assert call.command_id != "k"
    assert arguments["client_address"] == "127.0.0.1"


def test_body_path_and_query_become_the_arguments(gateway: Gateway) -> None:
    gateway.ask("GET", "/v1/devices?limit=7&filter=a%20b&sort=-type")
    ((call, arguments),) = gateway.rooms.named("list_devices")
    assert arguments == {"limit": 7, "filter": "a b", "sort": "-type"}
    assert call.claims["role"] == "admin"
    assert 8 < call.remaining() <= 10


def test_a_version_goes_out_as_etag_and_comes_back_as_if_match(gateway: Gateway) -> None:
    gateway.rooms.on("projects", "get_project", PROJECT)
    path = f"/v1/projects/{PROJECT['id']}"
    shown = gateway.ask("GET", path)
    assert re.fullmatch('"3-[0-9a-f]{24}"', shown.headers["etag"])
    assert gateway.ask("GET", path, headers={"If-None-Match": shown.headers["etag"]}).status == 304
    # What the caller may do changes without a version.
    gateway.rooms.on("projects", "get_project", {**PROJECT, "powers": []})
    assert gateway.ask("GET", path, headers={"If-None-Match": shown.headers["etag"]}).status == 200
    gateway.ask("PATCH", path, {"name": "South"}, headers={"If-Match": shown.headers["etag"]})
    gateway.ask("PATCH", path, {"name": "South"})
    first, second = (arguments for _, arguments in gateway.rooms.named("update_project"))
    assert first["if_version"] == 3
    assert "if_version" not in second
    gateway.rooms.on("projects", "update_project", stale("request.stale", "Changed."))
    check_problem(gateway.ask("PATCH", path, {"name": "x"}, headers={"If-Match": '"2"'}), 412, "request.stale")
    check_problem(gateway.ask("PATCH", path, {"name": "x"}, headers={"If-Match": '"zz"'}), 412, "request.stale")


def test_head_is_get_without_the_body(gateway: Gateway) -> None:
    shown = gateway.ask("GET", "/v1/projects")
    head = gateway.ask("HEAD", "/v1/projects")
    assert head.status == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(shown.content))


def test_the_request_id_is_always_ours_and_the_clients_a_field_of_its_own(gateway: Gateway) -> None:
    """Issue 6.3: a client chose the request id of logs and events, and could take another one's."""
    ids = set()
    for sent, kept in {"abc-1": "abc-1", "a b\t${x}": "abx", "ä" * 9: "", "a" * 200: "a" * 64}.items():
        with structlog.testing.capture_logs() as lines:
            answer = gateway.ask("PUT", "/v1/me/selected-project", {}, headers={"X-Request-Id": sent})
        assert answer.headers["x-request-id"] == answer.body["instance"] != sent
        ids.add(answer.headers["x-request-id"])
        [line] = [line for line in lines if line["event"] == "answered"]
        assert (line["request_id"], line.get("client_request_id", "")) == (answer.headers["x-request-id"], kept)
    assert all(len(found) == 36 for found in ids)
    assert len(ids) == 4
    gateway.ask("GET", "/v1/projects", headers={"X-Request-Id": "mine"})
    [(call, _)] = gateway.rooms.named("list_projects")
    assert (len(call.request_id), call.client_request_id) == (36, "mine")


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (unavailable(), 503, ("retry-after", "1")),
        (limited("licensing.too_many_keys_tried", "Wait.", retry_after=90), 429, ("retry-after", "90")),
        (conflict("licensing.key_used", "Used."), 409, None),
        (ServiceError("nonsense", "service.internal", "Text of a kind that nobody knows."), 500, None),
    ],
)
def test_errors_of_rooms_become_problems(
    gateway: Gateway, error: ServiceError, status: int, header: tuple[str, str] | None
) -> None:
    gateway.rooms.on("licensing", "activate_key", error)
    answer = gateway.ask("POST", "/v1/activations", {"project_id": new_id(), "key": "x"})
    check_problem(answer, status, error.code)
    if header is not None:
        assert answer.headers[header[0]] == header[1]


@pytest.mark.parametrize(("language", "text"), [("en", "temporarily unavailable"), ("de", "zurzeit nicht verfügbar")])
def test_only_of_a_change_the_outcome_is_unknown(gateway: Gateway, language: str, text: str) -> None:
    gateway.rooms.on("projects", "list_projects", unavailable())
    gateway.rooms.on("licensing", "activate_key", unavailable())
    told = {"Accept-Language": language}
    detail = gateway.ask("GET", "/v1/projects", headers=told).body["detail"]
    assert text in detail
    assert "Idempotency-Key" not in detail
    answer = gateway.ask("POST", "/v1/activations", {"project_id": new_id(), "key": "x"}, headers=told)
    assert "Idempotency-Key" in answer.body["detail"]


def test_who_lacks_a_scope_is_told_what_helps(gateway: Gateway) -> None:
    token = gateway.tokens.make(scopes=["orders", "search"], service=True)
    answer = gateway.ask("GET", "/v1/balance", token=token, headers={"Accept-Language": "de"})
    check_problem(answer, 403, "accounts.scope_needed")
    assert answer.body["detail"].endswith("öffnen: orders, search.")
    body = {"old_password": "x" * 12, "new_password": "y" * 12}
    answer = gateway.ask("PUT", "/v1/me/password", body, token=gateway.tokens.make(scopes=["read", "write"]))
    check_problem(answer, 403, "accounts.scope_needed")
    assert "log in with" in answer.body["detail"]


def test_extras_stand_in_the_problem_and_never_replace_its_members(gateway: Gateway) -> None:
    shortages = [{"license_type": "port8", "name": "PORT8", "needed": 2, "missing": 1, "projects": []}]
    error = conflict("licensing.insufficient_balance", "Too few.", shortages=shortages, status=200, title="x")
    gateway.rooms.on("licensing", "assign_licenses", error)
    answer = gateway.ask("POST", assign_path(), LICENSES)
    check_problem(answer, 409, "licensing.insufficient_balance")
    assert answer.body["shortages"] == shortages


def test_the_language_is_the_clients(gateway: Gateway) -> None:
    english = "513 hardware ids were given; at most 50 can be handled at once: split them."
    gateway.rooms.on("devices", "add_devices", ServiceError("invalid", "devices.too_many", english))
    body = {"project_id": new_id(), "text": "x"}
    for accept, expected in (
        ("de-DE,de;q=0.9,en;q=0.5", "Es wurden 513 Hardwarenummern"),
        ("fr", "513 hardware"),
        ("de;q=0,en", "513 hardware"),
    ):
        answer = gateway.ask("POST", "/v1/devices", body, headers={"Accept-Language": accept})
        assert answer.body["detail"].startswith(expected)
    answer = gateway.ask("POST", "/v1/devices", {"x": 1}, headers={"Accept-Language": "de"})
    assert "Dieses Feld gibt es hier nicht." in [item["detail"] for item in answer.body["errors"]]


def test_an_unexpected_error_tells_nothing(gateway: Gateway) -> None:
    def broken(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    gateway.rooms.on("projects", "list_projects", broken)
    answer = gateway.ask("GET", "/v1/projects")
    check_problem(answer, 500, "service.internal")
    assert b"secret" not in answer.content
    assert b"RuntimeError" not in answer.content


def test_every_answer_carries_the_security_headers(gateway: Gateway) -> None:
    for path in ("/healthz", "/v1/projects", "/v1/nothing", "/docs", "/openapi.json"):
        headers = gateway.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def basic(login: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


def device_session(gateway: Gateway) -> None:
    token = gateway.tokens.make(scopes=["read", "device"])
    gateway.rooms.on("accounts", "create_device_session", {"access_token": token, "expires_in": 900})


DOOR = "/device/v1/00-90-33-08-20-20/license-file"
FILE = {"state": "file", "etag": "s-7", "serial": "s-7", "content_type": "application/xml", "content": "<license/>"}


def test_a_device_logs_in_with_the_portal_account_and_is_remembered_for_a_while(gateway: Gateway) -> None:
    device_session(gateway)
    gateway.rooms.on("licensing", "fetch_device_file", FILE)
    for _ in range(3):
        answer = gateway.ask("GET", DOOR, token=None, headers=basic("a@example.com", "päss:word"))
        assert (answer.status, answer.content) == (200, b"<license/>")
        assert answer.headers["etag"] == '"s-7"'
    ((_, arguments),) = gateway.rooms.named("create_device_session")
    assert (arguments["login"], arguments["password"]) == ("a@example.com", "päss:word")
    gateway.ask("GET", DOOR, token=None, headers=basic("a@example.com", "other"))
    assert len(gateway.rooms.named("create_device_session")) == 2


def test_a_device_hears_304_204_and_errors_that_it_can_read(gateway: Gateway) -> None:
    device_session(gateway)
    login = basic("a@example.com", "x")
    gateway.rooms.on("licensing", "fetch_device_file", FILE | {"state": "current", "content": None})
    answer = gateway.ask("GET", DOOR, token=None, headers=login | {"If-None-Match": '"s-7"'})
    assert (answer.status, answer.content) == (304, b"")
    assert gateway.rooms.named("fetch_device_file")[0][1]["etag"] == '"s-7"'
    gateway.rooms.on("licensing", "fetch_device_file", {"state": "nothing"})
    assert gateway.ask("GET", DOOR, token=None, headers=login).status == 204
    gateway.rooms.on("licensing", "fetch_device_file", conflict("licensing.device_rma", "The device\nis marked RMA."))
    answer = gateway.ask("GET", DOOR, token=None, headers=login)
    assert (answer.status, answer.headers["x-error-code"]) == (409, "licensing.device_rma")
    assert answer.content == b"The device is marked RMA.\n"
    answer = gateway.ask("GET", DOOR, token=None, headers=login | {"Accept": "application/json"})
    check_problem(answer, 409, "licensing.device_rma")
    assert answer.headers["x-error-code"] == "licensing.device_rma"


def test_a_wrong_device_login_is_refused_and_basic_opens_no_other_door(gateway: Gateway) -> None:
    refusal = unauthenticated("accounts.login_failed", "Wrong.")
    gateway.rooms.on("accounts", "create_device_session", refusal)
    answer = gateway.ask("GET", DOOR, token=None, headers=basic("a@example.com", "x"))
    check_problem(answer, 401, "accounts.login_failed", door=True)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    for value in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Digest x"):
        answer = gateway.ask("GET", DOOR, token=None, headers={"Authorization": value})
        check_problem(answer, 401, "token.missing", door=True)
    answer = gateway.ask("GET", "/v1/projects", token=None, headers=basic("a@example.com", "x"))
    check_problem(answer, 401, "token.missing")


def test_uploads_go_to_the_room_as_text(gateway: Gateway) -> None:
    device_session(gateway)
    receipt = {"returned": [], "kept": [], "receipt": "r"}
    gateway.rooms.on("licensing", "return_device_licenses", receipt)
    headers = basic("a@example.com", "x") | {"Content-Type": "application/xml"}
    path = "/device/v1/00-90-33-08-20-20/license-return"
    answer = gateway.ask("PUT", path, "<r>ä</r>".encode(), token=None, headers=headers)
    assert (answer.status, answer.body) == (201, receipt)
    assert gateway.rooms.named("return_device_licenses")[0][1] == {
        "xml": "<r>ä</r>",
        "hardware_id": "00-90-33-08-20-20",
    }


def test_a_license_file_is_a_body_with_its_address(gateway: Gateway) -> None:
    serial = new_id()
    file = {"serial": serial, "content_type": "text/plain; charset=utf-8", "content": "PBX7#100 x\n", "created": True}
    gateway.rooms.on("licensing", "issue_license_file", file | {"filename": 'a"\r\nb.txt'})
    path = f"/v1/devices/{new_id()}/license-files"
    answer = gateway.ask("POST", path, {"encrypted": False})
    assert (answer.status, answer.content) == (201, b"PBX7#100 x\n")
    assert answer.headers["location"] == f"/v1/license-files/{serial}"
    assert answer.headers["content-disposition"] == 'attachment; filename="ab.txt"'
    gateway.rooms.on("licensing", "issue_license_file", file | {"created": False})
    assert gateway.ask("POST", path, {"encrypted": False}).status == 200


def test_public_documents_need_no_login_and_may_be_kept(gateway: Gateway) -> None:
    content = {"content_type": "application/pkix-crl", "content_base64": base64.b64encode(b"\x30\x00").decode()}
    gateway.rooms.on("licensing", "device_crl", content)
    answer = gateway.ask("GET", "/v1/device-ca.crl", token=None)
    assert (answer.status, answer.content) == (200, b"\x30\x00")
    assert answer.headers["cache-control"] == "public, max-age=300"
    gateway.rooms.on("licensing", "signing_keys", {"keys": []})
    assert gateway.ask("GET", "/v1/keys", token=None).body == {"keys": []}


def test_a_company_comes_with_its_project_and_a_repetition_finishes_the_work(gateway: Gateway) -> None:
    company = {"id": new_id(), "name": "Engines", "role": "admin"}
    gateway.rooms.on("accounts", "create_company", company)
    gateway.rooms.on("accounts", "renew_token", {"access_token": "inside", "expires_in": 900})
    gateway.rooms.on("projects", "ensure_default", unavailable())
    headers = {"Idempotency-Key": "k"}
    check_problem(gateway.ask("POST", "/v1/companies", {"name": "Engines"}, headers=headers), 503)
    gateway.rooms.on("projects", "ensure_default", {"id": new_id()})
    answer = gateway.ask("POST", "/v1/companies", {"name": "Engines"}, headers=headers)
    assert (answer.status, answer.body) == (201, company)
    assert [call.command_id for call, _ in gateway.rooms.named("create_company")] == ["k", "k"]
    assert [(call.command_id, call.token) for call, _ in gateway.rooms.named("ensure_default")] == [
        ("k:project", "inside"),
        ("k:project", "inside"),
    ]


def test_devices_archives_a_project_and_projects_does_the_rest(gateway: Gateway) -> None:
    gateway.rooms.on("projects", "update_project", PROJECT)
    gateway.rooms.on("devices", "archive_project", {**PROJECT, "version": 4})
    path = f"/v1/projects/{PROJECT['id']}"
    for body, room in (
        ({"archived": True, "name": "Old"}, "devices"),
        ({"archived": False}, "projects"),
        ({"name": "New"}, "projects"),
    ):
        gateway.rooms.calls.clear()
        answer = gateway.ask("PATCH", path, body, headers={"If-Match": '"3"'})
        assert (answer.status, [call[0] for call in gateway.rooms.calls]) == (200, [room])
        assert gateway.rooms.calls[0][3] == {"project_id": PROJECT["id"], "if_version": 3, **body}


def test_the_own_account_tells_the_selected_project(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "get_me", {"id": COMPANY, "version": 1})
    etags = set()
    for selected in (PROJECT["id"], None):
        gateway.rooms.on("projects", "get_selected_project", {"project_id": selected})
        answer = gateway.ask("GET", "/v1/me")
        assert answer.body["selected_project_id"] == selected
        etags.add(answer.headers["etag"])
    assert len(etags) == 2


def test_history_tells_persons_by_the_name_of_today(gateway: Gateway) -> None:
    person, gone = new_id(), new_id()
    lines = [{"id": "1", "actor": {"id": person}}, {"id": "2", "actor": None}, {"id": "3", "actor": {"id": gone}}]
    gateway.rooms.on("history", "list_history", {"items": lines, "next": None})
    gateway.rooms.on("accounts", "get_names", {"users": {person: "Ada Lovelace"}, "companies": {}})
    items = gateway.ask("GET", "/v1/history?period=day").body["items"]
    assert [item["actor"] and item["actor"]["name"] for item in items] == ["Ada Lovelace", None, None]


def test_more_requests_than_may_wait_hear_503_at_once() -> None:
    import eventlet

    gateway = make_gateway(admission=Admission(working=2, waiting=3, seconds=0.5))
    try:
        gateway.rooms.on("projects", "list_projects", lambda call, arguments: eventlet.sleep(1.2) or {"items": []})
        started = time.monotonic()
        asked = [eventlet.spawn(gateway.ask, "GET", "/v1/projects") for _ in range(8)]
        eventlet.sleep(0.2)
        assert gateway.ask("GET", "/healthz").status == 200
        answers = [thread.wait() for thread in asked]
        statuses = [answer.status for answer in answers]
        assert statuses.count(200) == 2
        assert statuses.count(503) == 6
        assert all(a.headers["retry-after"] for a in answers if a.status == 503)
        assert time.monotonic() - started < 3
    finally:
        gateway.server.stop()


def test_the_metrics_know_templates_and_no_ids(gateway: Gateway) -> None:
    device = new_id()
    gateway.ask("GET", f"/v1/devices/{device}")
    text = metrics.render(lambda: None).decode()
    assert 'route="/v1/devices/{device_id}"' in text
    assert device not in text


def test_json_answers_are_utf8(gateway: Gateway) -> None:
    gateway.rooms.on("projects", "get_project", PROJECT | {"name": "Größe"})
    answer = gateway.ask("GET", f"/v1/projects/{PROJECT['id']}")
    assert "Größe".encode() in answer.content
    assert json.loads(answer.content)["name"] == "Größe"


def test_what_a_request_ended_is_dead_here_before_its_answer(gateway: Gateway) -> None:
    at = datetime.now(UTC).isoformat()
    ended = {"items": [{"kind": "session", "id": SESSION, "company_id": None, "at": at}]}
    gateway.rooms.on("accounts", "delete_session", {})
    gateway.rooms.on("accounts", "list_revocations", ended)
    token = gateway.tokens.make()
    assert gateway.ask("GET", "/v1/projects", token=token).status == 200
    assert gateway.ask("DELETE", "/v1/sessions/current", token=token).status == 204
    check_problem(gateway.ask("GET", "/v1/projects", token=token), 401, "token.revoked")
    since = datetime.fromisoformat(gateway.rooms.named("list_revocations")[0][1]["since"])
    assert timedelta(0) < datetime.now(UTC) - since < timedelta(minutes=1)


def test_an_end_is_answered_even_when_it_cannot_be_learned_at_once(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "delete_session", {})
    gateway.rooms.on("accounts", "list_revocations", unavailable())
    assert gateway.ask("DELETE", "/v1/sessions/current").status == 204


def test_every_row_that_may_end_a_login_says_so() -> None:
    rows = {row.rpc: row for row in ROWS if row.service == "accounts"}
    for name in ("delete_session", "change_password", "confirm_password_reset", "erase_me", "delete_api_token",
                 "update_company_user", "remove_company_user", "update_user_staff", "update_company_user_staff",
                 "remove_company_user_staff"):  # fmt: skip
        assert rows[name].revokes, name


def test_an_export_holds_the_history_of_all_pages_and_no_other_names(gateway: Gateway) -> None:
    pages: dict[Any, dict[str, Any]] = {None: {"items": [{"id": "1", "actor": {"id": USER, "name": "x"}}], "next": "c"},
             "c": {"items": [{"id": "2", "actor": None}], "next": None}}  # fmt: skip
    gateway.rooms.on("accounts", "export_me", {"account": {"id": USER}})
    gateway.rooms.on("history", "list_history", lambda call, arguments: pages[arguments["cursor"]])
    answer = gateway.ask("GET", "/v1/me/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="tessera-export.json"'
    assert answer.body["history"] == [{"id": "1", "actor": USER}, {"id": "2", "actor": None}]
    assert answer.body["history_complete"] is True
