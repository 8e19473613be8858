"""The OpenAPI 3.1 document, made from the same rows that serve the requests; nothing in it is written by hand twice."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin, resolver
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema

from gateway import examples
from gateway.formats import portable, with_formats
from gateway.messages import JSON
from gateway.refusals import PROBLEM
from gateway.responses import HEADERS, codes_of, responses_of
from gateway.routes import ROWS
from gateway.row import Right, Row

VERSION: Final = "1.0.0"
_DESCRIPTION: Final = (
    "Licenses for devices: companies, projects, activation keys, balances, devices and their signed license files. "
    "Errors are problem documents whose `code` never changes its meaning. Lists give `next`, the cursor of the next "
    "page. Writes take an Idempotency-Key: the same key and body get the first answer again. The JSON Schema of an "
    "event's data is served, without a login, at the address that the event names as `dataschema`."
)
_RIGHTS: Final = {
    Right.NONE: "No login is needed.",
    Right.LOGIN: "A login is needed.",
    Right.COMPANY: "A login in a company (or of staff) is needed.",
    Right.ADMIN: "An administrator of the company is needed.",
    Right.STAFF: "Staff of the vendor are needed.",
    Right.DEVICE: "HTTP Basic with the portal account, or a token of scope `device`, is needed.",
}
_RECENT: Final = (
    " The login, or a confirmation by POST /v1/sessions/current/confirmations, must be of the last ten minutes; API "
    "tokens are refused."
)
RECENT_CODES: Final = ("accounts.login_needed", "accounts.confirmation_needed")
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"},
    "If-Match": {"type": "string"},
    "If-None-Match": {"type": "string"},
    "Accept-Language": {"type": "string", "examples": ["de"]},
}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of all rows."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    spec = APISpec(
        title="Tessera", version=VERSION, openapi_version="3.1.0", plugins=[plugin], info={"description": _DESCRIPTION}
    )
    spec.components.schema("Problem", PROBLEM)
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})
    converter = plugin.converter
    assert converter is not None
    operations: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        operations.setdefault(row.path, {})[row.method.lower()] = _operation(row, converter)
    for path, methods in operations.items():
        spec.path(path=path, operations=methods)
    made: dict[str, Any] = portable(spec.to_dict())
    schemas = made["components"]["schemas"]
    made["components"]["schemas"] = {name: with_formats(schema) for name, schema in schemas.items()}
    made["components"]["headers"] = HEADERS
    made["servers"] = [{"url": "/", "description": "This installation."}]
    made["tags"] = [{"name": name} for name in sorted({_tag(row) for row in ROWS})]
    made["info"]["license"] = {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"}
    return made


def _schema_name(schema: Any) -> str:
    """Return the component's name: the room's schemas keep theirs, equal names of two rooms are told apart."""
    name = str(resolver(schema))
    cls = schema if isinstance(schema, type) else type(schema)
    room = cls.__module__.split(".")[1] if cls.__module__.startswith("services.") else ""
    return name if room in ("", "chassis") else f"{room.capitalize()}{name}"


def _operation(row: Row, converter: OpenAPIConverter) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": row.operation_id,
        "summary": row.summary,
        "description": _RIGHTS[row.right],
        "tags": [_tag(row)],
        "parameters": [*_parameters(row, converter), *_header_parameters(row)],
        "responses": responses_of(row),
        "security": _security(row),
    }
    if row.power is not None:
        operation["x-power"] = row.power
    operation["x-error-codes"] = sorted(codes_of(row))
    if row.recent:
        operation["x-recent-login"] = True
        operation["description"] += _RECENT
    if (body := _body(row, converter)) is not None:
        operation["requestBody"] = body
    return operation


def _tag(row: Row) -> str:
    parts = row.path.strip("/").split("/")
    return "device door" if parts[0] == "device" else parts[1]


def _parameters(row: Row, converter: OpenAPIConverter) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for name in (*row.path_names, *sorted(row.query_names)):
        field = row.wire_fields.get(name)
        schema: dict[str, Any] = (
            {"type": "boolean"} if field is None else _without_null(converter.field2property(field))
        )
        in_path = name in row.path_names
        schema = schema if in_path else _never_empty(schema)
        parameters.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path or bool(field is not None and field.required),
                "schema": schema,
            }
        )
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema; what is not said is left out of an address, there is no null in it."""
    kept = {name: value for name, value in schema.items() if name != "default" or value is not None}
    if isinstance(kept.get("type"), list):
        (kept["type"],) = [name for name in kept["type"] if name != "null"]
    return kept


def _never_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a query parameter's schema; the room may take an empty text, the door refuses it (`validation.py`)."""
    if schema.get("type") != "string":
        return schema
    kept = {name: value for name, value in schema.items() if name != "default" or value != ""}
    return {**kept, "minLength": max(1, kept.get("minLength", 1))}


def _header_parameters(row: Row) -> list[dict[str, Any]]:
    names = ["Accept-Language"]
    if row.is_keyed:
        names.append("Idempotency-Key")
    if row.method in ("PATCH", "PUT", "DELETE"):
        names.append("If-Match")
    if not row.is_write and row.right is not Right.NONE:
        names.append("If-None-Match")
    return [{"name": name, "in": "header", "required": False, "schema": _HEADERS[name]} for name in names]


def _body(row: Row, converter: OpenAPIConverter) -> dict[str, Any] | None:
    if row.raw is not None:
        content = {"schema": {"type": "string"}, "example": examples.body_of(row)}
        return {"required": True, "content": {row.takes: content}}
    if not row.body_names or row.request is None or row.schema is None:
        return None
    names = [name for name, field in row.schema.fields.items() if (field.data_key or name) in row.body_names]
    schema: Schema = row.request(only=names)
    return {
        "required": any(schema.fields[name].required for name in names),
        "content": {JSON: {"schema": _json_schema(converter, schema), "example": examples.body_of(row)}},
    }


def _json_schema(converter: OpenAPIConverter, schema: Schema) -> dict[str, Any]:
    made: dict[str, Any] = converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]
    return made


def _security(row: Row) -> list[dict[str, list[str]]]:
    if row.right is Right.NONE:
        return []
    return [{"bearer": []}, {"basic": []}] if row.right is Right.DEVICE else [{"bearer": []}]
