"""Import of a company at the door: a rehearsal asks every room with one token, and old tokens learn what happened."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from gateway.tests.conftest import Gateway
from gateway.tests.fakes import COMPANY
from gateway.tests.test_rows import check_problem
from gateway.tests.test_tenancy import event
from services.accounts.api import MERGING_ROOMS
from services.chassis.errors import ServiceError, conflict, unauthenticated
from services.chassis.ids import new_id

BODY = {"email": "otto@other.example", "password": "secret secret"}
JOB = {"id": new_id(), "kind": "company_import", "state": "running", "done": 1, "total": 5, "created_at": "",
       "finished_at": None, "result": None}  # fmt: skip


def test_a_rehearsal_puts_together_what_the_rooms_say(gateway: Gateway) -> None:
    parts = {room: {room: {"count": number}} for number, room in enumerate(MERGING_ROOMS)}
    said = {"company": {"id": "c", "name": "Other"}, "users": {"moving": 3}, "token": "short.lived.token"}
    gateway.rooms.on("accounts", "import_company", said)
    for room in MERGING_ROOMS:
        gateway.rooms.on(room, "rehearse_merge", parts[room])
    token = gateway.tokens.make()
    answer = gateway.ask("POST", "/v1/company/imports?dry_run=true", BODY, token=token)
    assert answer.status == 200
    expected: dict[str, Any] = {"company": said["company"], "users": said["users"]}
    for part in parts.values():
        expected |= part
    assert answer.body == expected
    assert "location" not in answer.headers
    asked = gateway.rooms.named("rehearse_merge")
    assert [(call.token, arguments) for call, arguments in asked] == [("short.lived.token", {})] * len(MERGING_ROOMS)


def test_the_import_answers_its_job(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "import_company", JOB)
    gateway.rooms.on("accounts", "get_job", JOB)
    token = gateway.tokens.make()
    answer = gateway.ask("POST", "/v1/company/imports", BODY, token=token)
    assert (answer.status, answer.body) == (202, JOB)
    assert answer.headers["location"] == f"/v1/jobs/{JOB['id']}"
    assert gateway.rooms.named("rehearse_merge") == []
    assert gateway.ask("GET", answer.headers["location"], token=token).body == JOB


def test_only_an_administrators_login_imports(gateway: Gateway) -> None:
    member = gateway.tokens.make(role="member")
    check_problem(gateway.ask("POST", "/v1/company/imports", BODY, token=member), 403, "accounts.admin_needed")
    weak = gateway.tokens.make(scopes=["read", "write"])
    check_problem(gateway.ask("POST", "/v1/company/imports", BODY, token=weak), 403, "accounts.scope_needed")
    rehearsal = gateway.tokens.make(scopes=["rehearsal"])
    for path in ("/v1/projects", "/v1/company", "/v1/history"):
        check_problem(gateway.ask("GET", path, token=rehearsal), 403, "accounts.scope_needed")


def test_what_the_client_can_answer_reaches_it(gateway: Gateway) -> None:
    companies = [{"id": new_id(), "name": "Other"}]
    refusal: ServiceError = conflict("accounts.import_ambiguous", "Several.", companies=companies)
    gateway.rooms.on("accounts", "import_company", refusal)
    answer = gateway.ask("POST", "/v1/company/imports", BODY, token=gateway.tokens.make())
    check_problem(answer, 409, "accounts.import_ambiguous")
    assert answer.body["companies"] == companies


def test_our_tokens_are_renewed_and_name_what_was_imported(gateway: Gateway) -> None:
    gone = new_id()
    old = gateway.tokens.make(iat=int(time.time()) - 60)
    fresh = gateway.tokens.make(companies=[COMPANY, gone])
    gateway.rooms.on("accounts", "renew_token", {"access_token": fresh, "expires_in": 900})
    assert gateway.ask("GET", "/v1/projects", token=old).status == 200
    assert gateway.rooms.named("renew_token") == []
    gateway.authentication.revocations.note(event("company_merged", {"copy": False}, company=COMPANY))
    for _ in range(2):
        assert gateway.ask("GET", "/v1/projects", token=old).status == 200
    assert len(gateway.rooms.named("renew_token")) == 1
    assert [call.token for call, _ in gateway.rooms.named("list_projects")] == [old, fresh, fresh]


def test_tokens_of_the_company_that_is_gone_are_worth_nothing(gateway: Gateway) -> None:
    gone = new_id()
    token = gateway.tokens.make(iat=int(time.time()) - 60, company=gone, companies=[gone])
    gateway.rooms.on("accounts", "renew_token", unauthenticated("accounts.session_ended", "Ended."))
    gateway.authentication.revocations.note(event("company_merged", {"copy": True}, company=gone))
    check_problem(gateway.ask("GET", "/v1/projects", token=token), 401, "token.revoked")
    assert gateway.rooms.named("list_projects") == []


def test_the_process_that_served_the_import_knows_before_it_answers(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "import_company", JOB)
    items = [{"kind": "company", "id": COMPANY, "company_id": COMPANY, "at": datetime.now(UTC).isoformat()}]
    gateway.rooms.on("accounts", "list_revocations", {"items": items})
    fresh = gateway.tokens.make(companies=[COMPANY, new_id()])
    gateway.rooms.on("accounts", "renew_token", {"access_token": fresh, "expires_in": 900})
    old = gateway.tokens.make(iat=int(time.time()) - 60)
    assert gateway.ask("POST", "/v1/company/imports", BODY, token=old).status == 202
    assert gateway.ask("GET", "/v1/projects", token=old).status == 200
    assert [call.token for call, _ in gateway.rooms.named("list_projects")] == [fresh]
