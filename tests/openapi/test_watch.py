"""The watch sees what it is there for: each kind of untold answer is found, and a told one is not (Issue 6.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.openapi import watch
from tests.openapi.answers import findings

ID = "01a20bb3-db07-7506-9682-6d4ec3e2575e"
MISSING = {
    "type": "/problems/projects.not_found", "title": "T", "status": 404, "detail": "D", "code": "projects.not_found",
    "instance": ID,
}  # fmt: skip
HEADERS = {"Content-Type": "application/problem+json", "X-Request-Id": ID, "Content-Language": "en"}


def of_missing(status: int = 404, headers: dict[str, str] | None = None, **changes: Any) -> list[str]:
    content = json.dumps({**MISSING, **changes}).encode()
    return findings("GET", f"/v1/projects/{ID}", status, {**HEADERS, **(headers or {})}, content)


def test_a_told_refusal_is_no_finding() -> None:
    assert of_missing() == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"status": 418}, "the status 418"),
        ({"code": "licensing.key_used"}, "at /code"),
        ({"headers": {"Content-Type": "text/html"}}, "media type 'text/html'"),
        ({"headers": {"Location": "/v1/me"}}, "the header location is not told"),
        ({"headers": {"Idempotent-Replayed": "true"}}, "the header idempotent-replayed is not told"),
        ({"more": 1}, "'more' was unexpected"),
        ({"instance": "no id"}, "at /instance"),
        ({"title": None}, "at /title"),
    ],
)
def test_what_is_not_told_is_found(answer: dict[str, Any], text: str) -> None:
    found = of_missing(**answer)
    assert len(found) == 1, found
    assert text in found[0]


def test_a_header_that_is_told_as_required_has_to_come() -> None:
    body = {**MISSING, "status": 401, "code": "token.missing"}
    found = findings("GET", f"/v1/projects/{ID}", 401, HEADERS, json.dumps(body).encode())
    assert found == ["the header www-authenticate is told as required and does not come"]


def test_a_success_may_neither_lack_a_field_nor_have_more() -> None:
    headers = {"Content-Type": "application/json", "X-Request-Id": ID, "ETag": '"1"'}
    item = {"id": ID, "current": True, "created_at": "2026-11-24T08:45:34.790Z"}
    found = findings("GET", "/v1/sessions", 200, headers, json.dumps({"items": [item], "next": None, "x": 1}).encode())
    assert any("'x' was unexpected" in one for one in found)
    assert any('"expires_at" is a required property' in one for one in found)


def test_an_address_that_is_in_no_row_is_refused_by_the_door_alone() -> None:
    body = json.dumps({**MISSING, "code": "request.not_found"}).encode()
    assert findings("GET", "/v1/nothing", 404, HEADERS, body) == []
    assert findings("GET", "/v1/nothing", 404, HEADERS, json.dumps(MISSING).encode())
    assert findings("GET", "/v1/nothing", 200, HEADERS, b"{}")


@pytest.mark.parametrize("test", ["tests/integration/test_door.py::test_x", "tests/faults/test_kills.py::test_x"])
def test_a_journey_gets_no_500_though_it_is_told(monkeypatch: pytest.MonkeyPatch, test: str) -> None:
    body = {**MISSING, "type": "/problems/service.internal", "code": "service.internal", "status": 500}
    monkeypatch.setattr(watch, "_running", [test])
    answer = ("GET", f"/v1/projects/{ID}", 500, HEADERS, json.dumps(body).encode())
    assert findings(*answer) == []
    if test.startswith(watch.JOURNEYS):
        with pytest.raises(AssertionError, match="a journey gets no 500"):
            watch.look(*answer)
    else:
        watch.look(*answer)
    # Found on purpose: what is kept would fail this test as well.
    assert bool(watch._kept) is test.startswith(watch.JOURNEYS)
    watch._kept.clear()
