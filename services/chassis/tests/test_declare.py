"""What is declared of a procedure is what it does: anything else fails, here and over the bus; the table serves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from marshmallow import fields

from services.chassis.answers import Answer, Undeclared
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.testing import make_database
from services.chassis.errors import ServiceError, conflict, forbidden, not_found
from services.chassis.fields import AnswerSchema, EmptyRequest, Flag, RequestSchema
from services.chassis.service.declare import command, declared, handler, query
from services.chassis.service.running import answered, repeatable, run
from services.chassis.service.serving import procedures_of, serves


class Ask(RequestSchema):
    """What the procedure shall do."""

    what = fields.String(load_default="")
    dry_run = Flag(load_default=False)


class Said(AnswerSchema):
    """What it did."""

    said = fields.String(required=True)


class Noted(AnswerSchema):
    """What the first step keeps for its repetition."""

    noted = fields.String(required=True)


@dataclass(frozen=True, slots=True)
class Badge:
    """A need that looks at one claim."""

    raises: tuple[str, ...] = ("test.badge_needed",)
    implied: tuple[str, ...] = ()

    @staticmethod
    def check(call: Call) -> None:
        """Refuse who has no badge."""
        if not call.claims.get("badge"):
            raise forbidden("test.badge_needed", "A badge is needed: ask for one.")


@command(
    request=Ask,
    answer=Said,
    needs=(Badge(),),
    rehearsable=True,
    raises=("test.declared",),
    emits=("thing_done",),
)
def act(database: Database, call: Call, request: Mapping[str, Any], tally: list[str]) -> Answer:
    """Do what the request says."""

    def work(unit: Unit) -> dict[str, Any]:
        tally.append(request["what"])
        if request["what"].startswith("test."):
            raise conflict(request["what"], "Refused: ask for something else.")
        unit.emit(request["what"], subject="1", data={})
        surplus = {"surplus": "1"} if request["what"] == "thing_done" and tally.count("thing_done") > 9 else {}
        return {"said": "ok", **surplus}

    return run(database, call, request, work)


@query(request=EmptyRequest, answer=Said)
def look(call: Call, tally: list[str]) -> dict[str, Any]:
    """Tell what was done last, under another name than the schema's when nothing was."""
    return {"said": tally[-1]} if tally else {"said": "", "nothing": True}


@query(request=EmptyRequest, answer=Said, public=True)
def publish(tally: list[str]) -> dict[str, Any]:
    """Tell the same to everybody, who need not say who it is."""
    return {"said": str(len(tally))}


@handler(emits=("thing_done",))
def hear(unit: Unit, type: str) -> None:
    """Tell something in turn."""
    unit.emit(type, subject="1", data={})


BADGE = {"sub": "1", "badge": True}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give any room's database."""
    made = make_database("projects", f"sqlite:///{tmp_path / 'projects.sqlite'}", tmp_path)
    yield made
    made.close()


def do(database: Database, what: str, *, tally: list[str] | None = None, call: Call | None = None, **more: Any) -> Any:
    """Let the command do something."""
    request = {"what": what, "dry_run": False, **more}
    return act(database, call or Call(claims=BADGE), request, tally if tally is not None else [])


def test_what_is_declared_passes(database: Database) -> None:
    assert do(database, "thing_done") == {"said": "ok"}
    with pytest.raises(ServiceError, match=r"test\.declared"):
        do(database, "test.declared")
    with pytest.raises(ServiceError, match=r"test\.badge_needed"):
        do(database, "thing_done", call=Call(claims={"sub": "1"}))
    database.write(lambda unit: hear(unit, "thing_done"))


def test_an_error_that_is_not_declared_fails(database: Database) -> None:
    with pytest.raises(Undeclared, match=r"act raised test\.other"):
        do(database, "test.other")


def test_an_event_that_is_not_declared_fails_and_nothing_is_stored(database: Database) -> None:
    with pytest.raises(Undeclared, match="act emitted thing_undone"):
        do(database, "thing_undone")
    with pytest.raises(Undeclared, match="hear emitted thing_undone"):
        database.write(lambda unit: hear(unit, "thing_undone"))
    assert do(database, "thing_done") == {"said": "ok"}


def test_a_field_that_the_answer_schema_lacks_fails(database: Database) -> None:
    with pytest.raises(Undeclared, match="has nothing, which Said does not name"):
        look(Call(), [])
    with pytest.raises(Undeclared, match="has surplus, which Said does not name"):
        do(database, "thing_done", tally=["thing_done"] * 9)


def test_a_rehearsal_does_the_same_work_and_changes_nothing(database: Database) -> None:
    tally: list[str] = []
    call = Call(claims=BADGE)
    assert do(database, "thing_done", tally=tally, call=call, dry_run=True) == {"said": "ok"}
    with pytest.raises(ServiceError, match=r"test\.declared"):
        do(database, "test.declared", dry_run=True)
    # The real thing under the same command id is no repetition of the rehearsal; the next one is.
    for _ in range(2):
        assert do(database, "thing_done", tally=tally, call=call) == {"said": "ok"}
    assert tally == ["thing_done", "thing_done"]


