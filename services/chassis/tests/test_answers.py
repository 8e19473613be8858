"""What leaves a room is what the schema names, read off rows; the rest stays inside or, in tests, fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from marshmallow import fields

from services.chassis import answers
from services.chassis.answers import Answer, Page, Undeclared, dump, shown
from services.chassis.fields import AnswerSchema, Moment


class Part(AnswerSchema):
    """A part of a thing."""

    name = fields.String(required=True)


class Thing(AnswerSchema):
    """A thing as it is shown."""

    id = fields.String(required=True)
    made_at = fields.String(required=True)
    seen_at = Moment()
    ends_on = fields.Date(required=True, allow_none=True)
    parts = fields.List(fields.Nested(Part))
    first = fields.Nested(Part, allow_none=True)
    many = fields.Nested(Part, many=True)
    days = fields.List(fields.Date(allow_none=True))
    size = fields.Integer(attribute="n")
    from_ = fields.Integer(data_key="from")


class ThingList(AnswerSchema):
    """A page of things."""

    items = fields.List(fields.Nested(Thing), required=True)
    next = fields.String(required=True, allow_none=True)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part with what nobody is told."""

    name: str
    secret: str = "s"


@dataclass(frozen=True, slots=True)
class StoredThing:
    """A thing with what nobody is told."""

    id: str
    made_at: datetime
    ends_on: date | None
    secret: str = "s"


NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
THING = StoredThing("t1", NOON, date(2027, 1, 2))


def test_a_row_is_dumped_and_what_the_schema_lacks_stays_inside() -> None:
    assert dump(Thing, THING) == {"id": "t1", "made_at": "2026-11-30T12:00:00.000Z", "ends_on": "2027-01-02"}


def test_what_is_shown_besides_a_row_comes_before_its_columns() -> None:
    more = shown(
        THING, ends_on=None, seen_at=NOON, parts=[StoredPart("a"), {"name": "b"}], first=None, many=(StoredPart("c"),),
        days=[date(2026, 1, 1), None], n=3, from_=1,
    )  # fmt: skip
    assert dump(Thing, more) == {
        "id": "t1",
        "made_at": "2026-11-30T12:00:00.000Z",
        "seen_at": "2026-11-30T12:00:00.000Z",
        "ends_on": None,
        "parts": [{"name": "a"}, {"name": "b"}],
        "first": None,
        "many": [{"name": "c"}],
        "days": ["2026-01-01", None],
        "size": 3,
        "from": 1,
    }
    assert dump(Thing, shown(more, id="t2"))["id"] == "t2"


def test_a_page_is_an_answer_and_an_answer_stays_as_it_is() -> None:
    page = dump(ThingList, Page([THING], "next"))
    assert [item["id"] for item in page["items"]] == ["t1"]
    assert page["next"] == "next"
    assert dump(ThingList, page) is page


@pytest.mark.parametrize("value", [{"id": "t1"}, shown(THING.ends_on, id="t1"), StoredPart("a")])
def test_a_required_field_that_is_not_there_fails(value: Any) -> None:
    with pytest.raises(Undeclared, match=r"has no \w+, which Thing names"):
        dump(Thing, value)


def test_a_time_without_a_zone_never_leaves() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        dump(Thing, shown(THING, made_at=datetime(2026, 11, 30, 12)))


@pytest.mark.parametrize("value", [{"name": "a", "secret": "s"}, shown(StoredPart("a"), secret="s")])
def test_what_was_said_and_is_not_named_fails_in_tests_and_stays_inside_in_production(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Undeclared, match="has secret, which Part does not name"):
        dump(Part, value)
    monkeypatch.setattr(answers, "_strict", False)
    assert dump(Part, value) == Answer(name="a")


@pytest.mark.parametrize("value", [{"name": 7}, {"name": True}, {"name": 1.5}])
def test_a_number_where_a_text_is_declared_never_leaves(value: Any) -> None:
    with pytest.raises(Undeclared, match="no text"):
        dump(Part, value)


def test_a_text_where_a_thing_is_declared_never_leaves() -> None:
    whole = {"id": "a", "made_at": "b", "ends_on": None}
    for wrong in ({"first": "a text"}, {"parts": ["a text"]}, {"many": ["a text"]}):
        with pytest.raises(Undeclared, match="str has no name"):
            dump(Thing, {**whole, **wrong})
