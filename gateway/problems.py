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
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id

PROBLEM_JSON: Final = "application/problem+json"
LANGUAGES: Final = ("en", "de")
TEXTS: Final = Path(__file__).parent / "texts"

# Statuses that only the edge gives; the kinds of the rooms know nothing of HTTP's own troubles.
STATUS_AT_THE_EDGE: Final[dict[str, int]] = {
    "request.timeout": 408,
    "request.host_refused": 421,
    "request.headers_too_large": 431,
}

ERRORS: Final[dict[str, str]] = {
    "request.timeout": "The request did not arrive in time; send it again at once and whole.",
    "request.host_refused": "This server does not answer for the name in Host; check the address.",
    "request.headers_too_large": "The request's head is larger than 16 KiB; send fewer or shorter headers.",
    "request.bad_idempotency_key": "The Idempotency-Key must have 1 to 200 visible ASCII characters.",
    "service.overloaded": "Too much is asked at once; try again in a moment.",
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


def choose_language(accept: str) -> str:
    """Return the best of our languages for an Accept-Language header, English when none fits."""
    best, best_weight = LANGUAGES[0], 0.0
    for part in accept.split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        weight = _weight(parameter)
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


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
        problem.setdefault(name, value)
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
    headers = [("Content-Language", language)]
    status = problem["status"]
    if status == 401:
        door = request is not None and request.is_device_door
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
