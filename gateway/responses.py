"""The answers of an operation in the OpenAPI document: statuses, media types, headers, and every code it refuses with.

What a procedure of a room raises comes from `procedures.json` (`make reference`); what the door itself refuses is told
here, by what the row takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from gateway.messages import JSON
from gateway.problems import PROBLEM_JSON, STATUS_AT_THE_EDGE, texts
from gateway.row import Right, Row
from services.chassis.errors import STATUS_BY_CODE

_STRING: Final = {"type": "string"}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "XRequestId": {"required": True, "description": "Id of the request, in logs and events too.", "schema": _STRING},
    "ETag": {"description": "Names the answer, for If-None-Match and If-Match.", "schema": _STRING},
    "Location": {"description": "Address of what was made.", "schema": {**_STRING, "format": "uri-reference"}},
    "IdempotentReplayed": {
        "description": "The answer of an earlier request with the same Idempotency-Key.",
        "schema": {**_STRING, "enum": ["true"]},
    },
    "RetryAfter": {"required": True, "description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit": {
        "required": True,
        "description": "Which limit is used up (its code), what is left of it, and in how many seconds there is more.",
        "schema": {
            **_STRING,
            "pattern": '^"[a-z_.]+";r=[0-9]+;t=[0-9]+$',
            "examples": ['"devices.throttled";r=0;t=90'],
        },
    },
    "WWWAuthenticate": {"required": True, "description": "How to log in.", "schema": _STRING},
    "Allow": {"required": True, "description": "The methods of this address.", "schema": _STRING},
    "XErrorCode": {"required": True, "description": "The code, for devices that cannot read JSON.", "schema": _STRING},
    "ContentLanguage": {
        "required": True,
        "description": "Language of the texts.",
        "schema": {**_STRING, "enum": ["en", "de"]},
    },
}
_NAMES: Final = {
    "XRequestId": "X-Request-Id",
    "IdempotentReplayed": "Idempotent-Replayed",
    "RetryAfter": "Retry-After",
    "WWWAuthenticate": "WWW-Authenticate",
    "ContentLanguage": "Content-Language",
    "XErrorCode": "X-Error-Code",
}
_REASONS: Final = {
    304: "What the client has is the newest.", 400: "Malformed.", 401: "No valid login.", 403: "Not allowed.",
    404: "Not there, or another company's.", 405: "Another method's address.", 408: "The request came too slowly.",
    409: "Refused because of what is stored.", 411: "A body without a length.", 412: "Changed since it was read.",
    413: "The body is too large.", 415: "Another media type is expected.", 421: "Another host's name.",
    422: "Wrong by itself.", 429: "Too many attempts.", 431: "The head is too large.", 500: "Failed on our side.",
    503: "Not now, or the outcome is unknown: repeat with the same Idempotency-Key.",
}  # fmt: skip
#: Codes of the door, where the rooms' list of statuses does not have them.
DOOR_STATUSES: Final = {
    "request.not_found": 404, "request.invalid": 422, "request.bad_idempotency_key": 422, "request.stale": 412,
    "idempotency.key_reused": 422, "idempotency.in_progress": 409, "service.internal": 500,
    "service.unavailable": 503, "service.overloaded": 503, "service.starting": 503, "service.deadline_passed": 503,
    "token.missing": 401, "token.invalid": 401, "token.expired": 401, "token.revoked": 401,
    **STATUS_BY_CODE, **STATUS_AT_THE_EDGE,
}  # fmt: skip
_ALWAYS: Final = (
    "request.bad_request", "request.timeout", "request.host_refused", "request.headers_too_large",
    "request.method_not_allowed", "request.invalid", "request.too_large", "request.length_required",
    "service.internal", "service.unavailable", "service.overloaded", "service.starting", "service.deadline_passed",
)  # fmt: skip
_BY_RIGHT: Final[dict[Right, tuple[str, ...]]] = {
    Right.NONE: (),
    Right.LOGIN: (),
    Right.COMPANY: ("accounts.company_needed", "token.outdated"),
    Right.ADMIN: ("accounts.company_needed", "accounts.admin_needed", "token.outdated"),
    Right.STAFF: ("accounts.staff_needed", "accounts.staff_otp_needed"),
    Right.DEVICE: (
        "accounts.login_failed",
        "accounts.otp_needed",
        "accounts.locked",
        "accounts.too_many_attempts",
        "accounts.company_needed",
        "token.outdated",
    ),
}


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads((Path(__file__).parent / "procedures.json").read_text("utf-8"))
    return known


def codes_of(row: Row) -> frozenset[str]:
    """Return every code that an operation can be refused with."""
    codes = {*_ALWAYS, *_BY_RIGHT[row.right]}
    for procedure in row.procedures:
        codes |= set(_known()["procedures"][procedure])
    if row.right is not Right.NONE:
        codes |= {"token.missing", "token.invalid", "token.expired", "token.revoked"}
        codes |= {"accounts.scope_needed", "accounts.token_bound"}
        if not row.enrolment:
            codes |= {"accounts.otp_demanded", "accounts.staff_otp_needed"}
    if row.power is not None:
        codes |= {"access.power_needed"}
    if {"project", "project_id"} & set(row.wire_fields):
        codes |= {"projects.not_found"}
    if row.path_names:
        codes |= {"request.not_found"}
    if row.is_write and row.method != "DELETE":
        codes |= {"request.unsupported_media_type", "request.malformed_json"}
    if row.is_keyed:
        codes |= {"request.bad_idempotency_key", "idempotency.key_reused", "idempotency.in_progress"}
    if row.method in ("PATCH", "PUT", "DELETE"):
        codes |= {"request.stale"}
    return frozenset(codes)


def statuses_of(code: str) -> tuple[int, ...]:
    """Return the statuses that a code is refused with; where the code's place does not tell, the two of a refusal."""
    if code in DOOR_STATUSES:
        return (DOOR_STATUSES[code],)
    return tuple(_known()["statuses"].get(code, (409, 422)))


