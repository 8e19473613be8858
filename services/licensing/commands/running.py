"""How commands run: once per command id, or as a rehearsal that is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError

Command = Callable[..., dict[str, Any]]
Work = Callable[[Unit], dict[str, Any]]


class _Rehearsed(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def run(
    database: Database,
    call: Call,
    name: str,
    request: Mapping[str, Any],
    work: Work,
    *,
    sealed: bool = False,
) -> dict[str, Any]:
    """Run a command, or only rehearse it when the request says `dry_run`.

    A rehearsal does the very same work and throws it away, so it refuses what the real thing would refuse.
    """
    if request.get("dry_run"):
        return rehearse(database, call, work)
    answer = database.command(call, name, request, work, sealed=sealed)
    return answer or {}


def repeatable(command: Command) -> Command:
    """Let a repetition get its first answer though what other rooms tell has changed since (rule R3).

    A command asks other rooms before it claims its id. A device that was deleted, or a project that was archived, after
    the work was done would turn the answer that got lost into a refusal. Who has lost a right is refused all the same.
    """

    @wraps(command)
    def repeated(database: Database, call: Call, request: Mapping[str, Any], **neighbors: Any) -> dict[str, Any]:
        try:
            return command(database, call, request, **neighbors)
        except ServiceError as refusal:
            # What this very call has stored is not the answer of an earlier one.
            if refusal.settled or refusal.kind not in ("not_found", "conflict") or request.get("dry_run"):
                raise
            answer = database.answered(call, command.__name__, request)
            if answer is None:
                raise
            return answer

    return repeated


def rehearse(database: Database, call: Call, work: Work) -> dict[str, Any]:
    """Return what work would answer, and change nothing."""

    def rolled_back(unit: Unit) -> dict[str, Any]:
        answer = work(unit)
        unit.finish()
        raise _Rehearsed(answer)

    try:
        return database.write(rolled_back, call=call)
    except _Rehearsed as rehearsed:
        return rehearsed.answer
