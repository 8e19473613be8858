"""Issue 6.2: a login that may do nothing but switch a second factor on is refused by every row but those of that."""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.openapi import document
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from gateway.tests.fakes import COMPANY
from gateway.tests.test_rows import check_problem, is_door, name_of
from gateway.tests.test_tenancy import ask, event
from services.accounts.api import SCOPE_ENROLMENT, factor_demanded

CLOSED = [row for row in ROWS if row.right is not Right.NONE]
# Who waits sees oneself, proves once more who one is, switches the factor on, or logs out; nothing else.
NEEDED = {
    "GET /v1/me",
    "POST /v1/sessions/current/confirmations",
    "POST /v1/me/otp",
    "POST /v1/me/otp/confirmations",
    "DELETE /v1/sessions/{session_id}",
}
NOBODY: Final[dict[str, Any]] = {"company": None, "companies": [], "role": None, "scopes": [SCOPE_ENROLMENT]}
EVERYTHING: Final = ["read", "write", "account", "device", "events", SCOPE_ENROLMENT]
BEARERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a user, as accounts signs it": (NOBODY, "accounts.otp_demanded"),
    "staff, as accounts signs it": ({**NOBODY, "staff_waits": True}, "accounts.staff_otp_needed"),
    # Whatever else a mistake in accounts left in the token.
    "an administrator": ({"scopes": EVERYTHING}, "accounts.otp_demanded"),
    "staff": ({"scopes": EVERYTHING, "staff": True}, "accounts.otp_demanded"),
    "an API token": ({"scopes": EVERYTHING, "auth_time": None}, "accounts.otp_demanded"),
}


def test_these_rows_and_no_others_are_open_to_who_waits() -> None:
    assert {name_of(row) for row in ROWS if row.enrolment} == NEEDED


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
@pytest.mark.parametrize("bearer", BEARERS)
def test_who_waits_is_refused_by_every_other_row_and_no_room_is_asked(gateway: Gateway, row: Row, bearer: str) -> None:
    claims, code = BEARERS[bearer]
    answer = ask(gateway, row, gateway.tokens.make(**claims))
    if name_of(row) not in NEEDED:
        # Before anything else is told, but that API tokens never get to an act of a recent login.
        expected = "accounts.login_needed" if row.recent and "auth_time" in claims else code
        check_problem(answer, 403, expected, door=is_door(row))
        assert gateway.rooms.calls == []
    elif "auth_time" not in claims:
        assert answer.status not in (401, 403)


@pytest.mark.parametrize(("staff", "code"), [(False, "accounts.otp_demanded"), (True, "accounts.staff_otp_needed")])
def test_the_refusal_says_what_to_do_in_both_languages(gateway: Gateway, staff: bool, code: str) -> None:
    token = gateway.tokens.make(**{**NOBODY, "staff_waits": staff})
    for language, word in (("en", "second factor"), ("de", "zweiten Faktor")):
        answer = gateway.ask("GET", "/v1/devices", token=token, headers={"Accept-Language": language})
        detail = check_problem(answer, 403, code)["detail"]
        assert word in detail
        assert "/me/otp" in detail


def test_the_document_tells_it_of_every_row_but_those() -> None:
    told = set()
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if "accounts.otp_demanded" in operation["x-error-codes"]:
                told.add(f"{method.upper()} {path}")
    assert {name_of(row) for row in CLOSED} - NEEDED <= told
    # One's own session can be ended, any other not before the factor is on; the room says so.
    assert told & NEEDED == {"DELETE /v1/sessions/{session_id}"}


def test_a_remembered_api_token_is_asked_for_again_when_its_company_demands_a_factor(gateway: Gateway) -> None:
    """Issue 6.2: API tokens of users without a second factor stop within a second, not when they are forgotten."""
    answer = {"access_token": gateway.tokens.make(scopes=["read"], auth_time=None), "expires_in": 900}
    gateway.rooms.on("accounts", "exchange_token", answer)
    for _ in range(2):
        assert gateway.ask("GET", "/v1/devices", token="tsk_remembered").status == 200
    assert len(gateway.rooms.named("exchange_token")) == 1
    revocations = gateway.authentication.revocations
    revocations.note(event("company_changed", {"name": "Acme", "what": ["name"]}, company=COMPANY))
    assert gateway.ask("GET", "/v1/devices", token="tsk_remembered").status == 200
    assert len(gateway.rooms.named("exchange_token")) == 1
    gateway.rooms.on("accounts", "exchange_token", factor_demanded(staff=False))
    revocations.note(event("company_changed", {"name": "Acme", "what": ["otp_demanded"]}, company=COMPANY))
    answer_now = gateway.ask("GET", "/v1/devices", token="tsk_remembered")
    check_problem(answer_now, 403, "accounts.otp_demanded")
