"""The only translator from errors to answers: problem documents (RFC 9457) in the client's language.

Kind and code decide the status, the code decides the text. Exception texts never get here: what is no ServiceError
becomes `service.internal` with a fixed text.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from gateway import wording
from gateway.messages import Request, Response
from gateway.sentences import german_of
from services.chassis.errors import ServiceError, unavailable
from services.chassis.ids import new_id
from services.chassis.languages import choose_language

PROBLEM_JSON: Final = "application/problem+json"
TEXTS: Final = Path(__file__).parent / "texts"

# Statuses that only the edge gives; the kinds of the rooms know nothing of HTTP's own troubles.
STATUS_AT_THE_EDGE: Final[dict[str, int]] = {
    "request.timeout": 408,
    "request.host_refused": 421,
    "request.headers_too_large": 431,
}

ERRORS: Final[dict[str, str]] = {
    "request.timeout": "The request did not arrive in time; send it again, whole and without a pause.",
    "request.host_refused": "This server does not answer for the name in Host; check the address.",
    "request.headers_too_large": "The request's head is larger than 16 KiB; send fewer or shorter headers.",
    "request.bad_idempotency_key": "The Idempotency-Key must have 1 to 200 visible ASCII characters.",
    "service.overloaded": "There are too many requests at once; try again in a moment.",
    "service.starting": "The service is starting; try again in a moment.",
    "token.outdated": "The access token was made before the user belonged to a company; refresh the session, then "
    "repeat the request.",
    "token.revoked": "The session was ended or the account was locked; log in again.",
}

BEARER: Final = 'Bearer realm="tessera"'
BASIC: Final = 'Basic realm="tessera", charset="UTF-8"'


@cache
def texts(language: str) -> dict[str, dict[str, str]]:
    """Return the texts of one language: code -> title and detail."""
    loaded: dict[str, dict[str, str]] = json.loads((TEXTS / f"{language}.json").read_text("utf-8"))
    return loaded


def status_of(error: ServiceError) -> int:
    """Return the HTTP status of an error."""
    return STATUS_AT_THE_EDGE.get(error.code, error.status)


def document(error: ServiceError, language: str, request_id: str) -> dict[str, Any]:
    """Return the problem document of an error.

    Args:
        error: what went wrong.
        language: `en` or `de`.
        request_id: becomes `instance`.
    """
    extra = error.extra
    problem = {
        "type": f"/problems/{error.code}",
        "title": texts(language).get(error.code, {}).get("title") or error.code,
        "status": status_of(error),
        "detail": _detail(error, language),
        "code": error.code,
        "instance": request_id,
    }
    for name, value in extra.items():
        problem.setdefault(name, wording.in_german(value, german) if language == "de" and name != "errors" else value)
    given = problem.get("errors")
    errors = [_translated(item, language) for item in given] if isinstance(given, list) else []
    if errors:
        problem["errors"] = errors
    if language == "de" and error.code == "request.invalid":
        problem["detail"] = wording.of_invalid(error.detail, errors) or problem["detail"]
    return problem


def _detail(error: ServiceError, language: str) -> str:
    # The sentence of the place that refuses names field and value, so it is better than the general one of the code.
    if language == "en" and error.detail:
        return error.detail
    return german(error.code, error.detail) if language == "de" else error.code


def german(code: str, english: str) -> str:
    """Return a sentence in German with its facts, where it is not known what the code says in general.

    Args:
        code: of the refusal, the line or the action.
        english: the sentence as the room said it; empty where it said none.
    """
    general = texts("de").get(code, {}).get("detail")
    return german_of(english) or general or english or code


def _translated(item: Any, language: str) -> Any:
    """Return one entry of `errors` with its text in the client's language, where there is one."""
    if language == "en" or not isinstance(item, dict):
        return item
    said = str(item.get("detail"))
    return {**item, "detail": wording.of_field(said) or german(str(item.get("code")), said)}


def to_response(error: ServiceError, request: Request | None) -> Response:
    """Return the answer for an error, in the form that the asking side can read."""
    headers = request.headers if request is not None else {}
    language = choose_language(headers.get("accept-language", ""))
    # Of a request that cannot be read there is none, and whoever asks for help needs an id all the same.
    request_id = request.id if request is not None else new_id()
    if error.code == "service.unavailable" and request is not None and request.method in ("GET", "HEAD"):
        # A read has no outcome that could be unknown, and needs no Idempotency-Key.
        again = int(error.extra.get("retry_after", 1))
        error = unavailable(error.code, "This is temporarily unavailable; repeat it in a moment.", retry_after=again)
    problem = document(error, language, request_id)
    own = _headers(error, problem, request, language)
    response = Response.of_json(int(problem["status"]), problem, own, PROBLEM_JSON)
    if request is None:
        response.headers.append(("X-Request-Id", request_id))
    elif request.is_device_door:
        # Devices that cannot read JSON get the same in a header and one line of text.
        response.headers.append(("X-Error-Code", error.code))
        if "json" not in headers.get("accept", ""):
            response.content_type = "text/plain; charset=utf-8"
            response.body = f"{' '.join(str(problem['detail']).split())}\n".encode()
    return response


def _headers(
    error: ServiceError, problem: dict[str, Any], request: Request | None, language: str
) -> list[tuple[str, str]]:
    door = request is not None and request.is_device_door
    headers = [("Content-Language", language), ("Vary", "Accept, Accept-Language" if door else "Accept-Language")]
    status = problem["status"]
    if status == 401:
        hint = "" if error.code == "token.missing" else ', error="invalid_token"'
        headers.append(("WWW-Authenticate", BASIC if door else BEARER + hint))
    if status == 405 and isinstance(allow := problem.pop("allow", None), list):
        headers.append(("Allow", ", ".join(allow)))
    if error.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    if status in (429, 503) or "retry_after" in problem:
        wait = max(1, int(problem.get("retry_after", 1)))
        headers.append(("Retry-After", str(wait)))
        if status == 429:
            # The draft of the IETF: nothing is left of this limit for so many seconds.
            headers.append(("RateLimit", f'"{error.code}";r=0;t={wait}'))
    return headers
