"""A wrong field is told the same way wherever it is found: at the door and in a room that is called from elsewhere."""

from __future__ import annotations

import pytest
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from services.chassis.errors import ServiceError
from services.chassis.fields import RequestSchema
from services.chassis.wrong_fields import load_request, wrong_fields


class Line(RequestSchema):
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(1, 9))


class Lines(RequestSchema):
    lines = fields.List(fields.Nested(Line), required=True)
    comment = fields.String()

    @validates_schema
    def _at_least_one(self, values: dict[str, object], **_: object) -> None:
        if values.get("lines") == []:
            raise ValidationError("Give at least one line.")


SCHEMA: Schema = Lines()


@pytest.mark.parametrize(
    ("values", "pointer", "code"),
    [
        ({}, "/lines", "field.required"),
        ({"lines": None}, "/lines", "field.null"),
        ({"lines": 7}, "/lines", "field.type"),
        ({"lines": [{"quantity": 10}]}, "/lines/0/quantity", "field.range"),
        ({"lines": [{"quantity": 1}, {}]}, "/lines/1/quantity", "field.required"),
        ({"lines": [{"quantity": 1}], "a/b~c": 1}, "/a~1b~0c", "field.unknown"),
        ({"lines": []}, "", "field.invalid"),
    ],
)
def test_a_wrong_field_has_pointer_and_code(values: dict[str, object], pointer: str, code: str) -> None:
    (found,) = wrong_fields(SCHEMA, values)
    assert (found["pointer"], found["code"]) == (pointer, code)
    with pytest.raises(ServiceError) as refused:
        load_request(SCHEMA, values)
    assert (refused.value.code, refused.value.status) == ("request.invalid", 422)
    assert refused.value.extra["errors"] == [found]
    assert refused.value.detail == f"{pointer or 'the request as a whole'}: {found['detail']}"


def test_what_is_right_is_loaded_and_much_that_is_wrong_is_told_in_part() -> None:
    good = {"lines": [{"quantity": 1}]}
    assert wrong_fields(SCHEMA, good) == []
    assert load_request(SCHEMA, good) == good
    assert load_request(None, {"any": 1}) == {"any": 1}
    with pytest.raises(ServiceError) as refused:
        load_request(SCHEMA, {f"name{number}": 1 for number in range(200)})
    assert len(refused.value.extra["errors"]) == 50
