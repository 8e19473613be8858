"""Issue 6.2: what changes who is who needs a login of the last ten minutes and is closed to API tokens (ACC-13)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.openapi import RECENT_CODES, document
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from gateway.tests.test_rows import check_problem, name_of
from gateway.tests.test_tenancy import ask

RECENT = [row for row in ROWS if row.recent]
# The published contract marks the first ones; the last make new administrators, staff and service accounts.
MARKED = {
    "POST /v1/me/email-changes",
    "GET /v1/me/tokens",
    "POST /v1/me/tokens",
    "POST /v1/me/otp",
    "POST /v1/me/otp/confirmations",
    "DELETE /v1/me/otp",
    "POST /v1/company/users",
    "PATCH /v1/company/users/{user_id}",
    "DELETE /v1/company/users/{user_id}",
    "GET /v1/company/users/{user_id}/sessions",
    "DELETE /v1/company/users/{user_id}/sessions/{session_id}",
    "GET /v1/company/users/{user_id}/tokens",
    "DELETE /v1/company/users/{user_id}/tokens/{token_id}",
    "POST /v1/company/imports",
    "PATCH /v1/staff/companies/{company_id}/users/{user_id}",
    "DELETE /v1/staff/companies/{company_id}/users/{user_id}",
    "PATCH /v1/staff/users/{user_id}",
    "GET /v1/staff/service-accounts",
    "POST /v1/staff/service-accounts",
    "DELETE /v1/staff/service-accounts/{account_id}",
    "GET /v1/staff/service-accounts/{account_id}/tokens",
    "POST /v1/staff/service-accounts/{account_id}/tokens",
    "DELETE /v1/staff/service-accounts/{account_id}/tokens/{token_id}",
}


def token_of(gateway: Gateway, row: Row, **changes: Any) -> str:
    """Return a token with the row's right."""
    return gateway.tokens.make(staff=row.right is Right.STAFF, **changes)


def test_these_rows_and_no_others_need_a_recent_login() -> None:
    assert {name_of(row) for row in RECENT} == MARKED


@pytest.mark.parametrize("row", RECENT, ids=name_of)
def test_an_old_login_is_asked_to_confirm_before_anything_is_looked_at(gateway: Gateway, row: Row) -> None:
    old = token_of(gateway, row, auth_time=time.time() - 601)
    check_problem(ask(gateway, row, old), 403, "accounts.confirmation_needed")
    assert gateway.rooms.calls == []
    fresh = token_of(gateway, row, auth_time=time.time() - 590)
    assert ask(gateway, row, fresh).status not in (401, 403)


@pytest.mark.parametrize("row", RECENT, ids=name_of)
@pytest.mark.parametrize("scopes", [["read"], ["read", "write", "device"], ["read", "write", "device", "account"]])
def test_an_api_token_never_gets_there_whatever_it_may(gateway: Gateway, row: Row, scopes: list[str]) -> None:
    for missing in ({"auth_time": None}, {"auth_time": None, "role": "member"}):
        check_problem(ask(gateway, row, token_of(gateway, row, scopes=scopes, **missing)), 403, "accounts.login_needed")
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", [row for row in ROWS if not row.recent and row.right is not Right.NONE], ids=name_of)
def test_other_rows_take_an_old_login(gateway: Gateway, row: Row) -> None:
    answer = ask(gateway, row, token_of(gateway, row, auth_time=time.time() - 86_400))
    assert answer.status not in (401, 403)


def test_who_lacks_the_right_is_not_asked_to_confirm_for_nothing(gateway: Gateway) -> None:
    old = gateway.tokens.make(auth_time=time.time() - 3600, role="member")
    answer = gateway.ask("DELETE", "/v1/company/users/x", token=old)
    check_problem(answer, 403, "accounts.admin_needed")


def test_the_refusal_says_what_to_do_in_both_languages(gateway: Gateway) -> None:
    old = gateway.tokens.make(auth_time=time.time() - 3600)
    for language, word in (("en", "ten minutes"), ("de", "zehn Minuten")):
        answer = gateway.ask("DELETE", "/v1/me/otp", token=old, headers={"Accept-Language": language})
        detail = check_problem(answer, 403, "accounts.confirmation_needed")["detail"]
        assert word in detail
        assert "/v1/sessions/current/confirmations" in detail


def test_the_document_marks_these_rows() -> None:
    marked = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            marked[f"{method.upper()} {path}"] = operation
    for row in ROWS:
        operation = marked[name_of(row)]
        assert operation.get("x-recent-login", False) is row.recent
        if row.recent:
            assert set(RECENT_CODES) <= set(operation["x-error-codes"])
            assert "ten minutes" in operation["description"]
