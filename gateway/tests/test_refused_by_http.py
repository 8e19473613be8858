"""What HTTP itself demands, on every route: 411, 401 with WWW-Authenticate, 405 with Allow, 413, 429 and 503.

`test_rows.py` tries bodies and parameters, `test_tenancy.py` who may ask; here is what stands in headers.
"""

from __future__ import annotations

import re
import time

import pytest

from gateway.messages import Request
from gateway.problems import to_response
from gateway.responses import codes_of, responses_of, statuses_of
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Answer, Gateway, parse
from gateway.tests.test_rows import check_problem, is_door, name_of, path_of, token_of
from services.chassis.errors import limited, unavailable
from services.chassis.ids import new_id
from tests.openapi.watch import look

CLOSED = [row for row in ROWS if row.right is not Right.NONE]
REASONS = {
    "no scheme": ("abc", "token.missing"),
    "another scheme": ("Digest abc", "token.missing"),
    "a scheme alone": ("Bearer ", "token.missing"),
    "garbage": ("Bearer a.b.c", "token.invalid"),
    "garbage of no JSON": ("Bearer !!.!!.!!", "token.invalid"),
    "dots": ("Bearer ..", "token.invalid"),
    "too long for an API token": ("Bearer " + "a" * 600, "token.invalid"),
    "expired": ("expired", "token.expired"),
}


def sent(gateway: Gateway, row: Row, *lines: str, body: bytes = b"", login: bool = True) -> Answer:
    """Send a head as it is, with whoever may ask, and return the answer, compared with the OpenAPI document."""
    token = token_of(gateway, row) if login else None
    head = [f"{row.method} {path_of(row)} HTTP/1.1", "Host: localhost", "Connection: close", *lines]
    head += [f"Authorization: Bearer {token}"] if token else []
    answer = parse(gateway.raw("\r\n".join([*head, "", ""]).encode() + body))
    look(row.method, path_of(row), answer.status, answer.headers, answer.content, body=False)
    return answer


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_body_without_a_length_is_refused(gateway: Gateway, row: Row) -> None:
    """411 whoever asks, before anything is read: what follows on the connection is not taken for a request either."""
    smuggled = b"2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lines in (
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: Chunked", f"Content-Type: {row.takes}"),
        ("Transfer-Encoding: chunked", "Content-Length: 2"),
    ):
        for login in (True, False):
            answer = sent(gateway, row, *lines, body=smuggled, login=login)
            check_problem(answer, 411, "request.length_required", door=is_door(row))
            assert answer.headers["connection"] == "close"
            assert b"HTTP/1.1 200" not in answer.content
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_another_host_is_refused(gateway: Gateway, row: Row) -> None:
    head = f"{row.method} {path_of(row)} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    answer = parse(gateway.raw(head.encode()))
    look(row.method, path_of(row), answer.status, answer.headers, answer.content, body=False)
    check_problem(answer, 421, "request.host_refused", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", CLOSED, ids=name_of)
@pytest.mark.parametrize("reason", REASONS)
def test_no_good_login_is_401_and_says_how_to_log_in(gateway: Gateway, row: Row, reason: str) -> None:
    value, code = REASONS[reason]
    if value == "expired":
        now = int(time.time())
        value = f"Bearer {gateway.tokens.make(staff=row.right is Right.STAFF, iat=now - 1000, exp=now - 100)}"
    # A body that is wrong in every way is not looked at first, nor is a key.
    lines = (f"Authorization: {value}", "Content-Type: text/evil", "Content-Length: 1", "Idempotency-Key: a b")
    answer = sent(gateway, row, *lines, body=b"{", login=False)
    check_problem(answer, 401, code, door=is_door(row))
    if is_door(row):
        assert answer.headers["www-authenticate"] == 'Basic realm="tessera", charset="UTF-8"'
    else:
        hint = "" if code == "token.missing" else ', error="invalid_token"'
        assert answer.headers["www-authenticate"] == f'Bearer realm="tessera"{hint}'
    assert "idempotent-replayed" not in answer.headers
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_allow_names_the_methods_of_the_address_and_no_other(gateway: Gateway, row: Row) -> None:
    shape = re.sub(r"\{\w+\}", "{}", row.path)
    methods = {other.method for other in ROWS if re.sub(r"\{\w+\}", "{}", other.path) == shape}
    allowed = methods | ({"HEAD"} if "GET" in methods else set())
    for method in sorted({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed):
        answer = gateway.ask(method, path_of(row), token=None)
        if method == "HEAD":
            assert (answer.status, answer.content) == (405, b"")
        else:
            check_problem(answer, 405, "request.method_not_allowed", door=row.path.startswith("/device/"))
        assert set(answer.headers["allow"].split(", ")) == allowed
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_body_that_is_announced_too_large_is_refused_unread(gateway: Gateway, row: Row) -> None:
    answer = sent(gateway, row, f"Content-Type: {row.takes}", f"Content-Length: {(1 << 20) + 1}")
    check_problem(answer, 413, "request.too_large", door=is_door(row))
    assert answer.headers["connection"] == "close"
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_whoever_has_to_wait_is_told_how_long(row: Row) -> None:
    """In the document and in the answer: Retry-After for 429 and 503, RateLimit where a limit was the reason."""
    told = responses_of(row)
    waits = {code: status for code in codes_of(row) for status in statuses_of(code) if status in (429, 503)}
    assert {str(status) for status in waits.values()} == {"429", "503"} & set(told)
    for status, response in told.items():
        assert ("Retry-After" in response["headers"]) is (status in ("429", "503"))
        assert ("RateLimit" in response["headers"]) is (status == "429")
    request = Request(row.method, path_of(row), "", {}, "127.0.0.1", new_id(), bytes)
    for code, number in waits.items():
        error = limited(code, "Wait.", retry_after=90) if number == 429 else unavailable(code, "Wait.", retry_after=90)
        answer = to_response(error, request)
        headers = {name.lower(): value for name, value in answer.headers}
        assert (answer.status, headers["retry-after"]) == (number, "90")
        assert headers.get("ratelimit") == (f'"{code}";r=0;t=90' if number == 429 else None)
        look(row.method, path_of(row), number, {**headers, "content-type": str(answer.content_type),
             "x-request-id": request.id}, answer.body)  # fmt: skip