@command(request=Ask, answer=Said, rehearsable=True, raises=("test.gone", "test.forbidden", "test.short"))
@repeatable
def ask_first(database: Database, call: Call, request: Mapping[str, Any], refusal: ServiceError | None) -> Answer:
    """Ask another room, which may refuse by now, then do something; the last of it may be too much."""
    if refusal is not None:
        raise refusal

    def work(unit: Unit) -> dict[str, Any]:
        if request["what"] == "short":
            unit.at_end(_refuse_as_short)
        return {"said": "ok"}

    if not request["dry_run"]:
        noted = run(database, call.derive("first"), request, lambda unit: {"noted": "1"}, step=Noted)
        assert noted == {"noted": "1"}
    return run(database, call, request, work)


def _refuse_as_short() -> None:
    raise conflict("test.short", "There is too little: take less.")


def test_what_is_left_to_the_end_is_rehearsed_too(database: Database) -> None:
    for dry_run in (True, False):
        with pytest.raises(ServiceError, match=r"test\.short"):
            ask_first(database, Call(claims=BADGE), {"what": "short", "dry_run": dry_run}, None)


def test_a_repetition_gets_its_answer_though_another_room_refuses_by_now(database: Database) -> None:
    call, request = Call(claims=BADGE), {"what": "", "dry_run": False}
    gone, forbidding = not_found("test.gone", "It is gone."), forbidden("test.forbidden", "You may not.")
    with pytest.raises(ServiceError, match=r"test\.gone"):
        ask_first(database, call, request, gone)
    assert ask_first(database, call, request, None) == {"said": "ok"}
    assert ask_first(database, call, request, gone) == {"said": "ok"}
    for refused, its_call, its_request in (
        (forbidding, call, request),
        (gone, call, {**request, "dry_run": True}),
        (gone, Call(claims=BADGE), request),
        (gone, call, {**request, "what": "other"}),
    ):
        with pytest.raises(ServiceError, match=refused.code):
            ask_first(database, its_call, its_request, refused)


@command(request=Ask, answer=Said, rehearsable=True)
def ask_in_front(database: Database, call: Call, request: Mapping[str, Any], said: str) -> Answer:
    """One door of a command; what both have in common has no `dry_run`."""
    answer = answered(database, call, {"what": request["what"]}, name="ask_somewhere")
    if answer is not None:
        return Answer(said=f"{answer['said']} again")
    return run(database, call, {"what": request["what"]}, lambda unit: {"said": said}, name="ask_somewhere")


@command(request=Ask, answer=Said)
def ask_behind(database: Database, call: Call, request: Mapping[str, Any], said: str) -> Answer:
    """The other door."""
    return run(database, call, {"what": request["what"]}, lambda unit: {"said": said}, name="ask_somewhere")


def test_what_comes_again_by_the_other_door_of_a_command_gets_the_first_answer(database: Database) -> None:
    request = {"what": "", "dry_run": False}
    for first, second, again in ((ask_in_front, ask_behind, "first"), (ask_behind, ask_in_front, "first again")):
        call = Call(claims=BADGE)
        assert first(database, call, request, "first") == {"said": "first"}
        assert second(database, call, request, "second") == {"said": again}


def test_a_command_without_a_declaration_does_not_run(database: Database) -> None:
    with pytest.raises(RuntimeError, match="@command"):
        run(database, Call(claims=BADGE), {}, lambda unit: {})


def test_a_table_makes_the_entrypoints_and_gives_each_function_what_it_names(database: Database) -> None:
    @serves(act, look, publish)
    class Service:
        name = "projects"
        database: Database
        tally: list[str]

        def __init__(self) -> None:
            self.database, self.tally = database, []

        database = tally = None  # type: ignore[assignment]

    found = procedures_of(Service)
    assert {name: entry.schema for name, (entry, _) in found.items()} == {
        "act": Ask,
        "look": EmptyRequest,
        "publish": EmptyRequest,
    }
    declaration = declared(act)
    assert declaration is not None
    assert found["act"][1] is declaration
    assert declaration.raises == {"test.badge_needed", "test.declared"}
    service: Any = Service()
    assert service.act(Call(claims=BADGE), {"what": "thing_done", "dry_run": False}) == {"said": "ok"}
    assert service.look(Call(), {}) == {"said": "thing_done"}
    assert service.publish(Call(), {}) == {"said": "1"}


def test_a_table_with_a_hole_is_refused() -> None:
    class Service:
        tally: Any = None

    with pytest.raises(TypeError, match="act needs database"):
        serves(act)(Service)
    with pytest.raises(TypeError, match="not declared"):
        serves(do)(Service)
    with pytest.raises(TypeError, match="two things named look"):
        serves(look, look)(Service)
