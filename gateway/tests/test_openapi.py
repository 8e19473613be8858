"""The OpenAPI document: valid, complete, and true to the rows; the page that shows it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re

from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.codes import all_codes
from gateway.openapi import document
from gateway.routes import ROWS
from gateway.row import Right
from gateway.tests.conftest import Gateway


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
        assert "default" in operation["responses"]
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
