"""The nameko class of devices: what it serves, whom it calls, what it listens to. No rules in here."""

from __future__ import annotations

from typing import Any

from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.fields import EmptyRequest
from services.chassis.service.entrypoints import rpc
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.devices import api, commands, queries
from services.projects.api import UpdateProjectRequest


class DevicesService:
    """What the vendor built, and which company has it where."""

    name = "devices"
    database = DatabaseProvider()
    projects = Client("projects")
    relay = Relay()
    events = EventsLeaf("licensing", "history")
    health = Health()

    @rpc(api.AddDevicesRequest)
    def add_devices(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Add devices to a project, or rehearse it; a result per line (DEV-2 to DEV-5).

        Raises: devices.too_many, devices.range_invalid, devices.malformed_id, devices.malformed_order_number,
            devices.order_not_found, devices.project_closed, access.power_needed, devices.throttled.
        Emits: device_added, device_added_elsewhere.
        """
        return commands.add_devices(self.database, call, request, projects=self.projects)

    @rpc(api.ListDevicesRequest)
    def list_devices(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the devices of a project or of all own ones (DEV-1).

        Raises: access.power_needed.
        """
        return queries.list_devices(self.database, call, request, projects=self.projects)

    @rpc(api.DeviceRequest)
    def get_device(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show a device with what the caller may do with it (DEV-6).

        Raises: devices.device_not_found.
        """
        return queries.get_device(self.database, call, request, projects=self.projects)

    @rpc(api.UpdateDeviceRequest)
    def update_device(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Change the comments of a device (DEV-6).

        Raises: devices.device_not_found, access.power_needed, request.stale.
        Emits: device_changed.
        """
        return commands.update_device(self.database, call, request, projects=self.projects)

    @rpc(api.DeleteDeviceRequest)
    def delete_device(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take a device out of the company; its licenses stay with it (DEV-6).

        Raises: devices.device_not_found, access.power_needed, request.stale.
        Emits: device_deleted.
        """
        return commands.delete_device(self.database, call, request, projects=self.projects)

    @rpc(api.MoveDevicesRequest)
    def move_devices(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take devices to another project of the company, or rehearse it; a result per device (DEV-6).

        Raises: access.power_needed, devices.project_closed.
        Emits: device_moved.
        """
        return commands.move_devices(self.database, call, request, projects=self.projects)

    @rpc(api.HardwareRequest)
    def check_warranty(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell type, warranty and RMA mark of any built device (DEV-7).

        Raises: devices.malformed_id, devices.not_found, devices.throttled.
        Emits: warranty_checked, warranty_checked_elsewhere.
        """
        return commands.check_warranty(self.database, call, request)

    @rpc(api.ListOrderDevicesRequest)
    def list_order_devices(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the devices of an order whose number the caller knows (DEV-2).

        Raises: devices.malformed_order_number, devices.order_not_found, devices.throttled.
        """
        return commands.list_order_devices(self.database, call, request)

    @rpc(api.ProvePossessionRequest)
    def prove_possession(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Prove possession of a device by its order's number; for licensing, which takes all proofs (DEV-15).

        Raises: devices.device_not_found, access.power_needed, devices.malformed_order_number,
            devices.order_not_found, devices.not_in_order, devices.throttled.
        Emits: device_possession_proven.
        """
        return commands.prove_possession(self.database, call, request, projects=self.projects)

    @rpc(api.DeviceRequest, vouched_by=("licensing",))
    def confirm_possession(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Note a proof that the device itself signed and licensing, which alone may call this, verified (DEV-15).

        Raises: devices.device_not_found, access.power_needed.
        Emits: device_possession_proven.
        """
        return commands.confirm_possession(self.database, call, request, projects=self.projects)

    @rpc(api.RegisterProductionRequest)
    def register_production(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Register the devices of an order, by staff through licensing (ACC-10).

        Raises: accounts.staff_needed, devices.malformed_id, devices.malformed_order_number,
            devices.repeated_in_request, devices.order_changed, devices.in_other_order.
        Emits: production_registered.
        """
        return commands.register_production(self.database, call, request)

    @rpc(api.UpdateProductionStaffRequest)
    def update_production_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Set the RMA mark of a device or take it off, or vouch for a possession, by staff (DEV-8, DEV-15).

        Raises: accounts.staff_needed, devices.malformed_id, devices.not_found, devices.device_not_found.
        Emits: device_marked_rma, device_unmarked_rma, device_possession_proven.
        """
        return commands.update_production_staff(self.database, call, request)

    @rpc(api.DeviceRequest)
    def get_device_facts(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell licensing what it needs to know about a device and the caller's powers over it.

        Raises: devices.device_not_found.
        """
        return queries.get_device_facts(self.database, call, request, projects=self.projects)

    @rpc(api.HardwareRequest)
    def find_device(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Find the record that is meant by a hardware id, the own company's before others'.

        Raises: devices.malformed_id, devices.device_not_found.
        """
        return queries.find_device(self.database, call, request, projects=self.projects)

    @rpc(api.HardwareRequest)
    def find_devices(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Find all records of a device that the caller sees.

        Raises: devices.malformed_id.
        """
        return queries.find_devices(self.database, call, request, projects=self.projects)

    @rpc(api.CloseProjectRequest)
    def close_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Close a project for a deletion unless it has devices; for licensing (PRJ-4).

        Raises: projects.not_found, access.power_needed, devices.project_closed.
        """
        return commands.close_project(self.database, call, request, projects=self.projects)

    @rpc(api.ClosingRequest)
    def reopen_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Open a project again whose deletion another room refused; for licensing (PRJ-4).

        Raises: projects.not_found, access.power_needed.
        """
        return commands.reopen_project(self.database, call, request, projects=self.projects)

    @rpc(UpdateProjectRequest)
    def archive_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Archive a project once it has no devices, with the other changes of the request (PRJ-4).

        Raises: projects.not_found, projects.not_empty, projects.name_taken, projects.archived, projects.closed,
            request.stale, access.power_needed, devices.project_closed.
        """
        return commands.archive_project(self.database, call, request, projects=self.projects)

    @rpc(EmptyRequest)
    def rehearse_merge(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the gateway what the import of another company would do to devices (ACC-6).

        Raises: accounts.scope_needed.
        """
        return commands.rehearse_merge(self.database, call)

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Give the records of a company that was imported to the importing one (ACC-6).

        Emits: device_merged, device_possession_proven, company_merge_applied.
        """
        commands.apply_accounts_events(unit, events)

    @subscribe("projects")
    def on_projects_events(self, unit: Unit, events: list[Event]) -> None:
        """Keep the copies of projects up to date."""
        commands.apply_project_events(unit, events)

    @subscribe("licensing")
    def on_licensing_events(self, unit: Unit, events: list[Event]) -> None:
        """Keep warranty and service dates up to date, open projects, register devices of orders that go on (ACC-10).

        Emits: production_registered, order_devices_settled.
        """
        commands.apply_licensing_events(unit, events)
        commands.apply_order_events(unit, events)
        commands.apply_deletion_events(unit, events)
