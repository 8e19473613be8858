"""Turns body, path and query of a request into the arguments of an RPC, or refuses with pointers (rule S18).

The room checks the same schema again when the call arrives: here the client gets its 4xx before anything is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from marshmallow import ValidationError, fields

from gateway.messages import JSON, Request
from gateway.row import Row
from services.chassis.errors import ServiceError, invalid, not_found

_INTEGER: Final = re.compile(r"-?[0-9]{1,9}\Z")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}\Z")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_ESCAPES: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_MAX_PARAMETERS: Final = 50
_MAX_ERRORS: Final = 50

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


def arguments_of(row: Row, path_values: Mapping[str, str], request: Request) -> dict[str, Any]:
    """Return the RPC arguments of a request, as they stand on the wire.

    Args:
        row: the route.
        path_values: decoded path parameters.
        request: the request; its body is read here and not before.

    Raises:
        request.malformed_json, request.unsupported_media_type, request.too_large: the body cannot be taken.
        request.not_found: a path parameter can be nobody's id.
        request.invalid: a field is wrong; `errors` names each.
    """
    query = _query_of(row, request.query)
    body = _body_of(row, request)
    # Also what the room knows but takes from elsewhere: a body must not set what path, query or connection say.
    problems = [_entry(f"/{_escape(name)}", "Unknown field.") for name in body if name not in row.body_names]
    known = {name: value for name, value in body.items() if name in row.body_names}
    arguments = {**known, **query, **path_values}
    if row.schema is not None:
        problems += _errors_of(row, arguments)
    if problems:
        raise _refusal(problems)
    return arguments


def command_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the client's Idempotency-Key, None when it sent none.

    Raises:
        request.bad_idempotency_key: it is empty, too long or not visible ASCII.
    """
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.match(key):
        raise invalid("request.bad_idempotency_key", "The Idempotency-Key must have 1 to 200 visible ASCII characters.")
    return key


def _errors_of(row: Row, arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    assert row.schema is not None
    try:
        row.schema.load(arguments)
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {"_schema": error.messages}
        # A path parameter of the wrong form cannot be an id of anything: the same answer as for an unknown one.
        if any(name in messages for name in row.path_names):
            raise not_found("request.not_found", "There is nothing at this address.") from None
        return list(_flatten("", messages, row.query_names))
    return []


def _flatten(prefix: str, messages: Any, query_names: frozenset[str] = frozenset()) -> Iterator[dict[str, str]]:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            if name == "_schema":
                pointer = prefix
            elif not prefix and name in query_names:
                pointer = f"?{name}"
            else:
                pointer = f"{prefix}/{_escape(name)}"
            yield from _flatten(pointer, inner)
    elif isinstance(messages, list):
        for message in messages:
            yield from _flatten(prefix, message)
    else:
        yield _entry(prefix, str(messages))


def _entry(pointer: str, message: str) -> dict[str, str]:
    code = next((code for start, code in _CODES if message.startswith(start)), "field.invalid")
    return {"pointer": pointer, "code": code, "detail": message}


def _escape(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _refusal(problems: list[dict[str, str]]) -> ServiceError:
    first = problems[0]
    place = first["pointer"] or "the request as a whole"
    return invalid("request.invalid", f"{place}: {first['detail']}", errors=problems[:_MAX_ERRORS])


def _query_of(row: Row, query: str) -> dict[str, Any]:
    if not query:
        return {}
    values: dict[str, Any] = {}
    problems: list[dict[str, str]] = []
    parts = query.split("&")
    if len(parts) > _MAX_PARAMETERS:
        raise invalid("request.invalid", f"The query has more than {_MAX_PARAMETERS} parameters.")
    for part in filter(None, parts):
        raw_name, _, raw_value = part.partition("=")
        name, value = _decoded(raw_name), _decoded(raw_value)
        if name is None or value is None:
            problems.append({"pointer": "?", "code": "field.invalid", "detail": "Must be printable UTF-8."})
        elif name not in row.query_names:
            problems.append(_entry(f"?{name}", "Unknown field."))
        elif not value:
            problems.append(_entry(f"?{name}", "Must not be empty; leave the parameter out."))
        elif name in values:
            problems.append({"pointer": f"?{name}", "code": "field.repeated", "detail": "Must be given once."})
        else:
            values[name] = _typed(row.wire_fields.get(name), value)
    if problems:
        raise _refusal(problems)
    return values


def _decoded(text: str) -> str | None:
    try:
        decoded = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _UNPRINTABLE.search(decoded) else decoded


def _typed(field: fields.Field[Any] | None, value: str) -> Any:
    """Return a query parameter as the JSON value that its field expects; what does not fit stays text."""
    if isinstance(field, fields.Integer) and _INTEGER.match(value):
        return int(value)
    if field is None or isinstance(field, fields.Boolean):
        return _BOOLEANS.get(value, value)
    return value


def _body_of(row: Row, request: Request) -> dict[str, Any]:
    if not row.is_write or row.method == "DELETE":
        if request.headers.get("content-length", "0") != "0" and request.read_body():
            raise invalid("request.invalid", f"{row.method} takes no body here; leave it out.")
        return {}
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    announced = request.headers.get("content-length", "0") != "0"
    if (announced or media_type) and media_type != row.takes:
        raise invalid(
            "request.unsupported_media_type",
            f"The body's media type is {media_type or 'missing'}; this address takes {row.takes}.",
            accepted=row.takes,
        )
    body = request.read_body() if announced else b""
    if row.raw is not None:
        return {row.raw: _text_of(body)}
    if not body and not row.body_names:
        return {}
    return _json_of(body, parameters)


def _text_of(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid("request.invalid", "The body is not text in UTF-8.") from None


def _json_of(body: bytes, parameters: str) -> dict[str, Any]:
    charset = parameters.lower().replace(" ", "").replace('"', "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise invalid(
            "request.unsupported_media_type", "JSON bodies are taken in UTF-8 only.", accepted=f"{JSON}; charset=utf-8"
        )
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise invalid("request.malformed_json", "The body is not JSON; send one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise invalid("request.invalid", "The body must be a JSON object.", errors=[_entry("", "Not a valid object.")])
    # NUL and half surrogate pairs are legal escapes in JSON and cannot be stored as text.
    if _ESCAPES.search(body) and not _storable(value):
        raise invalid("request.malformed_json", "The body holds characters that are no text (NUL, half surrogates).")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _storable(value: Any) -> bool:
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text
