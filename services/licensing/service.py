"""The nameko class of licensing: what it serves, whom it calls, what it listens to. No rules in here."""

from __future__ import annotations

from typing import Final

from nameko.timer import timer

from services.chassis.bus.rpc import Client
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf, KeyStoreProvider, SettingsProvider
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves
from services.licensing.commands import (
    assign,
    authority,
    certificates,
    corrections,
    deletion,
    device_lines,
    events,
    files,
    floating,
    keys,
    merges,
    orders,
    possession,
    resuming,
    returns,
)
from services.licensing.queries import balance, catalogue, licenses
from services.licensing.queries import keys as listed
from services.licensing.store.waiting import WAITING

SECONDS_BETWEEN_LOOKS: Final = 5


@serves(
    catalogue.list_device_types,
    catalogue.list_license_types,
    orders.enter_order,
    listed.list_orders,
    listed.get_order,
    keys.activate_key,
    listed.list_activations,
    balance.get_balance,
    corrections.correct_balance,
    licenses.get_license_options,
    licenses.list_device_licenses,
    assign.assign_licenses,
    device_lines.take_back,
    floating.set_floating,
    floating.remove_floating,
    deletion.delete_project,
    merges.rehearse_merge,
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

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Give balances and keys of a company that was imported to the importing one (ACC-6)."""
        merges.apply_accounts_events(unit, events)

    @subscribe("projects")
    def on_projects_events(self, unit: Unit, told: list[Event]) -> None:
        """Keep the copies of projects up to date."""
        events.apply_projects_events(unit, told)

    @subscribe("devices")
    def on_devices_events(self, unit: Unit, told: list[Event]) -> None:
        """Tell who paid for licenses on a device that another company added it (S9); finish resumed orders (ACC-10)."""
        events.apply_devices_events(unit, told)
        resuming.apply_devices_events(self.database, unit, told)

    @timer(interval=SECONDS_BETWEEN_LOOKS)
    def settle_abandoned_deletions(self) -> None:
        """Settle what a process that ended has left half-way, in whichever room (L8)."""
        self.database.write(deletion.settle_abandoned)

    @timer(interval=SECONDS_BETWEEN_LOOKS)
    def resume_orders(self) -> None:
        """Let orders go on that a process which ended has left half-way (L8)."""
        resuming.resume_orders(self.database)
