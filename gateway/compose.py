"""Answers that one row cannot give: those of several rooms, and those that are not plain JSON.

A function here calls rooms and puts answers together; it decides nothing about the business. What it calls besides the
row's own procedure stands in `calls`: it can call nothing else, and the codes of all are those of the row.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gateway import versions
from gateway.messages import Request
from gateway.row import Answer, Compose, Rooms, Row
from services.accounts.api import MERGING_ROOMS
from services.chassis.context import Call
from services.devices.api import ERRORS, POSSESSION_NEEDED, PROVEN

_EXPORT_PAGES: Final = 25


def calls(*procedures: str) -> Callable[[Compose], Compose]:
    """Name what a function calls besides the procedure of its row.

    Args:
        procedures: each as `room.procedure`.
    """

    def name(compose: Compose) -> Compose:
        compose.procedures = procedures  # type: ignore[attr-defined]
        return compose

    return name


def plain(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Pass a request through to its room: the way of every row without a function of its own."""
    reply = rooms.call(row.service, row.rpc, call, arguments)
    return Answer(row.status, reply.result, replayed=reply.replayed)


def rehearsable(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Pass a request through; a rehearsal answers 200, because nothing was made."""
    answer = plain(row, rooms, call, arguments, request)
    if arguments.get("dry_run"):
        answer.status = 200
    return answer


def document(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer with the body that a room made: a license file, a certificate chain, a revocation list."""
    answer = plain(row, rooms, call, arguments, request)
    result = answer.result or {}
    answer.content_type = str(result["content_type"])
    if "content_base64" in result:
        answer.content = base64.b64decode(result["content_base64"])
    else:
        answer.content = str(result["content"]).encode()
    if result.get("created") is False:
        answer.status = 200
    if filename := result.get("filename"):
        answer.headers.append(("Content-Disposition", f'attachment; filename="{_safe(filename)}"'))
    for name, header in (("serial", "X-Serial"), ("hardware_id", "X-Hardware-Id"), ("form", "X-License-File-Form")):
        if value := result.get(name):
            answer.headers.append((header, _safe(value)))
    return answer


def public_document(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer with a public body that caches may keep for five minutes."""
    answer = document(row, rooms, call, arguments, request)
    answer.headers.append(("Cache-Control", "public, max-age=300"))
    return answer


def public_keys(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer with a JWK set that caches may keep for five minutes."""
    answer = plain(row, rooms, call, arguments, request)
    answer.content_type = "application/jwk-set+json"
    answer.headers.append(("Cache-Control", "public, max-age=300"))
    return answer


def device_file(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Give a device its file: 200 with ETag, 304 when it has it, 204 when there is none for it."""
    etag = request.headers.get("if-none-match")
    reply = rooms.call(row.service, row.rpc, call, arguments | ({"etag": etag[:200]} if etag else {}))
    result = reply.result
    headers = [("ETag", _quoted(result["etag"]))] if result.get("etag") else []
    headers.append(("Cache-Control", "private, no-cache"))
    if result["state"] == "nothing":
        return Answer(204, headers=headers)
    # The room compares single tags; `*` names every one.
    if result["state"] == "current" or (headers[0][0] == "ETag" and versions.is_known(etag or "", headers[0][1])):
        return Answer(304, headers=headers)
    if serial := result.get("serial"):
        headers.append(("X-Serial", _safe(serial)))
    content = str(result["content"]).encode()
    return Answer(200, content=content, content_type=str(result["content_type"]), headers=headers)


@calls("accounts.renew_token", "projects.ensure_default")
def create_company(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Create a company and its project DEFAULT, which is there when the answer arrives.

    The token of the caller knows nothing of the new company yet, so accounts is asked for one that does. All steps
    are idempotent by commands derived from the client's: a repetition after a failure in between finishes the work.
    """
    reply = rooms.call("accounts", "create_company", call, arguments)
    token = rooms.call("accounts", "renew_token", call, {"company_id": reply.result["id"]}).result["access_token"]
    rooms.call("projects", "ensure_default", replace(call.derive("project"), token=str(token)), {})
    return Answer(row.status, reply.result, replayed=reply.replayed)


@calls("projects.get_project")
def create_api_token(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Make an API token; one that is bound to a project only where its owner sees that project (ACC-11).

    Raises: projects.not_found, for a project of others as for one that does not exist.
    """
    if arguments.get("project_id") is not None:
        rooms.call("projects", "get_project", call.derive("project"), {"project_id": arguments["project_id"]})
    return plain(row, rooms, call, arguments, request)


@calls("licensing.get_possession")
def device(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Show a device; what a claim may not do yet, licensing tells, which knows who paid for what is on it (DEV-15)."""
    answer = plain(row, rooms, call, arguments, request)
    shown = answer.result or {}
    if shown["possession"] == PROVEN:
        return answer
    told = rooms.call("licensing", "get_possession", call, {"device_id": shown["id"]}).result
    needed = {
        "allowed": False,
        "reason": POSSESSION_NEEDED,
        "detail": ERRORS[POSSESSION_NEEDED],
        "ways": told["ways"],
    }
    answer.result = {
        **shown,
        "actions": [
            {**action, **needed} if action["allowed"] and action["name"] in told["limited"] else action
            for action in shown["actions"]
        ],
    }
    return answer


@calls("devices.archive_project")
def update_project(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Change a project; devices archives it, because only an archive without devices is one (PRJ-4)."""
    room, rpc = ("devices", "archive_project") if arguments.get("archived") is True else (row.service, row.rpc)
    reply = rooms.call(room, rpc, call, arguments)
    return Answer(row.status, reply.result, replayed=reply.replayed)


@calls("projects.get_selected_project")
def me(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Show the caller's account, with the project chosen for all pages (PRJ-2)."""
    answer = plain(row, rooms, call, arguments, request)
    selected = rooms.call("projects", "get_selected_project", call, {}).result["project_id"]
    answer.result = {**(answer.result or {}), "selected_project_id": selected}
    return answer


@calls(*(f"{room}.rehearse_merge" for room in MERGING_ROOMS))
def import_company(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Import another company: 202 with its job; a rehearsal puts together what each room would move.

    The rooms are asked with a token that accounts made for this alone; it names both companies and is given to nobody.
    """
    reply = rooms.call("accounts", "import_company", call, arguments)
    if not arguments.get("dry_run"):
        headers = [("Location", f"/v1/jobs/{reply.result['id']}")]
        return Answer(row.status, reply.result, headers=headers, replayed=reply.replayed)
    preview = {name: value for name, value in reply.result.items() if name != "token"}
    asked = Call(
        token=str(reply.result["token"]), request_id=call.request_id, deadline=call.deadline, language=call.language
    )
    for room in MERGING_ROOMS:
        preview |= rooms.call(room, "rehearse_merge", asked, {}).result
    return Answer(200, preview)


@calls("accounts.get_names")
def history(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer history lines with the names of the persons, looked up now (mission HIS-2)."""
    return _named(plain(row, rooms, call, arguments, request), "actor", rooms, call)


@calls("history.list_history")
def export(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer everything that is held of the caller as a file: what accounts says, and the caller's history lines."""
    answer = plain(row, rooms, call, arguments, request)
    lines: list[dict[str, Any]] = []
    cursor = None
    for _ in range(_EXPORT_PAGES):
        asked = {"context": "user", "limit": 200, "cursor": cursor}
        page = rooms.call("history", "list_history", call, asked).result
        lines += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    # Who else acted is told by id: names of others are not the caller's data.
    history = [{**line, "actor": (line["actor"] or {}).get("id")} for line in lines]
    answer.result = {**(answer.result or {}), "history": history, "history_complete": cursor is None}
    answer.headers.append(("Content-Disposition", 'attachment; filename="tessera-export.json"'))
    return answer


@calls("accounts.get_names")
def activations(row: Row, rooms: Rooms, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
    """Answer added keys with the names of those who added them, looked up now."""
    return _named(plain(row, rooms, call, arguments, request), "added_by", rooms, call)


def _named(answer: Answer, field: str, rooms: Rooms, call: Call) -> Answer:
    """Put the names of the persons in `field` of each item into the answer."""
    persons = [item[field] for item in (answer.result or {})["items"] if item.get(field)]
    if persons:
        ids = sorted({person["id"] for person in persons})
        names = rooms.call("accounts", "get_names", call, {"user_ids": ids, "company_ids": []}).result["users"]
        for person in persons:
            person["name"] = names.get(person["id"])
    return answer


def _safe(value: Any) -> str:
    # Header values: what a room answers is ours, but a line break in it must never make a second header.
    return "".join(character for character in str(value) if " " <= character <= "~" and character not in '"\\')[:200]


def _quoted(etag: str) -> str:
    return etag if etag.startswith(('"', 'W/"')) else f'"{_safe(etag)}"'
