"""The way of a request through the gateway: row, login, right, version, body, call, answer.

The order is part of the contract: what a caller may not do is refused before their body is looked at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import structlog

from gateway import compose, versions, wording
from gateway.admission import Admission
from gateway.authentication import Authentication, authorize
from gateway.messages import JSON, Request, Response
from gateway.metrics import Metrics
from gateway.problems import german, to_response
from gateway.router import Match, Router, not_allowed
from gateway.row import Answer, Compose, NamedRooms, Right, Rooms, Row
from gateway.validation import arguments_of, command_id_of
from services.chassis.context import Call
from services.chassis.errors import ServiceError, stale
from services.chassis.ids import new_id
from services.chassis.languages import choose_language

log = structlog.get_logger()

DEADLINE_SECONDS: Final = 10.0
Page = Callable[[Request], Response]


class Handler:
    """Answers requests.

    Args:
        router: finds rows.
        rooms: calls the rooms.
        authentication: says who asks.
        pages: addresses that need no room (`/healthz`, `/docs`, …).
        admission: bounds how many requests work and wait.
        metrics: counts.
    """

    def __init__(
        self,
        router: Router,
        rooms: Rooms,
        authentication: Authentication,
        pages: dict[str, Page],
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._router = router
        self._rooms = rooms
        self._authentication = authentication
        self._pages = pages
        self._admission = admission
        self._metrics = metrics

    def __call__(self, request: Request) -> Response:
        """Return the answer to a request; never raises but for the server's own errors."""
        started = time.perf_counter()
        template = "-"
        try:
            page = self._pages.get(request.path)
            if page is not None:
                template = request.path
                if request.method in ("GET", "HEAD"):
                    return page(request)
                raise not_allowed(request.method, ["GET", "HEAD"])
            match = self._router.find(request.method, request.path)
            template = match.row.path
            response = self._respond(match, request)
        except ServiceError as error:
            response = to_response(error, request)
        except Exception:
            log.exception("request_failed", request_id=request.id, method=request.method, route=template)
            response = to_response(ServiceError("internal", "service.internal"), request)
        seconds = time.perf_counter() - started
        self._metrics.count(request.method, template, response.status, seconds)
        _log_answer(request, template, response.status, seconds)
        return response

    def _respond(self, match: Match, request: Request) -> Response:
        row = match.row
        self._authentication.look_at(row, request)
        _take_body(request)
        call = Call(
            request_id=request.id,
            client_request_id=request.client_id,
            deadline=time.time() + DEADLINE_SECONDS,
            language=choose_language(request.headers.get("accept-language", "")),
            command_id=new_id(),
        )
        with self._admission.enter(call):
            identity = self._authentication.identify(row, request, call)
            try:
                authorize(row, identity)
            except ServiceError as refusal:
                if refusal.code == "accounts.company_needed":
                    self._authentication.require_fresh(identity, call)
                raise
            command_id = command_id_of(request.headers) if row.is_keyed else None
            arguments = arguments_of(row, match.values, request)
            # A rehearsal stores nothing, so it must not use up the key of the real thing either.
            if command_id is not None and not arguments.get("dry_run"):
                call = replace(call, command_id=command_id)
            if identity is not None:
                call = replace(call, claims=identity.claims, token=identity.token)
            self._check_version(match, call, arguments, request)
            self._fill_hidden(row, arguments, request)
            answer = self._answer_of(row, call, arguments, request)
            if call.language == "de" and answer.result is not None and answer.content is None:
                answer.result = wording.in_german(answer.result, german)
            if row.revokes:
                self._authentication.learn_revocations(call)
        if row.speaks and answer.content is None:
            answer.headers += [("Content-Language", call.language), ("Vary", "Accept-Language")]
        return _response_of(row, answer, match, request)

    def _answer_of(self, row: Row, call: Call, arguments: dict[str, Any], request: Request) -> Answer:
        rooms = NamedRooms(self._rooms, row.procedures)
        return (row.compose or _default(row))(row, rooms, call, arguments, request)

    @staticmethod
    def _fill_hidden(row: Row, arguments: dict[str, Any], request: Request) -> None:
        if "client_address" in row.wire_fields:
            arguments["client_address"] = request.address[:64]
        if "user_agent" in row.wire_fields:
            arguments["user_agent"] = request.headers.get("user-agent", "")[:300] or None

    def _check_version(self, match: Match, call: Call, arguments: dict[str, Any], request: Request) -> None:
        """Compare If-Match: by the room, in the transaction that writes, where it knows versions; else here.

        Raises:
            request.stale: the object is no longer as the client read it, or it never gave a tag.
        """
        wanted, row = request.headers.get("if-match"), match.row
        if wanted is None or wanted.strip() == "*" or row.method not in ("PATCH", "PUT", "DELETE"):
            return
        tags = versions.tags_in(wanted)
        version = versions.version_of(tags[0]) if len(tags) == 1 else None
        if row.version_field is None or version is None:
            current = self._current_tag(match, call, request)
            # Nothing there: the room says so, or repeats the answer that it gave to the same key before.
            if current is None:
                return
            if not versions.names(tags, current):
                raise versions.refused()
            version = versions.version_of(current.strip('"'))
        if row.version_field is not None:
            arguments[row.version_field] = version

    def _current_tag(self, match: Match, call: Call, request: Request) -> str | None:
        """Return the tag that a GET of the same address gives now, None where there is nothing."""
        try:
            reading = self._router.find("GET", request.path)
            answer = self._answer_of(reading.row, replace(call, command_id=new_id()), dict(reading.values), request)
        except ServiceError as error:
            if error.code == "request.method_not_allowed":
                raise stale(
                    "request.stale", "This address has no ETag to compare If-Match with; leave it out."
                ) from None
            if error.kind == "not_found":
                return None
            raise
        return versions.etag_of(answer.result or {}, _body_of(answer))


