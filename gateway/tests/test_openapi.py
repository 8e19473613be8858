"""The OpenAPI document: valid, complete, and true to the rows; the page that shows it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.codes import all_codes
from gateway.openapi import document
from gateway.responses import codes_of
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from gateway.tests.test_rows import path_of, token_of
from services.chassis.errors import unavailable
from tests.openapi.answers import validator_of


def test_the_document_is_valid_openapi_3_1() -> None:
    spec = json.loads(json.dumps(document()))
    assert spec["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []


def test_every_row_is_an_operation_and_nothing_else_is() -> None:
    operations = {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {(row.method, row.path) for row in ROWS}
    assert len({operation["operationId"] for operation in operations.values()}) == len(ROWS)
    for row in ROWS:
        operation = operations[row.method, row.path]
        assert str(row.status) in operation["responses"]
        assert "default" not in operation["responses"], "a status that is not told is not given"
        assert bool(operation["security"]) is (row.right is not Right.NONE)
        names = {item["name"] for item in operation["parameters"]}
        assert {*row.path_names, *row.query_names} <= names
        assert ("Idempotency-Key" in names) is row.is_keyed


def test_bodies_refuse_unknown_fields_and_hide_what_the_gateway_fills_in() -> None:
    for row in ROWS:
        operation = document()["paths"][row.path][row.method.lower()]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        assert body["schema"]["additionalProperties"] is False
        assert set(body["schema"]["properties"]) == set(row.body_names)


def test_all_references_lead_somewhere() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in schemas


def test_the_document_and_its_page_are_served(gateway: Gateway) -> None:
    answer = gateway.ask("GET", "/openapi.json", token=None)
    assert answer.body == json.loads(json.dumps(document()))
    assert (
        gateway.ask("GET", "/openapi.json", token=None, headers={"If-None-Match": answer.headers["etag"]}).status == 304
    )
    page = gateway.ask("GET", "/docs", token=None)
    assert page.headers["content-type"].startswith("text/html")
    html = page.content.decode()
    for row in ROWS:
        assert row.path.replace("{", "{") in html
    assert re.findall(r'(?:src|href)="(?!/|#)', html) == []
    assert "<script" not in html


def test_every_error_code_has_a_page(gateway: Gateway) -> None:
    for code in all_codes():
        answer = gateway.ask("GET", f"/problems/{code}", token=None, headers={"Accept-Language": "de"})
        assert answer.status == 200
        assert 'lang="de"' in answer.content.decode()
        assert "{" not in re.sub(r"<style>.*?</style>", "", answer.content.decode())


def operations() -> list[tuple[Any, dict[str, Any]]]:
    return [(row, document()["paths"][row.path][row.method.lower()]) for row in ROWS]


def test_operations_are_named_as_their_procedures() -> None:
    """Issue 6.5: operation ids were paths."""
    names = [operation["operationId"] for _, operation in operations()]
    assert names == [row.rpc for row in ROWS]
    assert len(set(names)) == len(names)


def test_patterns_are_those_of_every_tool() -> None:
    r"""Issue 6.5: `\Z` in patterns breaks every tool outside Python; ECMA-262 matches anywhere unless bound."""

    def patterns(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name == "pattern" and isinstance(inner, str):
                    yield inner
                else:
                    yield from patterns(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from patterns(inner)

    found = set(patterns(json.loads(json.dumps(document()))))
    assert found
    for pattern in found:
        assert pattern.startswith("^"), pattern
        assert pattern.endswith("$"), pattern
        assert not re.search(r"\\[AZz]|\(\?[P<#i]", pattern), pattern


def test_every_refusal_is_told_with_its_codes_and_headers() -> None:
    """Issue 6.5: media types, 4xx, headers and half of the error codes were missing."""
    for row, operation in operations():
        told = {
            code
            for status, response in operation["responses"].items()
            if status >= "400"
            for code in response["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
        }
        assert codes_of(row) == told, row.rpc
        assert {"request.invalid", "service.unavailable", "service.internal"} <= told
        for status, response in operation["responses"].items():
            headers = set(response["headers"])
            assert "X-Request-Id" in headers
            assert ("WWW-Authenticate" in headers) is (status == "401")
            assert ("Allow" in headers) is (status == "405")
            assert ("Retry-After" in headers) is (status in ("429", "503"))
        assert "401" in operation["responses"] or row.right is Right.NONE
        assert "404" in operation["responses"] or not row.path_names
        assert "412" in operation["responses"] or row.method not in ("PATCH", "PUT", "DELETE")
        success = set(operation["responses"][str(row.status)]["headers"])
        assert ("Idempotent-Replayed" in success) is row.is_keyed
        assert "Location" in success or row.location is None


def test_parameters_are_never_null() -> None:
    for _, operation in operations():
        for parameter in operation["parameters"]:
            assert isinstance(parameter["schema"].get("type", "string"), str), parameter
            assert parameter["schema"].get("default", "") is not None, parameter


def test_every_body_has_an_example_that_the_route_takes(gateway: Gateway) -> None:
    """Issue 6.5: by the document's own schema, and by the room's, whose rules no JSON schema can tell."""
    bodies = [(row, operation["requestBody"]) for row, operation in operations() if "requestBody" in operation]
    assert {row.rpc for row, _ in bodies} == {row.rpc for row in ROWS if row.raw is not None or row.body_names}
    for row, body in bodies:
        ((media_type, content),) = body["content"].items()
        example = content["example"]
        pointer = ("paths", row.path, row.method.lower(), "requestBody", "content", media_type, "schema")
        assert list(validator_of(*pointer).iter_errors(example)) == [], row.rpc
        if row.raw is not None:
            assert isinstance(example, str), row.rpc
            continue
        # Whatever the door lets pass reaches the room.
        gateway.rooms.on(row.service, row.rpc, unavailable())
        answer = gateway.ask(row.method, path_of(row), example, token=token_of(gateway, row))
        assert answer.status == 503, (row.rpc, answer.content)
        assert len(gateway.rooms.named(row.rpc)) == 1, row.rpc


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_what_a_query_parameter_tells_of_itself_is_what_the_door_takes(gateway: Gateway, row: Row) -> None:
    """An empty parameter is refused, so no text may have 0 characters and no default may be empty."""
    operation = document()["paths"][row.path][row.method.lower()]
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        if parameter["in"] != "query":
            continue
        if schema["type"] == "string":
            assert schema["minLength"] >= 1, parameter
        if "default" in schema:
            validator = Draft202012Validator(schema)
            assert [error.message for error in validator.iter_errors(schema["default"])] == [], parameter
            said = urlencode({parameter["name"]: json.dumps(schema["default"]).strip('"')})
            answer = gateway.ask(row.method, f"{path_of(row)}?{said}", token=token_of(gateway, row))
            refused = answer.body.get("errors", []) if answer.status == 422 else []
            assert [item for item in refused if item["pointer"] == f"?{parameter['name']}"] == []
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    for name, schema in body.get("properties", {}).items():
        if "default" in schema:
            assert list(Draft202012Validator(schema).iter_errors(schema["default"])) == [], name
