"""A repetition after an upgrade is the same request though the new version knows more fields (rules L5, R3)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow import fields

from services.chassis.data import idempotency, tables
from services.chassis.data.db import Database
from services.chassis.data.testing import make_call, make_database
from services.chassis.data.unit import Unit
from services.chassis.errors import ServiceError
from services.chassis.fields import RequestSchema
from services.chassis.wrong_fields import load_request


class LineRequest(RequestSchema):
    """A line of yesterday's version."""

    item = fields.String(required=True)


class OldRequest(RequestSchema):
    """Yesterday's version."""

    name = fields.String(required=True)
    note = fields.String(load_default="")
    lines = fields.List(fields.Nested(LineRequest), load_default=list)


class NewLineRequest(LineRequest):
    """A line of today's version."""

    gift = fields.Boolean(load_default=False)


class NewRequest(OldRequest):
    """Today's version, with a field more in the request and in its lines."""

    color = fields.String(load_default="red", allow_none=True)
    lines = fields.List(fields.Nested(NewLineRequest), load_default=list)


SENT: dict[str, Any] = {"name": "n", "lines": [{"item": "i"}]}


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Any:
    made = make_database("projects", database_uri, tmp_path)
    yield made
    made.close()


def _run(database: Database, schema: type[RequestSchema], command_id: str, **sent: Any) -> dict[str, Any] | None:
    request = load_request(schema(), {**SENT, **sent})
    call = make_call(company="c", command_id=command_id)

    def work(unit: Unit) -> dict[str, Any]:
        return {"ran_by": schema.__name__}

    return database.command(call, "make", request, work)


def test_a_request_repeated_after_an_upgrade_gets_its_first_answer(database: Database) -> None:
    """Issue 6.4: a field with a default in a new version made a repetition another request."""
    assert _run(database, OldRequest, "one") == {"ran_by": "OldRequest"}
    assert _run(database, NewRequest, "one") == {"ran_by": "OldRequest"}
    assert _run(database, NewRequest, "one", color="red", note="") == {"ran_by": "OldRequest"}
    # While both versions run side by side it may come to the older one.
    assert _run(database, NewRequest, "two") == {"ran_by": "NewRequest"}
    assert _run(database, OldRequest, "two") == {"ran_by": "NewRequest"}


@pytest.mark.parametrize(
    "other", [{"color": "blue"}, {"color": None}, {"note": "n"}, {"lines": [{"item": "i", "gift": True}]}]
)
def test_what_differs_is_another_request(database: Database, other: dict[str, Any]) -> None:
    _run(database, OldRequest, "one")
    with pytest.raises(ServiceError) as refusal:
        _run(database, NewRequest, "one", **other)
    assert refusal.value.code == "idempotency.key_reused"


def test_what_an_earlier_version_stored_is_still_known(database: Database) -> None:
    _run(database, OldRequest, "one")
    full = {"name": "n", "note": "", "lines": [{"item": "i"}]}
    stored = hashlib.sha256(f"make\n{idempotency.canonical(full)}".encode()).hexdigest()
    database.write(lambda unit: unit.execute(sa.update(tables.idempotency).values(fingerprint=stored)))
    assert _run(database, OldRequest, "one") == {"ran_by": "OldRequest"}
