"""The catalogue as everybody may see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.chassis.context import Call
from services.chassis.db import Database
from services.chassis.errors import not_found
from services.licensing.store.catalogue import get_catalogue


def list_device_types(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """List all device types with their maxima."""
    del call, request
    items = [
        {
            "device_type": model.id,
            "category": model.category,
            "warranty_months": model.warranty_months,
            "maxima": dict(model.maxima),
            "origin": model.origin,
        }
        for model in get_catalogue(database).device_types.values()
    ]
    return {"items": items, "next": None}


def list_license_types(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """List all license types, or those of one version.

    Raises: licensing.version_unknown.
    """
    del call
    catalogue, version = get_catalogue(database), request["version"]
    if version is not None:
        refuse_unknown_version(catalogue.versions(), version)
    items = [
        {
            "license_type": t.id,
            "name": t.name,
            "version": t.version,
            "kind": t.kind,
            "measure": t.measure,
            "category": t.category,
            "size": t.size,
            "from_size": t.from_size,
            "returnable": t.returnable,
            "movable": t.movable,
            "offered": catalogue.is_offered(t),
        }
        for t in catalogue.license_types.values()
        if version is None or t.version == version
    ]
    return {"items": items, "next": None}


def refuse_unknown_version(versions: frozenset[int], version: int) -> None:
    """Refuse a version that no license type is of.

    Raises: licensing.version_unknown.
    """
    if version not in versions:
        raise not_found(
            "licensing.version_unknown",
            f"There are no licenses of version {version}: choose one of {', '.join(map(str, sorted(versions)))}.",
            versions=sorted(versions),
        )
