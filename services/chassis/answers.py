"""What leaves a room: an answer is read off rows by the declared schema, and what the schema lacks stays inside.

marshmallow's own `dump` passes over a field that a row lacks, and over one that the schema lacks; here the first is an
error everywhere and the second one in tests. It reads rows with more beside them, and times and days as they are.
Checking values is the rows' types' matter, not this module's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from typing import Any, Final

from marshmallow import Schema, fields

from services.chassis.fields import write_moment

_MISSING: Final = object()
_NOTHING: Final[Mapping[str, object]] = {}
_strict = False

Convert = Callable[[Any], Any]


class Undeclared(AssertionError):
    """A procedure raised a code, emitted an event or gave a field that its declaration does not name."""


class Answer(dict[str, Any]):
    """What a schema let through."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row and what is shown besides or instead of its columns."""

    row: object
    more: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list, and the cursor of the next ones."""

    items: list[Any]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Field:
    key: str
    name: str
    required: bool
    convert: Convert | None


def shown(row: object, /, **more: object) -> Shown:
    """Return a row as it is shown: under a name of `more` what is said there, else the row's attribute."""
    return Shown(row, more)


def be_strict() -> None:
    """Let what no schema names fail instead of staying inside; for tests, where who gives it is there to see it."""
    global _strict  # noqa: PLW0603 - a switch of the process, set once
    _strict = True


def dump(schema: type[Schema], value: object) -> Answer:
    """Return what the schema names, as JSON has it.

    Args:
        schema: of an answer; its fields are texts, numbers, flags, times, days, and lists and schemas of such.
        value: a dataclass, a mapping, or a row with more (`shown`); an `Answer` is given back as it is.

    Raises:
        Undeclared: it lacks a required field; in tests also: it has one that the schema does not name.
    """
    if isinstance(value, Answer):
        return value
    row: object = value
    more: Mapping[str, object] = _NOTHING
    while isinstance(row, Shown):
        more = {**row.more, **more}
        row = row.row
    answer = Answer()
    # Both are C: an answer costs no call of ours for a field that is JSON as it stands.
    get: Callable[[str, object], Any] = row.get if isinstance(row, Mapping) else partial(getattr, row)
    for field in _fields_of(schema):
        name = field.name
        found = more[name] if name in more else get(name, _MISSING)
        if found is _MISSING:
            if field.required:
                raise Undeclared(f"{type(value).__name__} has no {name}, which {schema.__name__} names.")
        elif found is None or field.convert is None or (type(found) is str and field.convert is _text):
            answer[field.key] = found
        else:
            answer[field.key] = field.convert(found)
    if _strict:
        _refuse_surplus(schema, value)
    return answer


@cache
def _fields_of(schema: type[Schema]) -> tuple[_Field, ...]:
    return tuple(
        _Field(field.data_key or name, field.attribute or name, field.required, _converter(field))
        for name, field in schema().dump_fields.items()
    )


def _converter(field: fields.Field[Any]) -> Convert | None:
    """Return how a value of a field becomes JSON, None if it is JSON already."""
    if isinstance(field, fields.Nested):
        nested = type(field.schema)
        return (lambda values: [dump(nested, value) for value in values]) if field.many else lambda v: dump(nested, v)
    if isinstance(field, fields.List):
        inner = _converter(field.inner)
        return list if inner is None else lambda values: [None if v is None else inner(v) for v in values]
    return _text if isinstance(field, fields.String | fields.DateTime | fields.Date) else None


def _text(value: str | date) -> str:
    if isinstance(value, str):  # an enumeration's member
        return value
    if not isinstance(value, date):
        raise Undeclared(f"An answer has a {type(value).__name__}, which is no text, where a text is declared.")
    # A `datetime` is a `date` too.
    return write_moment(value) if isinstance(value, datetime) else value.isoformat()


def _refuse_surplus(schema: type[Schema], value: object) -> None:
    said = value.more if isinstance(value, Shown) else value if isinstance(value, Mapping) else {}
    if surplus := sorted(set(said) - {field.name for field in _fields_of(schema)}):
        raise Undeclared(f"An answer has {', '.join(surplus)}, which {schema.__name__} does not name.")