def _take_body(request: Request) -> None:
    """Read the body before a place is taken, so that who sends half of one holds up nobody else (rule G9).

    It is only looked at later, after who asks and what they may do.

    Raises:
        request.timeout, request.bad_request: it did not arrive, or not whole.
    """
    if request.headers.get("content-length", "0") == "0":
        return
    try:
        body = request.read_body()
    except ServiceError as error:
        if error.code != "request.too_large":
            raise
        too_large = error

        def refuse() -> bytes:
            raise too_large

        request.read_body = refuse
    else:
        request.read_body = lambda: body


def _log_answer(request: Request, template: str, status: int, seconds: float) -> None:
    """Log writes and refusals, with the template and never the path as sent: ids and secrets may stand in it."""
    if status >= 500:
        level = log.warning
    elif status >= 400 or request.method not in ("GET", "HEAD"):
        level = log.info
    else:
        level = log.debug
    level(
        "answered",
        request_id=request.id,
        method=request.method[:10],
        route=template,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        address=request.address,
        **({"client_request_id": request.client_id} if request.client_id else {}),
    )


def _default(row: Row) -> Compose:
    return compose.rehearsable if row.dry_run else compose.plain


def _response_of(row: Row, answer: Answer, match: Match, request: Request) -> Response:
    headers = answer.headers
    if answer.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    if row.location is not None and answer.status in (200, 201, 202) and answer.result is not None:
        # An order number may hold a slash or a blank.
        values = {name: quote(str(value), safe="") for name, value in {**match.values, **answer.result}.items()}
        headers.append(("Location", row.location.format_map(values)))
    if answer.content is not None:
        return Response(answer.status, answer.content, answer.content_type, headers)
    if answer.status in (204, 304):
        return Response(answer.status, headers=headers)
    result = answer.result if answer.result is not None else {}
    body = _body_of(answer)
    if not row.is_write and row.right is not Right.NONE:
        etag = versions.etag_of(result, body)
        headers.append(("ETag", etag))
        if versions.is_known(request.headers.get("if-none-match", ""), etag):
            return Response(304, headers=headers)
    elif "version" in result or "revision" in result:
        headers.append(("ETag", versions.etag_of(result, body)))
    return Response(answer.status, body, answer.content_type or JSON, headers)


def _body_of(answer: Answer) -> bytes:
    result = answer.result if answer.result is not None else {}
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"), default=str).encode()
