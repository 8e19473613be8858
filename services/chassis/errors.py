"""The one error that crosses rooms: a closed kind, an open dotted code, a text, and extras.

Kinds drive the HTTP status and whether a retry makes sense; codes drive texts and never change their meaning.
No room defines an exception class of its own for the wire: nameko keeps positional strings only.
"""

from __future__ import annotations

import json
from typing import Any, Final

STATUS_BY_KIND: Final[dict[str, int]] = {
    "invalid": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "stale": 412,
    "limited": 429,
    "internal": 500,
    "unavailable": 503,
}

STATUS_BY_CODE: Final[dict[str, int]] = {
    "request.malformed_json": 400,
    "request.bad_request": 400,
    "request.length_required": 411,
    "request.too_large": 413,
    "request.too_much_at_once": 413,
    "request.answer_too_large": 413,
    "request.unsupported_media_type": 415,
    "request.method_not_allowed": 405,
}

ERRORS: Final[dict[str, str]] = {
    "request.invalid": "A field of the request is wrong; `errors` names each one and what is expected.",
    "request.malformed_json": "The body is not JSON; send one JSON object in UTF-8.",
    "request.bad_request": "The request cannot be read as HTTP; correct it and send it again.",
    "request.length_required": "Chunked bodies are not accepted; send the body with a Content-Length.",
    "request.too_large": "The body is larger than 1 MiB; send less at once.",
    "request.too_much_at_once": "This is too much for one step; send less at once.",
    "request.answer_too_large": "The answer is larger than one message may be; ask for less at once (`limit`).",
    "request.unsupported_media_type": "The body's media type is not one that this address accepts; send the one that "
    "`accepted` names.",
    "request.method_not_allowed": "This address does not know this method; `Allow` names those it knows.",
    "request.not_found": "There is nothing at this address.",
    "request.stale": "The object has changed since it was read; read it again and repeat the change.",
    "access.power_needed": "Your rights in this project do not include this; ask a user of the company it belongs to. "
    "`power` names what is missing.",
    "idempotency.key_reused": "The Idempotency-Key was used for another request; use a new key.",
    "idempotency.in_progress": "The first request with this Idempotency-Key is still running; ask again in a moment.",
    "service.unavailable": "The outcome is not known; repeat the request with the same Idempotency-Key.",
    "service.deadline_passed": "The request came too late to be processed and changed nothing; repeat it.",
    "service.internal": "Something failed on our side; the request id helps us find it.",
    "service.caller_refused": "Only certain services of the installation may call this.",
    "token.missing": "A login is needed; send an access token.",
    "token.invalid": "The token is unknown, expired or was withdrawn; log in again, or create a new API token.",
    "token.expired": "The access token has expired; refresh the session.",
}

# Says nothing about the request: its first run has not ended (rule L21).
_UNSTORED_CODES: Final = frozenset({"idempotency.in_progress"})
_UNSTORED_KINDS: Final = frozenset({"internal", "unavailable", "limited", "unauthenticated"})


class ServiceError(Exception):
    """A refusal or failure with the four strings that cross the wire.

    Args:
        kind: one of the keys of `STATUS_BY_KIND`.
        code: dotted, append-only identifier such as `licensing.key_used`.
        detail: one English sentence for a person: what is wrong and what to do.
        extra_json: JSON object with further members of the answer.

    `replayed` is set where the refusal is the stored one of an earlier call with the same command id; `settled`, in the
    process that decided it, where it is stored, now or before.
    """

    replayed = False
    settled = False

    def __init__(self, kind: str, code: str, detail: str = "", extra_json: str = "{}") -> None:
        super().__init__(kind, code, detail, extra_json)
        self.kind = kind
        self.code = code
        self.detail = detail
        self.extra_json = extra_json

    @property
    def extra(self) -> dict[str, Any]:
        """Return the further members of the answer as a fresh dictionary."""
        value = json.loads(self.extra_json)
        return value if isinstance(value, dict) else {}

    @property
    def status(self) -> int:
        """Return the HTTP status: the code's own where it has one, else the kind's."""
        return STATUS_BY_CODE.get(self.code, STATUS_BY_KIND.get(self.kind, 500))

    @property
    def is_final(self) -> bool:
        """Tell whether a repetition with the same command id must get this refusal again (rule L5)."""
        return self.kind not in _UNSTORED_KINDS and self.code not in _UNSTORED_CODES

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


def _error(kind: str, code: str, detail: str, extra: dict[str, Any]) -> ServiceError:
    return ServiceError(kind, code, detail, json.dumps(extra, separators=(",", ":"), default=str))


def invalid(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for a request that is wrong by itself."""
    return _error("invalid", code, detail, extra)


def unauthenticated(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for a call without a valid login."""
    return _error("unauthenticated", code, detail, extra)


def forbidden(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for a caller who lacks a right on something of their own."""
    return _error("forbidden", code, detail, extra)


def not_found(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for an object that does not exist for this caller."""
    return _error("not_found", code, detail, extra)


def conflict(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for a request that is refused because of what is stored."""
    return _error("conflict", code, detail, extra)


def stale(code: str, detail: str, **extra: Any) -> ServiceError:
    """Make the error for an edit of a version that is no longer the current one."""
    return _error("stale", code, detail, extra)


def limited(code: str, detail: str, *, retry_after: int, **extra: Any) -> ServiceError:
    """Make the error for too many attempts; `retry_after` is in seconds."""
    return _error("limited", code, detail, {**extra, "retry_after": retry_after})


def internal(code: str = "service.internal", detail: str = "") -> ServiceError:
    """Make the error for an unexpected failure; its text never tells the cause."""
    return _error("internal", code, detail or ERRORS["service.internal"], {})


def unavailable(code: str = "service.unavailable", detail: str = "", *, retry_after: int = 1) -> ServiceError:
    """Make the error for an unknown outcome or an absent part; `retry_after` is in seconds."""
    return _error("unavailable", code, detail or ERRORS["service.unavailable"], {"retry_after": retry_after})
