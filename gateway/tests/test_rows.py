"""Every route, tried with bad input made from its row: the right 4xx, a problem document, nothing called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import fields

from gateway.codes import all_codes
from gateway.messages import JSON
from gateway.problems import texts
from gateway.responses import codes_of, statuses_of
from gateway.routes import ROWS
from gateway.row import HIDDEN_FIELDS, Right, Row
from gateway.tests.conftest import Gateway
from gateway.tests.fakes import nothing_there
from services.chassis.ids import new_id

WRITES = [row for row in ROWS if row.method in ("POST", "PUT", "PATCH")]
OBJECTS = [row for row in ROWS if row.path_names and row.method in ("GET", "DELETE")]
JSON_WRITES = [row for row in WRITES if row.raw is None and row.body_names]


def name_of(row: Row) -> str:
    return f"{row.method} {row.path}"


def path_of(row: Row, value: str | None = None) -> str:
    """Return a path with an id for every parameter."""
    return re.sub(r"\{\w+\}", lambda _: value or new_id(), row.path)


def token_of(gateway: Gateway, row: Row, **changes: Any) -> str | None:
    """Return a token that has the row's right, None for public rows."""
    if row.right is Right.NONE:
        return None
    return gateway.tokens.make(staff=row.right is Right.STAFF, **changes)


def check_problem(answer: Any, status: int, code: str | None = None, *, door: bool = False) -> Any:
    """Assert a problem document, or its short form at the device door; returns the document."""
    assert answer.status == status, answer
    if door:
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.content.endswith(b"\n")
        assert answer.content.count(b"\n") == 1
        assert code is None or answer.headers["x-error-code"] == code
        return None
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.body
    assert body["status"] == status
    assert body["type"] == f"/problems/{body['code']}"
    assert body["instance"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    assert code is None or body["code"] == code
    return body


def is_door(row: Row) -> bool:
    return row.right is Right.DEVICE


@pytest.mark.parametrize("row", JSON_WRITES, ids=name_of)
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.malformed_json"),
        (b"", 400, "request.malformed_json"),
        (b"\xff\xfe{}", 400, "request.malformed_json"),
        (b"[" * 100_000, 400, "request.malformed_json"),
        (b'{"a": NaN}', 400, "request.malformed_json"),
        (b'{"a": 1, "a": 2}', 400, "request.malformed_json"),
        (b'{"a": "\\ud800"}', 400, "request.malformed_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "request.malformed_json"),
        (b"[]", 422, "request.invalid"),
        (b"null", 422, "request.invalid"),
        (b'{"no_such_field": 1}', 422, "request.invalid"),
    ],
)
def test_a_malformed_body_is_refused(gateway: Gateway, row: Row, body: bytes, status: int, code: str) -> None:
    headers = {"Content-Type": JSON}
    answer = gateway.ask(row.method, path_of(row), body, token=token_of(gateway, row), headers=headers)
    check_problem(answer, status, code)
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", JSON_WRITES, ids=name_of)
def test_an_unknown_field_is_named(gateway: Gateway, row: Row) -> None:
    answer = gateway.ask(row.method, path_of(row), {"no_such_field": 1}, token=token_of(gateway, row))
    assert {"pointer": "/no_such_field", "code": "field.unknown", "detail": "Unknown field."} in answer.body["errors"]


@pytest.mark.parametrize("row", JSON_WRITES, ids=name_of)
def test_what_comes_from_path_query_or_connection_is_refused_in_the_body(gateway: Gateway, row: Row) -> None:
    for name in {*row.path_names, *(HIDDEN_FIELDS & set(row.wire_fields))}:
        answer = gateway.ask(row.method, path_of(row), {name: new_id()}, token=token_of(gateway, row))
        check_problem(answer, 422, "request.invalid")
        assert {"pointer": f"/{name}", "code": "field.unknown", "detail": "Unknown field."} in answer.body["errors"]
    assert gateway.rooms.calls == []


