"""The catalogue as everybody may see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.chassis.answers import Page, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import not_found
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.licensing import api
from services.licensing.store.catalogue import get_catalogue


@query(request=api.ListDeviceTypesRequest, answer=api.DeviceTypeList)
def list_device_types(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """List all device types with their maxima (LIC-12)."""
    known = enumerate(get_catalogue(database).device_types.values())
    page, following = Listing(call, "list_device_types", request).cut(known, lambda item: item[0])
    return Page([shown(model, device_type=model.id) for _, model in page], following)


@query(request=api.ListLicenseTypesRequest, answer=api.LicenseTypeList, raises=("licensing.version_unknown",))
def list_license_types(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """List all license types, or those of one version (LIC-12)."""
    catalogue, version = get_catalogue(database), request["version"]
    if version is not None:
        refuse_unknown_version(catalogue.versions(), version)
    chosen = [
        (place, t)
        for place, t in enumerate(catalogue.license_types.values())
        if version is None or t.version == version
    ]
    page, following = Listing(call, "list_license_types", request).cut(chosen, lambda item: item[0])
    return Page([shown(t, license_type=t.id, offered=catalogue.is_offered(t)) for _, t in page], following)


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
