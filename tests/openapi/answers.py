"""Whether an answer is one that the OpenAPI document tells: status, code, media type, headers and body (Issue 6.5).

The document is made from the declarations and the answers come from the services, so each proves the other. What our
own answers hold and the document does not name is a fault as well, though clients are told to pass it over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote, unquote

import jsonschema_rs

from gateway.openapi import document

PROBLEM: Final = "application/problem+json"
#: Headers that mean something to clients: one that comes must be told, one that is told as required must come.
WATCHED: Final = (
    "etag",
    "location",
    "idempotent-replayed",
    "retry-after",
    "www-authenticate",
    "allow",
    "ratelimit",
    "ratelimit-policy",
    "x-error-code",
)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: The one form in which every service tells a time (api.md, "One word for one thing").
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[^\s]+")
_FORMATS: Final = {"uuid": _UUID, "date-time": _MOMENT, "date": _DAY, "email": _EMAIL, "uri": _URI}
_BASE: Final = "https://tessera.example/openapi.json"


def findings(
    method: str, target: str, status: int, headers: Mapping[str, str], content: bytes, *, body: bool = True
) -> list[str]:
    """Return what of an answer the document does not tell, one sentence each; nothing is right.

    Args:
        method: of the request.
        target: its path and query.
        status: of the answer.
        headers: of the answer, by names in any case.
        content: its body.
        body: whether the body of a success is looked at; not where a double made it.
    """
    path = target.partition("?")[0]
    if not path.startswith(("/v1/", "/device/v1/")):
        return []
    lower = {name.lower(): value for name, value in headers.items()}
    template = template_of(path)
    name = {"HEAD": "GET"}.get(method, method).lower()
    operation = document()["paths"].get(template or "", {}).get(name)
    if operation is None:
        return list(_of_no_operation(template, status, lower, content, silent=method == "HEAD"))
    told = operation["responses"].get(str(status))
    if told is None:
        return [f"the status {status} is not told; the body is {content[:300]!r}"]
    found = list(_headers(told, lower))
    if method == "HEAD" or status == 304:
        return found
    media_type = lower.get("content-type", "").partition(";")[0].strip()
    kinds = told.get("content", {})
    if not kinds:
        return found if not content else [*found, f"a body is not told: {content[:300]!r}"]
    if media_type not in kinds:
        return [*found, f"the media type {media_type!r} is not told, but {sorted(kinds)}"]
    if "x-error-code" in lower and lower["x-error-code"] not in _codes(told):
        found.append(f"the code {lower['x-error-code']} is not told for {status}, but {sorted(_codes(told))}")
    if media_type.endswith("json") and (body or status >= 400):
        found += _errors(str(template), name, str(status), media_type, content)
    return found


@cache
def template_of(path: str) -> str | None:
    """Return the path of the document that an address is of, None for none; a literal segment wins over a parameter."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if path.endswith("/") or "" in parts:
        return None
    best: tuple[list[bool], str] | None = None
    for template in document()["paths"]:
        shapes = template.strip("/").split("/")
        if len(shapes) != len(parts):
            continue
        if all(shape.startswith("{") or shape == part for shape, part in zip(shapes, parts, strict=True)):
            rank = ([not shape.startswith("{") for shape in shapes], template)
            best = rank if best is None or rank > best else best
    return best[1] if best is not None else None


def _of_no_operation(
    template: str | None, status: int, headers: Mapping[str, str], content: bytes, *, silent: bool
) -> Iterator[str]:
    """Tell what is wrong with the answer for an address or method that is in no row: only the door can refuse it."""
    codes = _door_codes() | ({"request.method_not_allowed"} if template is not None else {"request.not_found"})
    if status < 400:
        yield f"the status {status} for what is not in the document"
        return
    if (status == 405) is not ("allow" in headers):
        yield "Allow belongs to 405 and to nothing else"
    if silent:
        return
    code = headers.get("x-error-code") or json.loads(content).get("code")
    if code not in codes:
        yield f"the code {code} for what is not in the document"


@cache
def _door_codes() -> frozenset[str]:
    """Return what every operation can be refused with: those are the door's own."""
    operations = [methods[name] for methods in document()["paths"].values() for name in methods if name in _METHODS]
    return frozenset.intersection(*(frozenset(operation["x-error-codes"]) for operation in operations))


def _headers(told: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[str]:
    names = {name.lower(): _resolved(value) for name, value in told.get("headers", {}).items()}
    for name in WATCHED:
        if name in headers and name not in names:
            yield f"the header {name} is not told"
    for name, header in names.items():
        if header.get("required") and name not in headers:
            yield f"the header {name} is told as required and does not come"
        elif name in headers and not _fits(header["schema"], headers[name]):
            yield f"the header {name} is told as {header['schema']} and is {headers[name]!r}"


def _fits(schema: Mapping[str, Any], value: str) -> bool:
    if schema.get("type") == "integer":
        return value.isdigit() and int(value) >= schema.get("minimum", 0)
    return value in schema.get("enum", [value])


def _resolved(value: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        inner: Any = document()
        for part in value["$ref"].removeprefix("#/").split("/"):
            inner = inner[part.replace("~1", "/").replace("~0", "~")]
        value = inner
    return value


def _codes(told: Mapping[str, Any]) -> frozenset[str]:
    content = told.get("content", {})
    if PROBLEM not in content:
        return frozenset()
    return frozenset(content[PROBLEM]["schema"]["properties"]["code"]["enum"])


def _errors(template: str, method: str, status: str, media_type: str, content: bytes) -> list[str]:
    try:
        value = json.loads(content)
    except ValueError:
        return [f"the body is no JSON: {content[:300]!r}"]
    found = []
    for error in _validator(template, method, status, media_type).iter_errors(value):
        place = "/".join(str(part) for part in error.instance_path)
        found.append(f"the body is not as told at /{place}: {error.message[:500]}")
    return found


@cache
def _validator(template: str, method: str, status: str, media_type: str) -> Any:
    return validator_of("paths", template, method, "responses", status, "content", media_type, "schema")


def validator_of(*parts: str) -> Any:
    """Return what validates the values of the place in the document that these names lead to."""
    pointer = "/".join(quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in parts)
    return validator_at(f"#/{pointer}")


@cache
def validator_at(pointer: str) -> Any:
    """Return what validates the values of a place in the document, formats too, and refuses members without a name."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": _BASE + pointer},
        registry=_registry(),
        validate_formats=True,
        formats={name: _checker(pattern) for name, pattern in _FORMATS.items()},
    )


def _checker(pattern: re.Pattern[str]) -> Any:
    return lambda text: pattern.fullmatch(text) is not None


@cache
def _registry() -> Any:
    closed = _closed(json.loads(json.dumps(document())))
    return jsonschema_rs.Registry([(_BASE, closed)], draft=jsonschema_rs.Draft202012)


def _closed(value: Any) -> Any:
    """Return a schema that refuses members it does not name, as far as it names any."""
    if isinstance(value, list):
        return [_closed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    made = {name: _closed(inner) for name, inner in value.items()}
    if value.get("type") == "object" and isinstance(value.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made
