"""Routes of devices, warranty and the devices of an order (room devices)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.devices import api
from services.projects.api import ADD, MANAGE_DEVICES, SEE

ROWS = (
    Row(
        "POST", "/v1/devices", "devices", "add_devices", Right.COMPANY,
        "Add devices to a project by list, range, text or order number, with a result for each line.",
        power=ADD, request=api.AddDevicesRequest, answer=api.AddDevicesAnswer, dry_run=True,
        errors=("devices.too_many", "devices.range_invalid", "devices.order_not_found", "projects.not_found"),
    ),
    Row(
        "GET", "/v1/devices", "devices", "list_devices", Right.COMPANY,
        "List the devices of a project, or of all own projects.",
        power=SEE, request=api.ListDevicesRequest, answer=api.DeviceList,
    ),
    Row(
        "GET", "/v1/devices/{device_id}", "devices", "get_device", Right.COMPANY,
        "Show a device and what the caller may do with it.",
        power=SEE, compose=compose.device, request=api.DeviceRequest, answer=api.DeviceWithActions,
        errors=("devices.device_not_found",),
    ),
    Row(
        "PATCH", "/v1/devices/{device_id}", "devices", "update_device", Right.COMPANY,
        "Change the comments of a device; what is absent stays.",
        power=ADD, request=api.UpdateDeviceRequest, answer=api.Device,
        errors=("devices.device_not_found", "request.stale"),
    ),
    Row(
        "DELETE", "/v1/devices/{device_id}", "devices", "delete_device", Right.COMPANY,
        "Take a device out of the company; its licenses stay with it.",
        power=MANAGE_DEVICES, request=api.DeleteDeviceRequest, status=204,
        errors=("devices.device_not_found", "access.power_needed", "request.stale"),
    ),
    Row(
        "POST", "/v1/device-moves", "devices", "move_devices", Right.COMPANY,
        "Take devices to another project of the same company, with a result for each.",
        power=MANAGE_DEVICES, request=api.MoveDevicesRequest, answer=api.MoveDevicesAnswer, dry_run=True,
        errors=("projects.not_found",),
    ),
    Row(
        "GET", "/v1/warranty", "devices", "check_warranty", Right.LOGIN,
        "Tell type, warranty and RMA mark of any device by its hardware id; never who has it.",
        request=api.HardwareRequest, answer=api.WarrantyAnswer,
        errors=("devices.malformed_id", "devices.not_found", "devices.throttled"),
    ),
    Row(
        "GET", "/v1/orders/{number}/devices", "devices", "list_order_devices", Right.COMPANY,
        "List the devices of an order; to know its number is to be allowed to.",
        request=api.ListOrderDevicesRequest, answer=api.OrderDevices,
        errors=("devices.order_not_found", "devices.throttled"),
    ),
)  # fmt: skip
