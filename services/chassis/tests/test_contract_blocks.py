"""Settings, errors, ids and field types: what is wrong is named, and nothing else than the stated range passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from services.chassis import errors, fields
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.chassis.settings import Settings, SettingsError
from services.chassis.texts import Text


class Sample(fields.RequestSchema):
    """All field types at once."""

    name = Text(1, 10)
    id = fields.Id()
    quantity = fields.Quantity()
    flag = fields.Flag()
    limit = fields.Limit()


def _load(**values: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = Sample().load(values)
    return loaded


def test_defaults_are_those_of_the_contract() -> None:
    settings = Settings.from_environment({})
    assert settings.http == ("127.0.0.1", 8000)
    assert settings.admin_http == ("127.0.0.1", 8001)
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.is_embedded
    assert settings.service_database_uri("licensing") == f"sqlite:///{Path('.data').absolute()}/licensing.sqlite3"
    assert settings.demo is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TESSERA_HTTP", "8000"),
        ("TESSERA_HTTP", "host:99999"),
        ("TESSERA_HTTP", "host:٣"),
        ("TESSERA_DEMO", "perhaps"),
        ("TESSERA_AMQP_URI", "http://user:secret@host"),
        ("TESSERA_DATABASE_URI", "mysql://user:secret@host/db"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_its_secrets(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refusal:
        Settings.from_environment({name: value})
    assert "secret" not in str(refusal.value)


def test_an_error_is_four_strings_and_comes_back_whole() -> None:
    error = errors.conflict("a.b", "No.", missing=3)
    assert all(isinstance(part, str) for part in error.args)
    again = ServiceError(*json.loads(json.dumps(error.args)))
    assert (again.kind, again.code, again.extra, again.status) == ("conflict", "a.b", {"missing": 3}, 409)


@pytest.mark.parametrize(("code", "status"), [*errors.STATUS_BY_CODE.items(), ("licensing.key_mistyped", 422)])
def test_the_status_of_a_wrong_request_follows_its_code(code: str, status: int) -> None:
    assert errors.invalid(code, "x").status == status


@pytest.mark.parametrize("kind", sorted(errors.STATUS_BY_KIND))
def test_only_refusals_are_final(kind: str) -> None:
    expected = kind in {"invalid", "forbidden", "not_found", "conflict", "stale"}
    assert ServiceError(kind, "a.b").is_final is expected


def test_ids_are_uuid_version_7_and_rise_with_time() -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)
    moment = datetime.fromtimestamp(int(ids[0].replace("-", "")[:12], 16) / 1000, UTC)
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=10)
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


@pytest.mark.parametrize(
    "values",
    [
        {"unknown": 1},
        {"quantity": "5"},
        {"quantity": 5.0},
        {"quantity": True},
        {"quantity": 0},
        {"quantity": 1_000_001},
        {"quantity": None},
        {"flag": "true"},
        {"flag": 1},
        {"limit": 201},
        {"limit": "all"},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 11},
        {"name": "a\x00b"},
        {"name": 5},
        {"id": "1"},
        {"id": "0190A5E5-0000-7000-8000-000000000000"},
        {"id": "0190a5e5-0000-7000-8000-000000000000\n"},
    ],
)
def test_values_outside_the_contract_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        _load(**values)
    assert isinstance(refusal.value.messages, dict)
    assert set(refusal.value.messages) == set(values)


def test_values_inside_the_contract_are_loaded() -> None:
    one = new_id()
    assert _load(name="  Ada ", id=one, quantity=5, flag=False) == {
        "name": "Ada", "id": one, "quantity": 5, "flag": False, "limit": 50,
    }  # fmt: skip


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "id", "quantity", "flag", "limit", "other"]), _json))
def test_any_json_is_loaded_or_refused_and_nothing_else(values: dict[str, Any]) -> None:
    try:
        loaded = Sample().load(values)
    except ValidationError:
        return
    assert set(values) <= {"name", "id", "quantity", "flag", "limit"}
    assert 1 <= loaded.get("quantity", 1) <= fields.MAX_QUANTITY
