"""What a procedure is, said once beside the function that does the work: schemas, needs, errors, events.

Everything else follows: the entrypoint (`serving.py`), the codes in the OpenAPI document (`deploy/procedures.py`). It
is plain data and a wrapper that checks what the caller must be; nothing of the bus is in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

from marshmallow import Schema

from services.chassis import answers
from services.chassis.answers import Answer, Undeclared, dump
from services.chassis.context import Call
from services.chassis.data import unit
from services.chassis.errors import ERRORS, ServiceError

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")

#: These say nothing about one procedure: the chassis refuses any request with them, or any login.
EVERYWHERE: Final = frozenset(ERRORS) - {"request.stale", "access.power_needed"}


class Need(Protocol):
    """What a caller must be; `services.accounts.api` has those that there are."""

    @property
    def raises(self) -> tuple[str, ...]:
        """The codes that `check` refuses with."""

    @property
    def implied(self) -> tuple[str, ...]:
        """The codes of calls without a login, which no bus lets through."""

    @property
    def check(self) -> Callable[[Call], object]:
        """Refuse a call whose caller is not that."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One procedure.

    Args:
        name: of the function, and of the procedure on the bus.
        function: does the work; its parameters besides `call` and `request` are the providers that it needs.
        request, answer: schemas; without an answer it gives nothing.
        raises: every code that it refuses with, those of its needs and of the rooms that it asks included.
        emits: every event that it emits.
        writes: it is a command.
        implied: codes of calls without a login, which no bus lets through; not published.
        rehearsable: the request's `dry_run` is a rehearsal, which changes nothing.
        rehearsal: schema of a rehearsal's answer, where it is another one.
        public, callers, vouched_by: who may call it without a login, in whose name, vouched for by whom.
    """

    name: str
    function: Callable[..., Any]
    request: type[Schema]
    answer: type[Schema] | None
    raises: frozenset[str]
    emits: frozenset[str]
    writes: bool
    implied: frozenset[str] = frozenset()
    rehearsable: bool = False
    rehearsal: type[Schema] | None = None
    public: bool = False
    callers: tuple[str, ...] = ()
    vouched_by: tuple[str, ...] = ()

    @property
    def room(self) -> str:
        """The package that the function stands in, `services.<room>`."""
        return ".".join(self.function.__module__.split(".")[:2])

    def check_refusal(self, refusal: ServiceError) -> None:
        """Refuse a code that is not declared."""
        if refusal.code not in self.raises | self.implied | EVERYWHERE:
            raise Undeclared(f"{self.name} raised {refusal.code}, which its declaration does not name.") from refusal

    def check_event(self, type: str) -> None:
        """Refuse an event that is not declared."""
        if type not in self.emits:
            raise Undeclared(f"{self.name} emitted {type}, which its declaration does not name.")

    def dump(self, answer: object, *, rehearsed: bool = False) -> Answer:
        """Return what the declared schema lets out of an answer; nothing where none is declared.

        Args:
            answer: what the function made of rows (`services.chassis.answers`).
            rehearsed: it is the answer of a rehearsal.

        Raises:
            Undeclared: a required field is not there.
        """
        schema = self.rehearsal if rehearsed and self.rehearsal is not None else self.answer
        return Answer() if schema is None else dump(schema, answer)


_strict = False
_running: ContextVar[tuple[Declaration, ...]] = ContextVar("running_declarations", default=())


def be_strict() -> None:
    """Let everything that is not declared fail; for tests, where who provokes it is there to see it."""
    global _strict  # noqa: PLW0603 - a switch of the process, set once
    _strict = True
    answers.be_strict()
    unit.watch(_check_event)


def running() -> Declaration:
    """Return the declaration of the procedure at work, the innermost if one calls another.

    Raises:
        RuntimeError: none is at work.
    """
    declarations = _running.get()
    if not declarations:
        raise RuntimeError("No declared command is at work: run it through a function with @command.")
    return declarations[-1]


def declared(function: Callable[..., Any]) -> Declaration | None:
    """Return what is declared of a function, None if nothing is."""
    return getattr(function, "declaration", None)


def command(
    *,
    request: type[Schema],
    answer: type[Schema] | None = None,
    needs: Collection[Need] = (),
    rehearsable: bool = False,
    rehearsal: type[Schema] | None = None,
    raises: Iterable[str] = (),
    emits: Iterable[str] = (),
    callers: Iterable[str] = (),
    vouched_by: Iterable[str] = (),
) -> Callable[[Callable[P, object]], Callable[P, Answer]]:
    """Declare a function that changes something; see `Declaration`.

    Args:
        request, answer, rehearsable, rehearsal, callers, vouched_by: as in `Declaration`.
        needs: what the caller must be; checked before the function runs.
        raises: codes besides those of the needs.
        emits: events.
    """

    def declare(function: Callable[P, object]) -> Callable[P, Answer]:
        codes = frozenset(raises).union(*(need.raises for need in needs))
        implied = frozenset[str]().union(*(need.implied for need in needs))
        declaration = Declaration(
            function.__name__, function, request, answer, codes, frozenset(emits), writes=True, implied=implied,
            rehearsable=rehearsable, rehearsal=rehearsal, callers=tuple(callers), vouched_by=tuple(vouched_by),
        )  # fmt: skip
        return _wrapped(function, declaration, needs)

    return declare


def query(
    *,
    request: type[Schema],
    answer: type[Schema],
    needs: Collection[Need] = (),
    raises: Iterable[str] = (),
    public: bool = False,
    callers: Iterable[str] = (),
) -> Callable[[Callable[P, object]], Callable[P, Answer]]:
    """Declare a function that only reads; see `Declaration`.

    Args:
        request, answer, public, callers: as in `Declaration`.
        needs: what the caller must be; checked before the function runs.
        raises: codes besides those of the needs.
    """

    def declare(function: Callable[P, object]) -> Callable[P, Answer]:
        codes = frozenset(raises).union(*(need.raises for need in needs))
        implied = frozenset[str]().union(*(need.implied for need in needs))
        declaration = Declaration(
            function.__name__, function, request, answer, codes, frozenset(), writes=False, implied=implied,
            public=public, callers=tuple(callers),
        )  # fmt: skip
        return _wrapped(function, declaration, needs)

    return declare


def handler(*, emits: Iterable[str] = ()) -> Callable[[F], F]:
    """Declare a function that applies events of another room.

    Args:
        emits: events that it tells in turn.
    """

    def declare(function: F) -> F:
        declaration = Declaration(function.__name__, function, Schema, None, frozenset(), frozenset(emits), writes=True)

        @wraps(function)
        def handled(*args: Any, **kwargs: Any) -> Any:
            token = _running.set((*_running.get(), declaration))
            try:
                return function(*args, **kwargs)
            finally:
                _running.reset(token)

        handled.declaration = declaration  # type: ignore[attr-defined]
        return cast("F", handled)

    return declare


def _wrapped(function: Callable[P, object], declaration: Declaration, needs: Collection[Need]) -> Callable[P, Answer]:
    place = list(inspect.signature(function).parameters).index("call") if needs else 0
    checks = tuple(need.check for need in needs)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Answer:
        token = _running.set((*_running.get(), declaration))
        try:
            for check in checks:
                check(cast("Call", kwargs["call"] if "call" in kwargs else args[place]))
            answer = function(*args, **kwargs)
            # Of a command it was dumped before it was stored; then this gives it back.
            return declaration.dump(answer)
        except ServiceError as refusal:
            if _strict:
                declaration.check_refusal(refusal)
            raise
        finally:
            _running.reset(token)

    checked.declaration = declaration  # type: ignore[attr-defined]
    return checked


def _check_event(type: str) -> None:
    declarations = _running.get()
    for declaration in declarations:
        # Tests let rooms call each other within one process: what one emits is nothing that the caller tells.
        if declaration.room == declarations[-1].room:
            declaration.check_event(type)
