"""The catalogue as shipped: what the published contract promises is in the data, and the tables hold the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import ServiceError
from services.licensing.domain.catalogue import expand
from services.licensing.tests.world import World

DATA = json.loads((Path(__file__).parents[1] / "catalogue.json").read_text())
TYPES, MODELS, VERSIONS = expand(DATA)
BY_ID = {license_type.id: license_type for license_type in TYPES}
MODEL = {model.id: model for model in MODELS}
SIZES = (10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000)


@pytest.mark.parametrize("version", [5, 6, 7])
@pytest.mark.parametrize(("kind", "title"), [("pbx", "PBX"), ("voicemail", "Voicemail"), ("standby", "Standby")])
def test_every_size_and_upgrade_is_there(version: int, kind: str, title: str) -> None:
    for size in SIZES:
        assert BY_ID[f"{kind}{version}-{size}"].name == f"{title}{version}#{size}"
        for start in (start for start in SIZES if start < size):
            assert BY_ID[f"{kind}{version}-{size}-from-{start}"].name == f"{title}{version}#{size}@{start}"


@pytest.mark.parametrize(
    ("license_type", "name"),
    [
        ("registrations7", "Registrations7"),
        ("pbx7-slave", "PBX7#0"),
        ("channels7", "Channels7"),
        ("gatekeeper6", "Gatekeeper6"),
        ("port8", "PORT8"),
        ("port8-20", "PORT8*20"),
        ("voicemail8", "Voicemail8"),
        ("fax8", "Fax8"),
        ("warranty-year", "Warranty-Year"),
        ("ssa-year", "SSA-Year"),
    ],
)
def test_trade_names(license_type: str, name: str) -> None:
    assert BY_ID[license_type].name == name


@pytest.mark.parametrize(
    ("model", "license_type", "maximum"),
    [
        ("IP6000", "channels7", 60),
        ("IP6000", "pbx7-2000", 2000),
        ("IP6000", "registrations7", 2000),
        ("IP302", "channels7", 0),
        ("IP302", "port8", 50),
        ("IP800", "bris6", 5),
        ("IP800", "port8-20", 20),
        ("IP38", "pbx7-10", 0),
        ("IP110", "channels7", 0),
        ("IP110", "warranty-year", 4),
        ("IP54", "port8", 0),
    ],
)
def test_maxima_of_models(model: str, license_type: str, maximum: int) -> None:
    assert MODEL[model].maximum(BY_ID[license_type]) == maximum


def test_only_licenses_of_version_8_and_later_for_a_pbx_are_returnable() -> None:
    assert {t.id for t in TYPES if t.returnable} == {
        t.id for t in TYPES if t.category == "pbx" and t.version is not None and t.version >= 8
    }


def test_shipped_versions_are_all_offered() -> None:
    assert VERSIONS == {5: True, 6: True, 7: True, 8: True}


def test_lists_show_the_data(world: World) -> None:
    everything: list[dict[str, Any]] = []
    cursor = None
    while cursor is not None or not everything:
        page = world.ask("list_license_types", world.admin(), limit=200, cursor=cursor)
        everything, cursor = everything + page["items"], page["next"]
    assert [item["license_type"] for item in everything] == [license_type.id for license_type in TYPES]
    eight = world.ask("list_license_types", world.admin(), version=8)["items"]
    assert {item["version"] for item in eight} == {8}
    models: dict[str, Any] = {
        item["device_type"]: item for item in world.ask("list_device_types", world.admin())["items"]
    }
    assert models["IP6000"]["maxima"]["pbx"] == 2000
    assert {item["origin"] for item in models.values()} == {"default"}


def test_an_unknown_version_is_told(world: World) -> None:
    with pytest.raises(ServiceError) as refusal:
        world.ask("list_license_types", world.admin(), version=9)
    assert refusal.value.code == "licensing.version_unknown"
