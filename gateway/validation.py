"""Turns body, path and query of a request into the arguments of an RPC, or refuses with pointers (rule S18).

The room makes the same check again when the call arrives (decision 22): here the client gets its 4xx before anything is
sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from marshmallow import fields

from gateway.messages import JSON, Request
from gateway.row import Row
from services.chassis.errors import invalid, not_found
from services.chassis.wrong_fields import entry, escaped, refusal_of, wrong_fields

_INTEGER: Final = re.compile(r"-?[0-9]{1,9}\Z")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}\Z")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_ESCAPES: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_MAX_PARAMETERS: Final = 50


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
    problems = [entry(f"/{escaped(name)}", "Unknown field.") for name in body if name not in row.body_names]
    known = {name: value for name, value in body.items() if name in row.body_names}
    arguments = {**known, **query, **path_values}
    if row.schema is not None:
        problems += _errors_of(row, arguments)
    if problems:
        raise refusal_of(problems)
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
    found = wrong_fields(row.schema, arguments)
    tops = [item["pointer"].split("/", 2)[1] if item["pointer"] else "" for item in found]
    # A path parameter of the wrong form cannot be an id of anything: the same answer as for an unknown one.
    if any(name in row.path_names for name in tops):
        raise not_found("request.not_found", "There is nothing at this address.")
    return [
        {**item, "pointer": f"?{item['pointer'][1:]}"} if name in row.query_names else item
        for name, item in zip(tops, found, strict=True)
    ]


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
            problems.append(entry(f"?{name}", "Unknown field."))
        elif not value:
            problems.append(entry(f"?{name}", "Must not be empty; leave the parameter out."))
        elif name in values:
            problems.append({"pointer": f"?{name}", "code": "field.repeated", "detail": "Must be given once."})
        else:
            values[name] = _typed(row.wire_fields.get(name), value)
    if problems:
        raise refusal_of(problems)
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
    if announced and request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise invalid("request.unsupported_media_type", "The body is compressed; send it as it is.", accepted=row.takes)
    if (announced or media_type) and media_type != row.takes:
        raise invalid(
            "request.unsupported_media_type",
            f"The body's media type is {media_type or 'missing'}; this address accepts {row.takes}.",
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
            "request.unsupported_media_type",
            "JSON bodies are accepted in UTF-8 only.",
            accepted=f"{JSON}; charset=utf-8",
        )
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise invalid("request.malformed_json", "The body is not JSON; send one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise invalid("request.invalid", "The body must be a JSON object.", errors=[entry("", "Not a valid object.")])
    # NUL and half surrogate pairs are legal escapes in JSON and cannot be stored as text.
    if _ESCAPES.search(body) and not _storable(value):
        raise invalid("request.malformed_json", "The body holds characters that are not text (NUL, half surrogates).")
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
