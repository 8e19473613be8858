"""The address that an event names as `dataschema` leads to the JSON Schema of its data, without a login."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jsonschema_rs import Draft202012Validator, meta

from gateway.event_schemas import EVENTS, event_schemas
from gateway.tests.conftest import Gateway
from services.chassis.data.outbox import event_row
from services.chassis.ids import new_id

TYPES = [(source, name) for source, types in EVENTS.items() for name in types]


@pytest.mark.parametrize(("source", "name"), TYPES)
def test_the_address_in_an_event_leads_to_its_schema(gateway: Gateway, source: str, name: str) -> None:
    """Issue 7.5: "the address in `dataschema` leads nowhere"."""
    named = json.loads(event_row(source, name, datetime.now(UTC), {"subject": new_id()}, {})["event"])["dataschema"]
    answer = gateway.ask("GET", named, token=None)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.headers["cache-control"].startswith("public")
    schema = json.loads(answer.content)
    assert (schema["$id"], schema["title"]) == (named, name)
    assert schema["description"]
    meta.validate(schema)
    again = gateway.ask("GET", named, token=None, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304


def test_an_address_of_no_event_is_not_found(gateway: Gateway) -> None:
    for path in ("/schemas/events/accounts/no_such_event/1", "/schemas/events/projects/project_created/2"):
        assert gateway.ask("GET", path, token=None).status == 404
    assert gateway.ask("POST", "/schemas/events/projects/project_created/1", {}, token=None).status == 405


def test_a_schema_tells_good_data_from_bad() -> None:
    schema = Draft202012Validator(event_schemas()["/schemas/events/licensing/licenses_assigned/1"])
    assert not schema.is_valid({})
    right = Draft202012Validator(event_schemas()["/schemas/events/projects/project_right_granted/1"])
    ids = {name: new_id() for name in ("project_id", "owner_company_id", "guest_company_id")}
    assert right.is_valid({**ids, "name": "Kassel"})
    assert right.is_valid({**ids, "name": "Kassel", "added_later": 1}), "readers ignore fields that they do not know"
    assert not right.is_valid({**ids, "name": 7})
