"""The way of a request through the gateway: row, login, right, version, body, call, answer.

The order is part of the contract: what a caller may not do is refused before their body is looked at.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import structlog

from gateway import compose
from gateway.admission import Admission
from gateway.authentication import Authentication, authorize
from gateway.messages import JSON, Request, Response
from gateway.metrics import Metrics
from gateway.problems import choose_language, to_response
from gateway.router import Match, Router
from gateway.row import Answer, Compose, Right, Rooms, Row
from gateway.validation import arguments_of, command_id_of
from services.chassis.context import Call
from services.chassis.errors import ServiceError, stale
from services.chassis.ids import new_id

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
            if page is not None and request.method in ("GET", "HEAD"):
                template = request.path
                return page(request)
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
        call = Call(
            request_id=request.id,
            deadline=time.time() + DEADLINE_SECONDS,
            language=choose_language(request.headers.get("accept-language", "")),
            command_id=new_id(),
        )
        with self._admission.enter(call):
            identity = self._authentication.identify(row, request, call)
            authorize(row, identity)
            command_id = command_id_of(request.headers) if row.is_keyed else None
            arguments = arguments_of(row, match.values, request)
            # A rehearsal stores nothing, so it must not use up the key of the real thing either.
            if command_id is not None and not arguments.get("dry_run"):
                call = replace(call, command_id=command_id)
            if identity is not None:
                call = replace(call, claims=identity.claims, token=identity.token)
            self._check_version(row, call, arguments, request)
            self._fill_hidden(row, arguments, request)
            answer = (row.compose or _default(row))(row, self._rooms, call, arguments, request)
            if row.revokes:
                self._authentication.learn_revocations(call)
        return _response_of(row, answer, match, request)

    @staticmethod
    def _fill_hidden(row: Row, arguments: dict[str, Any], request: Request) -> None:
        if "client_address" in row.wire_fields:
            arguments["client_address"] = request.address[:64]
        if "user_agent" in row.wire_fields:
            arguments["user_agent"] = request.headers.get("user-agent", "")[:300] or None

    def _check_version(self, row: Row, call: Call, arguments: dict[str, Any], request: Request) -> None:
        """Hand the version in If-Match to the room, which compares it in the transaction that writes."""
        wanted = request.headers.get("if-match")
        if wanted is None or wanted.strip() == "*" or row.version_field is None:
            return
        version = wanted.strip().strip('"').partition("-")[0]
        if not version.isascii() or not version.isdigit() or len(version) > 9:
            raise stale("request.stale", "If-Match is not a version that this address gave; read it again.")
        arguments[row.version_field] = int(version)


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
    body = json.dumps(result, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    if not row.is_write and row.right is not Right.NONE:
        etag = _etag(result, body)
        headers.append(("ETag", etag))
        if etag in [part.strip() for part in request.headers.get("if-none-match", "").split(",")]:
            return Response(304, headers=headers)
    elif "version" in result or "revision" in result:
        headers.append(("ETag", _etag(result, body)))
    return Response(answer.status, body, answer.content_type or JSON, headers)


def _etag(result: dict[str, Any], body: bytes) -> str:
    """Return a digest of the answer, after the version that a room gives its object.

    The version is what comes back as If-Match. It is not enough to tell whether a client has the newest: what the
    caller may do with the object, or the state of something that belongs to it, changes without it.
    """
    digest = hashlib.blake2b(body, digest_size=12).hexdigest()
    version = result.get("version", result.get("revision"))
    return f'"{version}-{digest}"' if isinstance(version, int) else f'"{digest}"'
