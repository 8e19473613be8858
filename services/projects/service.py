"""The nameko class of projects: whom it calls, what it serves and listens to. No rules in here."""

from __future__ import annotations

from services.chassis.bus.rpc import Client
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves
from services.projects import commands, deletion, merges, names, queries


@serves(
    queries.get_access,
    queries.list_projects,
    queries.get_project,
    queries.get_selected_project,
    queries.list_rights,
    commands.ensure_default,
    commands.create_project,
    commands.update_project,
    commands.select_project,
    commands.add_right,
    commands.remove_right,
    deletion.close_project,
    deletion.reopen_project,
    deletion.delete_closed_project,
    merges.rehearse_merge,
)
class ProjectsService:
    """Projects of companies, and which other companies may work in them."""

    name = "projects"
    database = DatabaseProvider()
    accounts = Client("accounts")
    relay = Relay()
    events = EventsLeaf("devices", "licensing", "history")
    health = Health()

    @subscribe("licensing")
    def on_licensing_events(self, unit: Unit, events: list[Event]) -> None:
        """End the deletions that licensing has settled."""
        deletion.apply_licensing_events(unit, events)

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Learn the names of companies, and give the projects of an imported one to the importing one (ACC-6)."""
        names.apply_accounts_events(unit, events)
        merges.apply_accounts_events(unit, events)