def wrong_types(row: Row) -> Iterator[tuple[str, Any]]:
    for name in sorted(row.body_names):
        field = row.wire_fields[name]
        yield name, {"a": {"b": 1}} if not isinstance(field, fields.Nested | fields.Dict) else 7
        if not field.allow_none:
            yield name, None
        if isinstance(field, fields.Integer):
            yield from ((name, number) for number in ("1", 1.5, True, 10**12, -(10**12)))
        if isinstance(field, fields.Boolean):
            yield from ((name, word) for word in ("true", 1, 0))
        if isinstance(field, fields.String):
            yield from ((name, text) for text in (1, True, ["a"]))
        if isinstance(field, fields.List):
            yield from [(name, "a"), (name, [[]]), (name, [None])]


@pytest.mark.parametrize("row", JSON_WRITES, ids=name_of)
def test_a_field_of_the_wrong_type_is_named(gateway: Gateway, row: Row) -> None:
    for name, value in wrong_types(row):
        answer = gateway.ask(row.method, path_of(row), {name: value}, token=token_of(gateway, row))
        check_problem(answer, 422, "request.invalid")
        pointers = [item["pointer"] for item in answer.body["errors"]]
        assert any(pointer.startswith(f"/{name}") for pointer in pointers), (name, value, answer.body)
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", WRITES, ids=name_of)
def test_the_wrong_media_type_is_refused(gateway: Gateway, row: Row) -> None:
    for media_type in ("text/csv", "application/x-www-form-urlencoded", "application/jsonx", ""):
        headers = {"Content-Type": media_type}
        answer = gateway.ask(row.method, path_of(row), b"a=1", token=token_of(gateway, row), headers=headers)
        check_problem(answer, 415, "request.unsupported_media_type", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", WRITES, ids=name_of)
def test_a_compressed_body_is_refused_and_not_taken_for_plain(gateway: Gateway, row: Row) -> None:
    for encoding in ("gzip", "br", "deflate", "identity, gzip"):
        headers = {"Content-Type": row.takes, "Content-Encoding": encoding}
        answer = gateway.ask(row.method, path_of(row), b"{}", token=token_of(gateway, row), headers=headers)
        check_problem(answer, 415, "request.unsupported_media_type", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", WRITES, ids=name_of)
def test_a_body_that_is_too_large_is_refused(gateway: Gateway, row: Row) -> None:
    body = b" " * ((1 << 20) + 1)
    headers = {"Content-Type": row.takes}
    answer = gateway.ask(row.method, path_of(row), body, token=token_of(gateway, row), headers=headers)
    check_problem(answer, 413, "request.too_large", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_an_unknown_or_repeated_query_parameter_is_refused(gateway: Gateway, row: Row) -> None:
    token = token_of(gateway, row)
    answer = gateway.ask(row.method, f"{path_of(row)}?no_such=1", token=token)
    check_problem(answer, 422, "request.invalid", door=is_door(row))
    for name in row.query_names:
        answer = gateway.ask(row.method, f"{path_of(row)}?{name}=%00", token=token)
        check_problem(answer, 422, "request.invalid")
        answer = gateway.ask(row.method, f"{path_of(row)}?{name}=1&{name}=1", token=token)
        check_problem(answer, 422, "request.invalid")
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", [row for row in ROWS if "limit" in row.query_names], ids=name_of)
@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "ten", "1e3", "", "٥"])
def test_a_limit_outside_its_range_is_named(gateway: Gateway, row: Row, limit: str) -> None:
    from urllib.parse import quote

    answer = gateway.ask("GET", f"{path_of(row)}?limit={quote(limit)}", token=token_of(gateway, row))
    check_problem(answer, 422, "request.invalid")
    assert answer.body["errors"][0]["pointer"] == "?limit"


@pytest.mark.parametrize("row", [row for row in ROWS if row.query_names], ids=name_of)
def test_an_empty_parameter_is_named(gateway: Gateway, row: Row) -> None:
    """Issue 6.5: "empty `?project=` meant all"."""
    for name in row.query_names:
        for query in (f"{name}=", name):
            answer = gateway.ask(row.method, f"{path_of(row)}?{query}", token=token_of(gateway, row))
            check_problem(answer, 422, "request.invalid")
            assert [(item["pointer"], item["code"]) for item in answer.body["errors"]] == [(f"?{name}", "field.empty")]
    assert gateway.rooms.calls == []


def test_every_list_takes_limit_and_cursor_and_answers_items_and_next() -> None:
    """Issue 6.5: lists without pages, pages without lists; api.md: "every list, without exception"."""
    lists = [row for row in ROWS if row.method == "GET" and row.answer and "items" in row.answer().fields]
    assert {row.path for row in lists} == {row.path for row in ROWS if {"limit", "cursor"} & row.query_names}
    for row in lists:
        assert row.answer is not None
        assert {"limit", "cursor"} <= row.query_names, name_of(row)
        fields_of = row.answer().fields
        assert fields_of["items"].required, name_of(row)
        assert fields_of["next"].required, name_of(row)
        assert fields_of["next"].allow_none, name_of(row)
        limit = row.wire_fields["limit"]
        assert (limit.load_default, limit.required) == (50, False)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_dry_run_is_for_the_routes_that_have_it(gateway: Gateway, row: Row) -> None:
    if row.dry_run:
        assert "dry_run" in row.query_names
        answer = gateway.ask(row.method, f"{path_of(row)}?dry_run=maybe", b"", token=token_of(gateway, row))
        assert answer.status in (400, 415, 422)
    else:
        answer = gateway.ask(row.method, f"{path_of(row)}?dry_run=true", token=token_of(gateway, row))
        check_problem(answer, 422, "request.invalid", door=is_door(row))


@pytest.mark.parametrize("row", [row for row in ROWS if row.path_names], ids=name_of)
def test_a_path_that_can_be_no_id_is_not_found(gateway: Gateway, row: Row) -> None:
    gateway.rooms.on(row.service, row.rpc, nothing_there("request.not_found"))
    for value in ("%00", "%ff", "%0d%0aX-Evil:1", "a" * 5000):
        answer = gateway.ask(row.method, path_of(row, value), token=token_of(gateway, row))
        # The room says so, of an id that nobody has (`test_malformed_ids.py`); nothing may break on the way to it.
        assert answer.status in (404, 400, 415, 422), (value, answer)
        assert "x-evil" not in answer.headers


@pytest.mark.parametrize("row", [row for row in ROWS if row.method in ("GET", "DELETE")], ids=name_of)
def test_a_body_where_none_belongs_is_refused(gateway: Gateway, row: Row) -> None:
    answer = gateway.ask(row.method, path_of(row), b"{}", token=token_of(gateway, row))
    check_problem(answer, 422, "request.invalid", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.is_keyed], ids=name_of)
