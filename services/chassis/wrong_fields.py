"""What is wrong with a request by its schema, field by field: one check and one translation, for door and rooms.

Both make it (decision 22): the door, so that nothing malformed gets further, and the room, which believes nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from marshmallow import Schema, ValidationError

from services.chassis.errors import ServiceError, invalid

_MOST: Final = 50

# marshmallow gives texts; clients need codes that never change. Texts that are not here get `field.invalid`.
_CODES: Final = (
    ("Missing data", "field.required"),
    ("Unknown field", "field.unknown"),
    ("Field may not be null", "field.null"),
    ("Not a valid", "field.type"),
    ("Invalid input type", "field.type"),
    ("Invalid type", "field.type"),
    ("Must be one of", "field.choice"),
    ("Must not be empty", "field.empty"),
    ("Must not contain", "field.characters"),
    ("Must have at least", "field.length"),
    ("Must have at most", "field.length"),
    ("Longer than", "field.length"),
    ("Shorter than", "field.length"),
    ("Length must be", "field.length"),
    ("Must be greater", "field.range"),
    ("Must be less", "field.range"),
)


def load_request(schema: Schema | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request loaded by its schema, or as it is when there is none.

    Raises:
        request.invalid: with `errors`, an entry for each wrong field.
    """
    if schema is None:
        return dict(values)
    try:
        loaded: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        raise refusal_of(list(_entries("", error.messages))) from None
    return loaded


def wrong_fields(schema: Schema, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return an entry for each wrong field, none if all are right."""
    try:
        schema.load(values)
    except ValidationError as error:
        return list(_entries("", error.messages))
    return []


def entry(pointer: str, said: str) -> dict[str, str]:
    """Return one entry of `errors`.

    Args:
        pointer: JSON pointer to the field, or `?name` for a parameter of a query; empty for the request as a whole.
        said: what is wrong with it, as marshmallow or the place that looked says it.
    """
    code = next((code for start, code in _CODES if said.startswith(start)), "field.invalid")
    return {"pointer": pointer, "code": code, "detail": said}


def refusal_of(entries: list[dict[str, str]]) -> ServiceError:
    """Return the refusal of a request with wrong fields; 50 of them are told."""
    first = entries[0]
    place = first["pointer"] or "the request as a whole"
    return invalid("request.invalid", f"{place}: {first['detail']}", errors=entries[:_MOST])


def escaped(name: Any) -> str:
    """Return a name as it stands in a JSON pointer (RFC 6901)."""
    return str(name).replace("~", "~0").replace("/", "~1")


def _entries(pointer: str, messages: Any) -> Iterator[dict[str, str]]:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from _entries(pointer if name == "_schema" else f"{pointer}/{escaped(name)}", inner)
    elif isinstance(messages, list):
        for message in messages:
            yield from _entries(pointer, message)
    else:
        yield entry(pointer, str(messages))
