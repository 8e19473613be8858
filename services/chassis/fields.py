"""marshmallow building blocks of the published contracts: strict, bounded, unknown fields refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, missing, post_load, validate

MAX_QUANTITY = 1_000_000
# Control characters, surrogates and the like have no place in names and comments.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# NUL and half surrogate pairs, which no database stores.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# RFC 3339; what Python reads besides (week dates, no seconds, any separator) is another standard's.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def read_moment(text: str) -> datetime:
    """Return a time that an interface took back, in UTC; for cursors, which come back as anybody likes.

    Raises:
        ValueError: no time, none with a zone, or outside of what UTC can say.
    """
    return _in_utc(datetime.fromisoformat(text))


def write_moment(moment: datetime) -> str:
    """Return a time in the one form of all answers and events, `2026-11-24T08:45:34.790Z` (api.md, "Conventions").

    Raises:
        ValueError: the time has no zone; nobody guesses one.
    """
    return _in_utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_text(value: Any) -> str:
    """Return a text that an interface took back and a database can compare; for cursors.

    Raises:
        ValueError: no text, or with characters that cannot be stored.
    """
    if not isinstance(value, str) or _UNPRINTABLE.search(value):
        raise ValueError("no text that could be stored")
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time outside of the years 1 to 9999") from None


class Loaded(dict[str, Any]):
    """A loaded request that knows the defaults of its schema.

    A repetition is the same request though a newer version knows more fields: those with their default do not count.
    """

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.defaults = defaults

    def but(self, values: Mapping[str, Any]) -> Loaded:
        """Return other values under the same defaults."""
        return Loaded(values, self.defaults)

    def told(self) -> dict[str, Any]:
        """Return the fields that say something else than their default."""
        return {
            name: value for name, value in self.items() if name not in self.defaults or self.defaults[name] != value
        }


class RequestSchema(Schema):
    """A request: unknown fields are refused (rule S18)."""

    class Meta:
        unknown = RAISE
        ordered = True

    @post_load
    def _remember_defaults(self, values: dict[str, Any], **_: Any) -> Loaded:
        return Loaded(values, _defaults_of(type(self)))


@cache
def _defaults_of(schema: type[Schema]) -> dict[str, Any]:
    return {
        field.attribute or name: field.load_default() if callable(field.load_default) else field.load_default
        for name, field in schema().load_fields.items()
        if field.load_default is not missing
    }


class AnswerSchema(Schema):
    """An answer or an event: unknown fields are ignored by who reads it."""

    class Meta:
        unknown = EXCLUDE
        ordered = True


class Opaque(fields.String):
    """What is compared or parsed and never shown as it came: secrets, codes, signed documents, pasted lists."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if _UNSTORABLE.search(text):
            raise ValidationError("Must not contain NUL or half surrogate pairs.")
        return text


class Id(fields.String):
    """An opaque id: a UUID in canonical lower-case text."""

    def __init__(self, **kwargs: Any) -> None:
        error = "Must be an id as this interface gives it out."
        metadata = {"format": "uuid", **kwargs.pop("metadata", {})}
        super().__init__(validate=validate.Regexp(_ID, error=error), metadata=metadata, **kwargs)


class Moment(fields.AwareDateTime):
    """A time with a zone, as it is in UTC; the first and the last hours of the calendar may not be there."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            if not isinstance(value, str) or not _MOMENT.fullmatch(value):
                raise ValueError("not RFC 3339")
            return read_moment(value.upper())
        except ValueError:
            raise ValidationError("Not a valid time; write it as 2026-11-24T08:45:34Z or with an offset.") from None


class Quantity(fields.Integer):
    """A number of licenses, 1 to 1,000,000; booleans, fractions and numbers in quotes are refused."""

    def __init__(self, maximum: int = MAX_QUANTITY, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(1, maximum), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Flag(fields.Boolean):
    """A true JSON boolean; words and numbers that mean one are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Limit(fields.Integer):
    """Page size of a list, 1 to 200, 50 when absent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, load_default=50, validate=validate.Range(1, 200), **kwargs)


class Cursor(fields.String):
    """Opaque position in a list, as the answer's `next` gave it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_default=None, allow_none=True, validate=validate.Length(max=512), **kwargs)


class ListRequest(RequestSchema):
    """The paging fields of every list."""

    limit = Limit()
    cursor = Cursor()


class EmptyRequest(RequestSchema):
    """A request without fields."""


class EmptyAnswer(AnswerSchema):
    """An answer without fields."""
