"""Routes of the catalogue (room licensing)."""

from __future__ import annotations

from gateway.row import Right, Row
from services.licensing import api

ROWS = (
    Row(
        "GET", "/v1/catalogue/device-types", "licensing", "list_device_types", Right.LOGIN,
        "List the device types with their maxima.",
        request=api.ListDeviceTypesRequest, answer=api.DeviceTypeList,
    ),
    Row(
        "GET", "/v1/catalogue/license-types", "licensing", "list_license_types", Right.LOGIN,
        "List the license types of a version, or all.",
        request=api.ListLicenseTypesRequest, answer=api.LicenseTypeList,
    ),
)  # fmt: skip
