"""The catalogue as everybody may see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import not_found
from services.chassis.paging import Listing
from services.licensing.store.catalogue import get_catalogue


def list_device_types(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """List all device types with their maxima.

    Raises: request.invalid for a cursor of elsewhere.
    """
    known = enumerate(get_catalogue(database).device_types.values())
    page, following = Listing(call, "list_device_types", request).cut(known, lambda item: item[0])
    items = [
        {
            "device_type": model.id,
            "category": model.category,
            "warranty_months": model.warranty_months,
            "maxima": dict(model.maxima),
            "origin": model.origin,
        }
        for _, model in page
    ]
    return {"items": items, "next": following}


def list_license_types(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """List all license types, or those of one version.

    Raises: licensing.version_unknown, request.invalid for a cursor of elsewhere.
    """
    catalogue, version = get_catalogue(database), request["version"]
    if version is not None:
        refuse_unknown_version(catalogue.versions(), version)
    chosen = [
        (place, t)
        for place, t in enumerate(catalogue.license_types.values())
        if version is None or t.version == version
    ]
    page, following = Listing(call, "list_license_types", request).cut(chosen, lambda item: item[0])
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
        for _, t in page
    ]
    return {"items": items, "next": following}


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
