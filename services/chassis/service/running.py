"""How a declared command runs: once per command id, or as a rehearsal that is rolled back (rules R3, L5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError
from services.chassis.service.declare import running

Work = Callable[[Unit], dict[str, Any] | None]


class _Rehearsed(Exception):
    def __init__(self, answer: dict[str, Any] | None) -> None:
        super().__init__()
        self.answer = answer


def run(
    database: Database,
    call: Call,
    request: Mapping[str, Any],
    work: Work,
    *,
    scope: str | None = None,
    sealed: bool = False,
    on_refusal: Callable[[Unit, ServiceError], None] | None = None,
) -> dict[str, Any]:
    """Do the work of the command that is running, once per command id; rehearse it when the request says `dry_run`.

    A rehearsal does the very same work and throws it away, so it refuses what the real thing would refuse.

    Args:
        database: of the room.
        call: carries the command id.
        request: part of the fingerprint.
        work: the effect; returns the answer.
        scope, sealed, on_refusal: as for `Database.command`.

    Raises: what `Database.command` and the work raise.
    """
    declaration = running()
    if declaration.rehearsable and request["dry_run"]:
        return rehearse(database, call, work)
    answer = database.command(call, declaration.name, request, work, scope=scope, sealed=sealed, on_refusal=on_refusal)
    return answer or {}


def rehearse(database: Database, call: Call, work: Work) -> dict[str, Any]:
    """Return what work would answer, and change nothing."""

    def rolled_back(unit: Unit) -> dict[str, Any]:
        raise _Rehearsed(work(unit))

    try:
        return database.write(rolled_back, call=call)
    except _Rehearsed as rehearsed:
        return rehearsed.answer or {}