def responses_of(row: Row) -> dict[str, Any]:
    """Return the `responses` of a row's operation."""
    responses = _successes(row)
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes_of(row)):
        for status in statuses_of(code):
            by_status.setdefault(status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _refusal(row, status, codes)
    return responses


def _names(row: Row) -> list[str]:
    """Return the headers of a success."""
    names = ["XRequestId"]
    if row.speaks:
        names.append("ContentLanguage")
    if row.is_keyed:
        names.append("IdempotentReplayed")
    if row.location is not None or row.status == 202:
        names.append("Location")
    if row.method == "GET" and row.right is not Right.NONE and (row.gives == (JSON,) or row.right is Right.DEVICE):
        names.append("ETag")
    if row.is_write and row.answer is not None and {"version", "revision"} & set(row.answer().fields):
        names.append("ETag")
    return names


def _successes(row: Row) -> dict[str, Any]:
    names = _names(row)
    success: dict[str, Any] = {"description": row.summary, "headers": _headers(names)}
    if row.status != 204:
        schema: Any = {"type": "string"} if row.answer is None else row.answer
        success["content"] = {media_type: {"schema": schema} for media_type in row.gives}
    responses: dict[str, Any] = {str(row.status): success}
    if row.dry_run and row.status != 200:
        responses["200"] = {**success, "description": "What would happen; nothing was changed."}
        if row.rehearsal is not None:
            responses["200"]["content"] = {JSON: {"schema": row.rehearsal}}
    if row.location is not None and row.answer is None:
        responses["200"] = {**success, "description": "Nothing had changed: the same bytes as before."}
    if row.right is Right.DEVICE and row.method == "GET":
        responses["204"] = {"description": "There is nothing for the device.", "headers": _headers(["XRequestId"])}
    if "ETag" in names and not row.is_write:
        responses["304"] = {"description": _REASONS[304], "headers": _headers(["XRequestId", "ETag"])}
    return responses


def _refusal(row: Row, status: int, codes: list[str]) -> dict[str, Any]:
    names = ["XRequestId", "ContentLanguage"]
    if status in (429, 503):
        names.append("RetryAfter")
    if status == 429:
        names.append("RateLimit")
    if status == 401:
        names.append("WWWAuthenticate")
    if status == 405:
        names.append("Allow")
    if row.is_keyed and status in (403, 404, 409, 412, 422):
        names.append("IdempotentReplayed")
    if row.right is Right.DEVICE:
        names.append("XErrorCode")
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"code": {"enum": codes}, "status": {"const": status}},
    }
    content: dict[str, Any] = {
        PROBLEM_JSON: {"schema": schema, "examples": {codes[0]: {"value": _example(status, codes[0])}}}
    }
    if row.right is Right.DEVICE:
        content["text/plain"] = {"schema": {"type": "string"}}
    return {"description": _REASONS[status], "headers": _headers(names), "content": content}


def _example(status: int, code: str) -> dict[str, Any]:
    entry = texts("en").get(code, {})
    title = entry.get("title", code)
    return {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": code,
        "instance": "01a20bb3-db07-7506-9682-6d4ec3e2575e",
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {_NAMES.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}
