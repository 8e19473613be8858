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
    ),
    Row(
        "PATCH", "/v1/devices/{device_id}", "devices", "update_device", Right.COMPANY,
        "Change the comments of a device; absent fields stay as they are.",
        power=ADD, request=api.UpdateDeviceRequest, answer=api.Device,
    ),
    Row(
        "DELETE", "/v1/devices/{device_id}", "devices", "delete_device", Right.COMPANY,
        "Take a device out of the company; its licenses stay with it.",
        power=MANAGE_DEVICES, request=api.DeleteDeviceRequest, status=204,
    ),
    Row(
        "POST", "/v1/device-moves", "devices", "move_devices", Right.COMPANY,
        "Move devices to another project of the same company, with a result for each.",
        power=MANAGE_DEVICES, request=api.MoveDevicesRequest, answer=api.MoveDevicesAnswer, dry_run=True,
    ),
    Row(
        "GET", "/v1/warranty", "devices", "check_warranty", Right.LOGIN,
        "Show type, warranty and RMA mark of any device by its hardware id; never who has it.",
        request=api.HardwareRequest, answer=api.WarrantyAnswer,
    ),
    Row(
        "GET", "/v1/orders/{number}/devices", "devices", "list_order_devices", Right.COMPANY,
        "List the devices of an order; whoever knows its number may.",
        request=api.ListOrderDevicesRequest, answer=api.OrderDevices,
    ),
)  # fmt: skip
