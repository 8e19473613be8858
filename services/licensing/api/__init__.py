"""The published contract of licensing: all that other rooms may import.

`catalogue` has the types, `keys` orders, activation keys and balances, `licenses` what is on a device,
`files` license files, returns and certificates, `possession` of devices,
`merges` imports of companies, `projects` their deletion.
How licensing decides and books does not belong here.
"""

from __future__ import annotations

from typing import Final

from marshmallow import Schema

from services.chassis.fields import RequestSchema
from services.licensing.api import catalogue, file_errors, files, keys, licenses, merges, possession, projects
from services.licensing.api.catalogue import (
    DeviceType,
    DeviceTypeList,
    LicenseType,
    LicenseTypeId,
    LicenseTypeList,
    ListDeviceTypesRequest,
    ListLicenseTypesRequest,
    Version,
)
from services.licensing.api.keys import (
    ActivateKeyRequest,
    Activation,
    AddedKey,
    AddedKeyList,
    Balance,
    BalanceCorrection,
    CorrectBalanceRequest,
    EnterOrderRequest,
    GetBalanceRequest,
    ListActivationsRequest,
    ListOrdersRequest,
    Order,
    OrderList,
    OrderRequest,
)
from services.licensing.api.licenses import (
    RULES,
    AssignedLicenses,
    AssignLicensesRequest,
    DeviceLicenses,
    DeviceRequest,
    GetLicenseOptionsRequest,
    InstalledLine,
    LicenseOption,
    LicenseOptionList,
    LineRequest,
    ListDeviceLicensesRequest,
    SetFloatingRequest,
    TakenBack,
)
from services.licensing.api.merges import MergeRehearsed, MovingBalance, MovingKeys
from services.licensing.api.projects import DeleteProjectRequest

__all__ = [
    "ERRORS",
    "EVENTS",
    "REQUESTS",
    "RULES",
    "ActivateKeyRequest",
    "Activation",
    "AddedKey",
    "AddedKeyList",
    "AssignLicensesRequest",
    "AssignedLicenses",
    "Balance",
    "BalanceCorrection",
    "CorrectBalanceRequest",
    "DeleteProjectRequest",
    "DeviceLicenses",
    "DeviceRequest",
    "DeviceType",
    "DeviceTypeList",
    "EnterOrderRequest",
    "GetBalanceRequest",
    "GetLicenseOptionsRequest",
    "InstalledLine",
    "LicenseOption",
    "LicenseOptionList",
    "LicenseType",
    "LicenseTypeId",
    "LicenseTypeList",
    "LineRequest",
    "ListActivationsRequest",
    "ListDeviceLicensesRequest",
    "ListDeviceTypesRequest",
    "ListLicenseTypesRequest",
    "ListOrdersRequest",
    "MergeRehearsed",
    "MovingBalance",
    "MovingKeys",
    "Order",
    "OrderList",
    "OrderRequest",
    "SetFloatingRequest",
    "TakenBack",
    "Version",
]

ERRORS: Final[dict[str, str]] = {
    **catalogue.ERRORS,
    **keys.ERRORS,
    **licenses.ERRORS,
    **file_errors.ERRORS,
    **possession.ERRORS,
}
"""Code -> one English sentence: what it means and what to do."""

REQUESTS: Final[dict[str, type[RequestSchema]]] = {
    "list_device_types": ListDeviceTypesRequest,
    "list_license_types": ListLicenseTypesRequest,
    "enter_order": EnterOrderRequest,
    "list_orders": ListOrdersRequest,
    "get_order": OrderRequest,
    "activate_key": ActivateKeyRequest,
    "list_activations": ListActivationsRequest,
    "get_balance": GetBalanceRequest,
    "correct_balance": CorrectBalanceRequest,
    "delete_project": DeleteProjectRequest,
    "get_license_options": GetLicenseOptionsRequest,
    "list_device_licenses": ListDeviceLicensesRequest,
    "assign_licenses": AssignLicensesRequest,
    "take_back": LineRequest,
    "set_floating": SetFloatingRequest,
    "remove_floating": DeviceRequest,
    **files.REQUESTS,
    **possession.REQUESTS,
}
"""RPC -> schema of its request."""

EVENTS: Final[dict[str, type[Schema]]] = {
    **keys.EVENTS,
    **licenses.EVENTS,
    **files.EVENTS,
    **merges.EVENTS,
    **projects.EVENTS,
}
"""Event type -> schema of its data."""
