"""Entity tags over all rows: If-Match is heard by every edit, If-None-Match compares weakly."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import fields

from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from gateway.tests.test_rows import check_problem, name_of, path_of, token_of
from services.chassis.errors import not_found
from services.chassis.fields import Flag, Id
from services.chassis.ids import new_id
from services.licensing.api.catalogue import Version

EDITS = [row for row in ROWS if row.method in ("PATCH", "PUT", "DELETE")]
READS = {row.path: row for row in ROWS if row.method == "GET"}


_SAMPLES: dict[type, Any] = {Flag: True, Version: 7, fields.List: [], Id: new_id()}


def edit(gateway: Gateway, row: Row, path: str, tag: str) -> Any:
    """Send an edit that is right but for its If-Match."""
    headers = {"If-Match": tag}
    body: Any = None
    if row.raw is not None:
        body, headers["Content-Type"] = b"<x/>", row.takes
    elif row.method != "DELETE":
        required = {name for name in row.body_names if row.wire_fields[name].required}
        body = {name: _SAMPLES.get(type(row.wire_fields[name]), "correct horse battery") for name in required}
        body |= {"rma": True} if "rma" in row.body_names else {}
        body |= {"project_id": None} if row.path.endswith("selected-project") else {}
    return gateway.ask(row.method, path, body, token=token_of(gateway, row), headers=headers)


@pytest.mark.parametrize("row", EDITS, ids=name_of)
def test_if_match_is_heard_by_every_edit(gateway: Gateway, row: Row) -> None:
    """Issue 6.5: "`If-Match` was ignored on DELETE"; api.md: stale = 412, the weak form, a list."""
    thing = {"id": new_id(), "version": 3, "items": [], "next": None, "project_id": None, "comment": "a",
        "possession": "proven",
    }  # fmt: skip
    gateway.rooms.on("projects", "get_selected_project", {"project_id": None})
    if (reading := READS.get(row.path)) is not None:
        gateway.rooms.on(reading.service, reading.rpc, thing)
    path = path_of(row, "00-90-33-08-20-20" if "hardware_id" in row.path_names else None)

    def written() -> list[dict[str, Any]]:
        return [arguments for _, arguments in gateway.rooms.named(row.rpc)]

    for wrong in ('"no-tag-of-ours"', "zz", '"3-', 'W/"", x'):
        answer = edit(gateway, row, path, wrong)
        check_problem(answer, 412, "request.stale", door=row.right is Right.DEVICE)
    assert written() == []
    if reading is None:
        return
    tag = gateway.ask("GET", path, token=token_of(gateway, reading)).headers["etag"]
    for right in (tag, f"W/{tag}", f'"old", {tag}', "*"):
        answer = edit(gateway, row, path, right)
        assert answer.status < 300, answer
    if row.version_field is not None:
        assert [arguments.get(row.version_field) for arguments in written()] == [3, 3, 3, None]
        return
    gateway.rooms.calls.clear()
    gateway.rooms.on(reading.service, reading.rpc, {**thing, "version": 4, "project_id": new_id()})
    assert edit(gateway, row, path, tag).status == 412
    assert written() == []


@pytest.mark.parametrize("row", [row for row in EDITS if row.path in READS and row.path_names], ids=name_of)
def test_what_is_not_there_is_not_there_whatever_if_match_says(gateway: Gateway, row: Row) -> None:
    """RFC 9110, 13.2.1: a precondition counts where the answer would be a success without it; it was 412 or 404."""
    for asked in (READS[row.path], row):
        gateway.rooms.on(asked.service, asked.rpc, not_found("request.not_found", "There is nothing here."))
    path = path_of(row, "00-90-33-08-20-20" if "hardware_id" in row.path_names else None)
    for tag in ('"x"', '"3-aaaaaaaaaaaaaaaaaaaaaaaa", "b"', "zz"):
        assert edit(gateway, row, path, tag).status == 404, tag


def test_if_none_match_compares_weakly(gateway: Gateway) -> None:
    """Issue 6.5: a proxy that compresses makes tags weak, and got the whole answer for ever."""
    for path in ("/v1/projects", "/openapi.json", "/docs"):
        tag = gateway.ask("GET", path).headers["etag"]
        for known in (tag, f"W/{tag}", f'"a" , W/{tag},"b"', "*"):
            answer = gateway.ask("GET", path, headers={"If-None-Match": known})
            assert (answer.status, answer.content, answer.headers["etag"]) == (304, b"", tag)
        for other in ('"a"', f"x{tag}", tag.strip('"')[:-1]):
            assert gateway.ask("GET", path, headers={"If-None-Match": other}).status == 200


def test_the_device_door_compares_like_every_other_route(gateway: Gateway) -> None:
    """RFC 9110 13.1.2: `*` names whatever there is; it got the whole file."""
    file = {"state": "file", "etag": '"s-7"', "serial": "s-7", "content_type": "application/xml", "content": "<x/>"}
    gateway.rooms.on("licensing", "fetch_device_file", file)
    path = "/device/v1/00-90-33-08-20-20/license-file"
    for known in ("*", '"s-7"', '"a" , W/"s-7","b"'):
        answer = gateway.ask("GET", path, headers={"If-None-Match": known})
        assert (answer.status, answer.content, answer.headers["etag"]) == (304, b"", '"s-7"')
    for other in ('"a"', "s-7", 'x"s-7"'):
        assert gateway.ask("GET", path, headers={"If-None-Match": other}).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/docs", "/problems/request.stale"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_page_names_the_methods_that_it_takes(gateway: Gateway, method: str, path: str) -> None:
    """RFC 9110 15.5.6: it was 404, as if there were nothing."""
    answer = gateway.ask(method, path, token=None)
    check_problem(answer, 405, "request.method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"
