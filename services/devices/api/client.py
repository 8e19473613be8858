"""What other rooms can ask of devices; `services.devices.fake` implements it in memory."""

from __future__ import annotations

from typing import Any, Protocol

from services.chassis.context import Call


class DevicesClient(Protocol):
    """What other rooms can ask of devices; every answer is the dictionary of the schema named."""

    def add_devices(self, call: Call, **request: Any) -> dict[str, Any]:
        """Add devices to a project: `AddDevicesRequest` to `AddDevicesAnswer`."""

    def list_devices(self, call: Call, **request: Any) -> dict[str, Any]:
        """List devices: `ListDevicesRequest` to `DeviceList`."""

    def get_device(self, call: Call, *, device_id: str) -> dict[str, Any]:
        """Show a device: `DeviceRequest` to `DeviceWithActions`."""

    def get_device_facts(self, call: Call, *, device_id: str) -> dict[str, Any]:
        """Tell what licensing needs to know: `DeviceRequest` to `DeviceFacts`; 404 `devices.device_not_found`."""

    def find_device(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Find the caller's company's record of a device: `HardwareRequest` to `DeviceFacts`; 404 without one."""

    def find_devices(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Find all records of a device that the caller may see: `HardwareRequest` to `FindDevicesAnswer`."""

    def prove_possession(self, call: Call, *, device_id: str, order_number: str) -> dict[str, Any]:
        """Prove possession by the order's number: `ProvePossessionRequest` to `PossessionAnswer`."""

    def confirm_possession(self, call: Call, *, device_id: str) -> dict[str, Any]:
        """Note a device's own proof, verified by licensing: `DeviceRequest` to `PossessionAnswer`."""

    def register_production(self, call: Call, **request: Any) -> dict[str, Any]:
        """Register the devices of an order (staff): `RegisterProductionRequest` to `RegisteredOrder`."""

    def close_project(self, call: Call, *, project_id: str, closing_id: str, dry_run: bool = False) -> dict[str, Any]:
        """Close a project for a deletion unless it has devices: `CloseProjectRequest` to `ClosedProject`."""

    def reopen_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Open a project again that this deletion closed: `ClosingRequest` to an empty answer."""

    def archive_project(self, call: Call, *, project_id: str, **changes: Any) -> dict[str, Any]:
        """Archive a project once it has no devices: `UpdateProjectRequest` to `Project`, both of projects."""

    def check_warranty(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Tell type, warranty and RMA mark of any device: `HardwareRequest` to `WarrantyAnswer`."""
