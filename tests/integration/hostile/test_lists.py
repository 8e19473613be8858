"""Every list, by pages: none is longer than asked for, together they are the whole, only its own cursors are taken.

Issue 6.5: "bad cursors had five answers, one of them 200; empty `?project=` meant all; a page of 2 had 18 items; 200
tokens were listed and the rest forgotten".
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.http_client import Answer
from tests.integration.tenancy.asking import filled
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.cases import CASES, Case, Of
from tests.integration.tenancy.declared import Right
from tests.integration.tenancy.world import World

LISTS = [case for case in CASES if case.row.method == "GET" and "limit" in case.row.query_names]
_TRIED = frozenset({"limit", "cursor"})


@pytest.fixture(scope="session", autouse=True)
def filled_lists(world: World) -> None:
    """Three more of what the world has one of, so that pages of two end in the middle."""
    for _ in range(3):
        world.owner.post("/v1/company/users", {"email": f"{uuid.uuid4()}@hostile.example"}).expect(201)
        world.owner.post("/v1/projects", {"name": f"List {uuid.uuid4()}"}).expect(201)
        world.login("owner")


def reader(case: Case, callers: dict[str, Caller]) -> Caller:
    return callers["staff" if case.row.right is Right.STAFF or case.of is Of.STAFF else "own admin"]


def page(case: Case, caller: Caller, world: World, **more: Any) -> Answer:
    path, query, _, _ = filled(case, world, {})
    return caller.send("GET", path, query={**{k: v for k, v in (query or {}).items() if k not in _TRIED}, **more})


def walk(case: Case, caller: Caller, world: World, limit: int) -> list[Any]:
    seen: list[Any] = []
    cursor: dict[str, str] = {}
    # A history grows while it is read, at its beginning, and a catalogue is long: the first pages show the same.
    for _ in range(60):
        body = page(case, caller, world, limit=limit, **cursor).expect(200)
        assert len(body["items"]) <= limit, f"{case}: a page of {limit} has {len(body['items'])} items"
        seen += body["items"]
        if body["next"] is None:
            break
        assert len(body["items"]) == limit, f"{case}: a short page that is not the last"
        cursor = {"cursor": body["next"]}
    return seen


@pytest.mark.parametrize("case", LISTS, ids=str)
def test_pages_are_never_longer_than_asked_for_and_together_they_are_the_whole(
    case: Case, world: World, callers: dict[str, Caller]
) -> None:
    caller = reader(case, callers)
    whole = walk(case, caller, world, 200)
    for limit in (1, 2, 7):
        pages = walk(case, caller, world, limit)
        if case.row.path == "/v1/history":
            whole = walk(case, caller, world, 200)
            pages = [item for item in pages if item in whole]
            assert pages == whole[whole.index(pages[0]) :][: len(pages)]
        else:
            assert pages == whole[: len(pages)]
            assert len(pages) == min(len(whole), 60 * limit)


def not_given(given: str | None) -> Iterator[str]:
    yield from ("x", "0", "null", "é", "MjAyNi0xMS0yNA==", "W10=", "a" * 512, str(uuid.uuid4()))
    yield base64.urlsafe_b64encode(b'["x",1]').decode()
    if given is not None:
        yield given[:-2] + ("AA" if given[-2:] != "AA" else "BB")
        yield given + "AAAA"
        yield given.swapcase()


@pytest.mark.parametrize("case", LISTS, ids=str)
def test_a_cursor_that_this_list_did_not_give_is_refused_the_same_way_everywhere(
    case: Case, world: World, callers: dict[str, Caller]
) -> None:
    caller = reader(case, callers)
    given = page(case, caller, world, limit=1).expect(200)["next"]
    wrong = list(not_given(given))
    for other in LISTS:
        if other.route != case.route:
            wrong += filter(None, [page(other, reader(other, callers), world, limit=1).expect(200)["next"]])
    for cursor in wrong:
        problem = page(case, caller, world, limit=2, cursor=cursor).refused(422, "request.invalid")
        assert [(item["pointer"], item["code"]) for item in problem["errors"]] == [("?cursor", "field.cursor")], cursor


def test_a_cursor_is_bound_to_its_filter_and_to_whose_list_it_is(world: World, callers: dict[str, Caller]) -> None:
    admin = callers["own admin"]
    cursor = admin.send("GET", "/v1/devices", query={"limit": 1}).expect(200)["next"]
    admin.send("GET", "/v1/devices", query={"cursor": cursor, "limit": 2}).expect(200)
    for more in ({"project": world.things["project"]}, {"filter": "remark"}, {"sort": "-added_at"}, {"type": "IP6000"}):
        admin.send("GET", "/v1/devices", query={"cursor": cursor, **more}).refused(422, "request.invalid")
    callers["guest"].send("GET", "/v1/devices", query={"cursor": cursor}).refused(422, "request.invalid")
    callers["own member"].send("GET", "/v1/devices", query={"cursor": cursor}).expect(200)
