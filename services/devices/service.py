"""The nameko class of devices: what it serves, whom it calls, what it listens to. No rules in here."""

from __future__ import annotations

from services.chassis.bus.rpc import Client
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves
from services.devices import queries
from services.devices.commands import adding, licenses, lookups, merges, possession, production, projects, records


@serves(
    adding.add_devices,
    queries.list_devices,
    queries.get_device,
    records.update_device,
    records.delete_device,
    records.move_devices,
    lookups.check_warranty,
    lookups.list_order_devices,
    possession.prove_possession,
    possession.confirm_possession,
    production.register_production,
    production.update_production_staff,
    queries.get_device_facts,
    queries.find_device,
    queries.find_devices,
    projects.close_project,
    projects.reopen_project,
    projects.archive_project,
    merges.rehearse_merge,
)
class DevicesService:
    """What the vendor built, and which company has it where."""

    name = "devices"
    database = DatabaseProvider()
    projects = Client("projects")
    relay = Relay()
    events = EventsLeaf("licensing", "history")
    health = Health()

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Give the records of a company that was imported to the importing one (ACC-6)."""
        merges.apply_accounts_events(unit, events)

    @subscribe("projects")
    def on_projects_events(self, unit: Unit, events: list[Event]) -> None:
        """Keep the copies of projects up to date."""
        projects.apply_projects_events(unit, events)

    @subscribe("licensing")
    def on_licensing_events(self, unit: Unit, events: list[Event]) -> None:
        """Keep warranty and service dates up to date, open projects, register devices of orders that go on (ACC-10)."""
        licenses.apply_license_events(unit, events)
        production.apply_order_events(unit, events)
        projects.apply_deletion_events(unit, events)
