"""How a declared command runs: once per command id, or as a rehearsal that is rolled back (rules R3, L5)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, ParamSpec

from marshmallow import Schema

from services.chassis.answers import Answer, dump
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError
from services.chassis.service.declare import running

P = ParamSpec("P")
Work = Callable[[Unit], object]

_ANOTHER_ROOMS: Final = ("not_found", "conflict")


class _Rehearsed(Exception):
    def __init__(self, answer: Answer) -> None:
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
    step: type[Schema] | None = None,
    name: str | None = None,
) -> Answer:
    """Do the work of the command that is running, once per command id; rehearse it when the request says `dry_run`.

    A rehearsal does the very same work and throws it away, so it refuses what the real thing would refuse.

    Args:
        database: of the room.
        call: carries the command id.
        request: part of the fingerprint.
        work: the effect; returns what the declared schema makes the answer of (`services.chassis.answers`).
        scope, sealed, on_refusal: as for `Database.command`.
        step: schema of what the work returns, where it is one step of the command and not yet its answer.
        name: of the command, where several procedures are doors to one; what they have in common is the request, and
            each rehearses by itself.

    Raises: what `Database.command` and the work raise.
    """
    declaration = running()
    if declaration.rehearsable and name is None and request["dry_run"]:
        return rehearse(database, call, work)
    answer = database.command(
        call,
        name or declaration.name,
        request,
        # Dumped before it is stored, so that a repetition is told the same and nothing else is kept.
        lambda unit: declaration.dump(work(unit)) if step is None else dump(step, work(unit)),
        scope=scope,
        sealed=sealed,
        on_refusal=on_refusal,
    )
    return Answer(answer or {})


def answered(
    database: Database,
    call: Call,
    request: Mapping[str, Any],
    *,
    scope: str | None = None,
    sealed: bool = False,
    name: str | None = None,
) -> Answer | None:
    """Return what the command that is running answered when it ran with this id for this request, None if it did not.

    For what is asked or counted before the work, and shall not be for a repetition.

    Args:
        database, call, request, scope, sealed, name: as for `run`.

    Raises: the refusal that it answered then.
    """
    answer = database.answered(call, name or running().name, request, scope=scope, sealed=sealed)
    return None if answer is None else Answer(answer)


def repeatable(command: Callable[P, object]) -> Callable[P, object]:
    """Let a repetition get its first answer though what other rooms tell has changed since (rule R3).

    A command asks other rooms before it claims its id. A device that was deleted, or a project that was archived, after
    the work was done would turn the answer that got lost into a refusal. Who has lost a right is refused all the same.

    Args:
        command: has the parameters `database`, `call` and `request`; `@command` stands above this.
    """
    signature = inspect.signature(command)

    @wraps(command)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> object:
        try:
            return command(*args, **kwargs)
        except ServiceError as refusal:
            given = signature.bind(*args, **kwargs).arguments
            # What this very call has stored is not the answer of an earlier one.
            if refusal.settled or refusal.kind not in _ANOTHER_ROOMS:
                raise
            answer = answered(given["database"], given["call"], given["request"])
            if answer is None:
                raise
            return answer

    return repeated


def rehearse(database: Database, call: Call, work: Work) -> Answer:
    """Return what work would answer, and change nothing."""
    declaration = running()

    def rolled_back(unit: Unit) -> Answer:
        answer = declaration.dump(work(unit), rehearsed=True)
        # What is left to the end may still refuse.
        unit.finish()
        raise _Rehearsed(answer)

    try:
        return database.write(rolled_back, call=call)
    except _Rehearsed as rehearsed:
        return rehearsed.answer
