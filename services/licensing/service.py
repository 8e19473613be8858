"""The nameko class of licensing: what it serves, whom it calls, what it listens to. No rules in here."""

from __future__ import annotations

from typing import Any, Final

from nameko.timer import timer

from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.fields import EmptyRequest
from services.chassis.service.entrypoints import rpc
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf, KeyStoreProvider, SettingsProvider
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves
from services.licensing import api
from services.licensing.commands import authority, certificates, files, possession, returns
from services.licensing.commands.assign import assign_licenses
from services.licensing.commands.corrections import correct_balance
from services.licensing.commands.deletion import delete_project, settle_abandoned
from services.licensing.commands.device_lines import take_back
from services.licensing.commands.events import on_devices_events, on_projects_events
from services.licensing.commands.floating import remove_floating, set_floating
from services.licensing.commands.keys import activate_key
from services.licensing.commands.merges import on_accounts_events, rehearse_merge
from services.licensing.commands.orders import enter_order
from services.licensing.commands.resuming import finish_resumed, resume_orders
from services.licensing.queries.balance import get_balance
from services.licensing.queries.catalogue import list_device_types, list_license_types
from services.licensing.queries.keys import get_order, list_activations, list_orders
from services.licensing.queries.licenses import get_license_options, list_device_licenses
from services.licensing.store.waiting import WAITING

SECONDS_BETWEEN_LOOKS: Final = 5


