"""What travels with every call: the signed token, the request id, the deadline and the command id.

Only the verified claims say who asks; every other field is what the caller says (rule S5).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.chassis.ids import new_id

DEFAULT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way through the services.

    Args:
        claims: verified claims of the access token, empty for public calls.
        token: the signed access token, passed on unchanged; empty for public calls.
        request_id: made at the edge, the same in all logs and events of one request.
        deadline: unix time in seconds after which nobody waits for the answer.
        command_id: idempotency key, made once at the edge; steps derive their own (rule R2).
        language: `en` or `de`, for texts that are stored or sent.
        client_request_id: what the client calls the request, for the logs only; empty when it calls it nothing.
    """

    claims: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""
    request_id: str = field(default_factory=new_id)
    deadline: float = field(default_factory=lambda: time.time() + DEFAULT_SECONDS)
    command_id: str = field(default_factory=new_id)
    language: str = "en"
    client_request_id: str = ""

    def remaining(self) -> float:
        """Return the seconds left until the deadline, negative once it has passed."""
        return self.deadline - time.time()

    def derive(self, step: str) -> Call:
        """Return the same call with a command id of its own for one step of the work (rule R2)."""
        return replace(self, command_id=f"{self.command_id}:{step}")
