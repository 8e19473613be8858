"""What comes back from a call: the answer, or the refusal with its four strings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import ServiceError, internal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and whether it is the stored one of an earlier call with the same command id."""

    result: dict[str, Any]
    replayed: bool


def open_reply(body: dict[str, Any], name: str) -> Reply:
    """Return what a service answered.

    Args:
        body: of the message.
        name: of service and method, for the log.

    Raises:
        ServiceError: the service refused, or answered with an error that is none of ours.
    """
    error = body.get("error")
    if error:
        arguments = error.get("exc_args") if isinstance(error, dict) else None
        if isinstance(arguments, list) and len(arguments) == 4 and all(isinstance(a, str) for a in arguments):
            refusal = ServiceError(*arguments)
            refusal.replayed = bool(body.get("replayed"))
            raise refusal
        _log.error("%s answered with an error that is none of ours: %.200r", name, error)
        raise internal()
    result = body.get("result")
    return Reply(result if isinstance(result, dict) else {"value": result}, bool(body.get("replayed")))
