"""One word for one thing, over all rooms and routes (api.md, "Conventions")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from marshmallow import ValidationError, fields, validate

from gateway import problems
from gateway.codes import all_codes
from gateway.problems import TEXTS
from gateway.routes import ROWS
from gateway.row import Row
from gateway.tests.conftest import Gateway
from gateway.tests.test_rows import check_problem, name_of
from services.accounts import api as accounts
from services.chassis import errors as chassis
from services.chassis.data.outbox import event_row
from services.chassis.fields import Moment, write_moment
from services.chassis.texts import Text
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects

#: Last word of a code -> the one code that means it, whichever service says it (api.md, "One word for one thing").
ONE_CODE = {"stale": "request.stale", "power_needed": "access.power_needed", "token_invalid": "token.invalid"}


def test_one_meaning_has_one_code() -> None:
    """Issue 6.5: three rooms had a word of their own for a stale version, two for a missing power."""
    said = json.loads((TEXTS.parent / "procedures.json").read_text("utf-8"))
    lists = [
        *(set(module.ERRORS) for module in (chassis, problems, accounts, projects, devices, licensing, history)),
        set().union(*said["procedures"].values()) | set(said["statuses"]),
    ]
    for codes in lists:
        second = {code for code in codes for word, one in ONE_CODE.items() if code.endswith(f".{word}") and code != one}
        assert second == set()
    assert set(ONE_CODE.values()) <= set(all_codes())
    # Each code stands in one list, so that nobody gives it a second meaning.
    owners = [code for codes in lists[:7] for code in codes]
    assert sorted(owners) == sorted(set(owners))


MOMENTS = [
    pytest.param(row, name, id=f"{name_of(row)} {name}")
    for row in ROWS
    for name, field in row.wire_fields.items()
    if isinstance(field, Moment)
]
GOOD = ("2026-11-24T08:45:34Z", "2026-11-24T08:45:34.790123Z", "2026-11-24t09:45:34+01:00", "2026-11-24T00:45:34-08:00")
BAD = (
    "2026-11-24T08:45:34", "2026-11-24T08:45:34.790", "2026-11-24", "20261124T084534Z", "2026-W48-2T08:45:34Z",
    "2026-11-24 08:45:34Z", "2026-11-24T08:45Z", "2026-11-24T08:45:34+0100", "2026-02-30T08:45:34Z",
    "2026-11-24T25:45:34Z", "٢٠٢٦-11-24T08:45:34Z", "2026-11-24T08:45:34Z ", "0001-01-01T00:00:00+14:00", "now", "1",
)  # fmt: skip


def test_every_time_that_a_request_takes_is_known() -> None:
    named = {
        f"{name_of(row)} {name}"
        for row in ROWS
        for name in row.wire_fields
        if name.endswith("_at") or name in ("from", "to", "since", "until")
    }
    assert named == {parameter.id for parameter in MOMENTS} != set()


@pytest.mark.parametrize(("row", "name"), MOMENTS)
def test_requests_take_times_of_rfc_3339_with_any_offset_and_none_without(row: Row, name: str) -> None:
    field = row.wire_fields[name]
    for text in GOOD:
        assert field.deserialize(text).utcoffset() == timedelta(0)
    assert {write_moment(field.deserialize(GOOD[place])) for place in (0, 2, 3)} == {"2026-11-24T08:45:34.000Z"}
    for text in BAD:
        with pytest.raises(ValidationError, match="Not a valid time; write it as 2026-"):
            field.deserialize(text)


def test_there_is_one_form_of_times() -> None:
    west = timezone(timedelta(hours=-8))
    assert write_moment(datetime(2026, 11, 24, 0, 45, 34, 790999, west)) == "2026-11-24T08:45:34.790Z"
    with pytest.raises(ValueError, match="zone"):
        write_moment(datetime(2026, 11, 24))


def test_events_tell_their_time_in_that_form() -> None:
    row = event_row("projects", "project_created", datetime(2026, 11, 24, 8, 45, 34, 790123, UTC), {}, {})
    assert json.loads(row["event"])["time"] == "2026-11-24T08:45:34.790Z"


def texts_of(field: fields.Field[Any], name: str) -> Iterator[tuple[str, fields.String]]:
    if isinstance(field, fields.Nested):
        for inner, member in field.schema.fields.items():
            yield from texts_of(member, f"{name}/{inner}")
    elif isinstance(field, fields.List):
        yield from texts_of(field.inner, f"{name}/0")
    elif isinstance(field, fields.Dict):
        raise AssertionError(f"{name} takes whatever comes")
    elif isinstance(field, fields.String):
        yield name, field


TEXTS_ASKED = [
    pytest.param(inner, id=f"{name_of(row)} {told}")
    for row in ROWS
    for name, field in row.wire_fields.items()
    for told, inner in texts_of(field, name)
]
SHOWN = [parameter for parameter in TEXTS_ASKED if isinstance(parameter.values[0], Text)]
#: Bidi marks and overrides, no width, controls, half surrogates, separators, fillers.
UNSEEN = [
    *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C, *range(0x200B, 0x200E), 0x2060, 0xFEFF,
    0x00, 0x07, 0x09, 0x0B, 0x0C, 0x0D, 0x1B, 0x1F, 0x7F, 0x85, 0x9B, 0xD800, 0xDFFF, 0x2028, 0x2029, 0x3164, 0x115F,
    0x2800, 0xE0041, 0xAD,
]  # fmt: skip


@pytest.mark.parametrize("field", TEXTS_ASKED)
def test_every_text_that_a_request_takes_is_of_a_declared_kind(field: fields.String) -> None:
    chosen = any(isinstance(rule, validate.OneOf) for rule in field.validators)
    assert type(field) is not fields.String or chosen, "say Text, Opaque, Id or what may be chosen"


@pytest.mark.parametrize("field", SHOWN)
def test_what_people_read_holds_nothing_that_they_cannot_see(field: Text) -> None:
    ends = {0x0A} if field.lines else set()
    for point in {*UNSEEN, 0x0A} - ends:
        with pytest.raises(ValidationError, match=f"Must not contain U[+]{point:04X}: "):
            field.deserialize(f"Nor{chr(point)}th")
    for point in {0x0A, 0x0D, 0x202E, 0x200B} - ends:
        for text in (f"North{chr(point)}", f"{chr(point)}North"):
            with pytest.raises(ValidationError, match=f"U[+]{point:04X}"):
                field.deserialize(text)
    if field.lines:
        assert field.deserialize("\nNorth\nSouth \n") == "North\nSouth"
    assert field.deserialize("  Mu\u0308nchen\u00a0") == "M\u00fcnchen"


def test_a_name_with_another_direction_is_refused_with_field_and_remedy(gateway: Gateway) -> None:
    for language, remedy in (("en", "write one line"), ("de", "U+202E ist nicht erlaubt: Schreiben Sie eine Zeile")):
        answer = gateway.ask("POST", "/v1/projects", {"name": "North\u202egnp"}, headers={"Accept-Language": language})
        check_problem(answer, 422, "request.invalid")
        [error] = answer.body["errors"]
        assert (error["pointer"], error["code"]) == ("/name", "field.characters")
        assert remedy in error["detail"]
    assert gateway.rooms.calls == []