def test_an_idempotency_key_must_be_visible_ascii(gateway: Gateway, row: Row) -> None:
    for key in ("a b", "a" * 201, "é"):
        headers = {"Idempotency-Key": key}
        answer = gateway.ask(row.method, path_of(row), token=token_of(gateway, row), headers=headers)
        check_problem(answer, 422, "request.bad_idempotency_key", door=is_door(row))
    assert gateway.rooms.calls == []


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_method_that_is_not_there_is_told_with_those_that_are(gateway: Gateway, row: Row) -> None:
    answer = gateway.ask("TRACE", path_of(row), token=None)
    check_problem(answer, 405, "request.method_not_allowed", door=row.path.startswith("/device/"))
    assert row.method in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("row", OBJECTS, ids=name_of)
def test_a_foreign_id_is_answered_byte_for_byte_like_an_unknown_one(gateway: Gateway, row: Row) -> None:
    # The room's own code; the row that has none gives the door's.
    told = [code for code in sorted(codes_of(row)) if 404 in statuses_of(code)]
    gateway.rooms.on(row.service, row.rpc, nothing_there(told[0]))
    token = token_of(gateway, row)
    query = "?version=7" if "version" in row.query_names else ""
    answers = [gateway.ask(row.method, path_of(row, new_id()) + query, token=token) for _ in range(2)]
    check_problem(answers[0], 404, door=is_door(row))
    for answer in answers:
        # What differs is ours: the request's id, and the second in which it came.
        answer.content = answer.content.replace(answer.headers.pop("x-request-id").encode(), b"")
        assert answer.headers.pop("date").endswith(" GMT")
    assert answers[0] == answers[1]


def test_every_code_that_a_row_refuses_with_exists() -> None:
    known = all_codes()
    for row in ROWS:
        assert codes_of(row) <= set(known), name_of(row)


def test_every_code_has_a_text_in_both_languages() -> None:
    for language in ("en", "de"):
        named = {code for code in texts(language) if not code.startswith("field.")}
        assert named == set(all_codes()), language
        assert all(entry.get("title") for entry in texts(language).values())