@serves(
    files.issue_license_file,
    files.get_license_file,
    files.fetch_device_file,
    returns.return_licenses,
    returns.return_device_licenses,
    certificates.request_certificate,
    certificates.request_device_certificate,
    certificates.list_certificates,
    certificates.revoke_certificate,
    authority.signing_keys,
    authority.device_ca,
    authority.device_crl,
    possession.prove_possession,
    possession.get_possession,
)
class LicensingService:
    """Catalogue, ledger, activation keys, licenses of devices, license files, device certificates."""

    name = "licensing"
    database = DatabaseProvider()
    keystore = KeyStoreProvider()
    settings = SettingsProvider()
    accounts = Client("accounts")
    projects = Client("projects")
    devices = Client("devices", vouches=("confirm_possession",))
    relay = Relay()
    events = EventsLeaf("projects", "devices", "history")
    health = Health(WAITING)

    @rpc(api.ListDeviceTypesRequest)
    def list_device_types(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the device types of the catalogue with their maxima (LIC-12)."""
        return list_device_types(self.database, call, request)

    @rpc(api.ListLicenseTypesRequest)
    def list_license_types(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the license types of the catalogue, of one version or all (LIC-12).

        Raises: licensing.version_unknown.
        """
        return list_license_types(self.database, call, request)

    @rpc(api.EnterOrderRequest)
    def enter_order(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Enter an order of the vendor and make its activation key, by staff (ACC-10).

        Raises: accounts.staff_needed, licensing.order_empty, licensing.order_exists, licensing.license_type_unknown,
            licensing.device_type_unknown, devices.malformed_order_number, devices.malformed_id,
            devices.repeated_in_request, devices.order_changed, devices.in_other_order.
        Emits: order_entered.
        """
        return enter_order(self.database, call, request, devices=self.devices)

    @rpc(api.ListOrdersRequest)
    def list_orders(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List orders, newest first, by staff.

        Raises: accounts.staff_needed, request.invalid.
        """
        return list_orders(self.database, call, request)

    @rpc(api.OrderRequest)
    def get_order(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show an order, by staff; never its key.

        Raises: accounts.staff_needed, licensing.order_not_found.
        """
        return get_order(self.database, call, request)

    @rpc(api.ActivateKeyRequest)
    def activate_key(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Add an activation key to a project, or rehearse it (BAL-2).

        Raises: projects.not_found, access.power_needed, projects.archived, projects.closed, licensing.key_mistyped,
            licensing.key_unknown, licensing.key_used, licensing.key_cancelled, licensing.key_expired,
            licensing.too_many_keys_tried.
        Emits: activation_key_redeemed.
        """
        return activate_key(self.database, call, request, projects=self.projects)

    @rpc(api.ListActivationsRequest)
    def list_activations(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the keys added to a project or to all own ones (BAL-3).

        Raises: projects.not_found, request.invalid.
        """
        return list_activations(self.database, call, request, projects=self.projects, accounts=self.accounts)

    @rpc(api.GetBalanceRequest)
    def get_balance(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show the balance of a project or of all own ones together (BAL-1).

        Raises: projects.not_found.
        """
        return get_balance(self.database, call, request, projects=self.projects)

    @rpc(api.CorrectBalanceRequest)
    def correct_balance(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Correct a project's balance by a posting with a reason, by staff (ACC-10).

        Raises: accounts.staff_needed, projects.not_found, access.power_needed, projects.archived, projects.closed,
            licensing.license_type_unknown, licensing.insufficient_balance.
        Emits: balance_corrected.
        """
        return correct_balance(self.database, call, request, projects=self.projects)

    @rpc(api.GetLicenseOptionsRequest)
    def get_license_options(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List what a device can get of a version, with stock, installed and maximum (LIC-1).

        Raises: devices.device_not_found, licensing.version_unknown, licensing.version_not_offered.
        """
        return get_license_options(self.database, call, request, devices=self.devices)

    @rpc(api.ListDeviceLicensesRequest)
    def list_device_licenses(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List what is on a device and how its license file stands (LIC-5).

        Raises: devices.device_not_found.
        """
        return list_device_licenses(self.database, call, request, devices=self.devices)

    @rpc(api.AssignLicensesRequest)
    def assign_licenses(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Put licenses on a device, or rehearse it (LIC-1 to LIC-3).

        Raises: devices.device_not_found, projects.not_found, access.power_needed, licensing.license_type_unknown,
            licensing.version_not_offered, licensing.device_rma, licensing.rule_violated,
            licensing.insufficient_balance, licensing.source_not_usable.
        Emits: licenses_assigned.
        """
        return assign_licenses(self.database, call, request, devices=self.devices, projects=self.projects)

    @rpc(api.LineRequest)
    def take_back(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take an assignment back in full while no real file was issued for it (LIC-13).

        Raises: devices.device_not_found, access.power_needed, licensing.line_not_found, licensing.line_not_yours,
            licensing.file_issued.
        Emits: licenses_taken_back.
        """
        return take_back(self.database, call, request, devices=self.devices)

    @rpc(api.SetFloatingRequest)
    def set_floating(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give a device the floating license of a version (LIC-4).

        Raises: devices.device_not_found, access.power_needed, licensing.version_unknown,
            licensing.version_not_offered, licensing.device_rma, licensing.rule_violated,
            licensing.insufficient_balance, licensing.file_issued.
        Emits: floating_license_set, floating_license_removed.
        """
        return set_floating(self.database, call, request, devices=self.devices, projects=self.projects)

    @rpc(api.DeviceRequest)
    def remove_floating(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take the floating license off a device (LIC-4).

        Raises: devices.device_not_found, access.power_needed, licensing.line_not_found, licensing.file_issued.
        Emits: floating_license_removed.
        """
        return remove_floating(self.database, call, request, devices=self.devices, projects=self.projects)

    @rpc(EmptyRequest)
    def rehearse_merge(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the gateway what the import of another company would do to balance and keys (ACC-6).

        Raises: accounts.scope_needed.
        """
        return rehearse_merge(self.database, call)

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Give balances and keys of a company that was imported to the importing one (ACC-6).

        Emits: company_merge_applied.
        """
        on_accounts_events(unit, events)

    @rpc(api.DeleteProjectRequest)
    def delete_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Delete a project that has no devices, activation keys, rights and balance (PRJ-4).

        Raises: projects.not_found, access.power_needed, projects.not_empty, projects.closed,
            devices.project_closed.
        """
        return delete_project(self.database, call, request, devices=self.devices, projects=self.projects)

    @timer(interval=SECONDS_BETWEEN_LOOKS)
    def settle_abandoned_deletions(self) -> None:
        """Settle what a process that ended has left half-way, in whichever room (L8).

        Emits: project_deletion_settled.
        """
        self.database.write(settle_abandoned)

    @timer(interval=SECONDS_BETWEEN_LOOKS)
    def resume_orders(self) -> None:
        """Let orders go on that a process which ended has left half-way (L8).

        Emits: order_entered, order_resumed.
        """
        resume_orders(self.database)

    @subscribe("devices")
    def on_devices_events(self, unit: Unit, events: list[Event]) -> None:
        """Tell who paid for licenses on a device that another company added it (S9); finish resumed orders (ACC-10).

        Emits: paid_device_used_elsewhere, certificate_revoked, order_entered, order_refused.
        """
        on_devices_events(unit, events)
        finish_resumed(self.database, unit, events)

    @subscribe("projects")
    def on_projects_events(self, unit: Unit, events: list[Event]) -> None:
        """Keep the copies of projects up to date."""
        on_projects_events(unit, events)
