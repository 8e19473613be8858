"""Routes of the licenses of a device (room licensing)."""

from __future__ import annotations

from gateway.row import Right, Row
from services.licensing import api
from services.projects.api import ADD, MANAGE_DEVICES, SEE

ROWS = (
    Row(
        "GET", "/v1/devices/{device_id}/license-options", "licensing", "get_license_options", Right.COMPANY,
        "List the license types of a version that fit the device and are in stock.",
        power=SEE, request=api.GetLicenseOptionsRequest, answer=api.LicenseOptionList,
    ),
    Row(
        "GET", "/v1/devices/{device_id}/licenses", "licensing", "list_device_licenses", Right.COMPANY,
        "List what is installed on a device, what of it can be returned, and the state of its license file.",
        power=SEE, request=api.ListDeviceLicensesRequest, answer=api.DeviceLicenses,
    ),
    Row(
        "POST", "/v1/devices/{device_id}/licenses", "licensing", "assign_licenses", Right.COMPANY,
        "Put licenses on a device, drawn from its project first and then from `sources` as listed.",
        power=ADD, request=api.AssignLicensesRequest, answer=api.AssignedLicenses, status=201, dry_run=True,
    ),
    Row(
        "DELETE", "/v1/devices/{device_id}/licenses/{line_id}", "licensing", "take_back", Right.COMPANY,
        "Take back an assignment for which no real license file was issued yet.",
        power=MANAGE_DEVICES, request=api.LineRequest, status=204,
    ),
    Row(
        "PUT", "/v1/devices/{device_id}/floating-license", "licensing", "set_floating", Right.COMPANY,
        "Set the floating license of a slave PBX.",
        power=ADD, request=api.SetFloatingRequest, answer=api.AssignedLicenses,
    ),
    Row(
        "DELETE", "/v1/devices/{device_id}/floating-license", "licensing", "remove_floating", Right.COMPANY,
        "Remove the floating license.",
        power=ADD, request=api.DeviceRequest, status=204,
    ),
)  # fmt: skip
