"""The nameko class of projects: what it serves, whom it calls, what it listens to. No rules in here."""

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
from services.projects import api, commands, merges, names, queries


class ProjectsService:
    """Projects of companies, and which other companies may work in them."""

    name = "projects"
    database = DatabaseProvider()
    accounts = Client("accounts")
    relay = Relay()
    events = EventsLeaf("devices", "licensing", "history")
    health = Health()

    @rpc(api.ProjectRequest)
    def get_access(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell what the caller is to a project and may do in it; for other rooms.

        Raises: projects.not_found.
        """
        return queries.get_access(self.database, call, request)

    @rpc(EmptyRequest)
    def ensure_default(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give the first project of the caller's company, making `DEFAULT` when there is none (PRJ-1).

        Raises: accounts.company_needed.
        Emits: project_created.
        """
        return commands.ensure_default(self.database, call, self.accounts)

    @rpc(api.ListProjectsRequest)
    def list_projects(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List own projects and foreign ones with a right (PRJ-1 to PRJ-3).

        Raises: accounts.company_needed.
        """
        return queries.list_projects(self.database, call, request, self.accounts)

    @rpc(api.ProjectRequest)
    def get_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show a project.

        Raises: projects.not_found.
        """
        return queries.get_project(self.database, call, request, self.accounts)

    @rpc(api.CreateProjectRequest)
    def create_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Make a project (PRJ-1).

        Raises: accounts.company_needed, accounts.scope_needed, projects.token_bound, projects.name_taken.
        Emits: project_created.
        """
        return commands.create_project(self.database, call, request, self.accounts)

    @rpc(api.UpdateProjectRequest)
    def update_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Rename, describe, archive or reopen a project (PRJ-1, PRJ-4).

        Raises: accounts.scope_needed, projects.not_found, access.power_needed, projects.name_taken,
            projects.archived, projects.closed, request.stale.
        Emits: project_changed.
        """
        return commands.update_project(self.database, call, request, self.accounts)

    @rpc(api.SelectProjectRequest)
    def select_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Remember the project chosen for all pages (PRJ-2).

        Raises: accounts.company_needed, projects.not_found, access.power_needed, projects.archived, projects.closed.
        """
        return commands.select_project(self.database, call, request)

    @rpc(EmptyRequest)
    def get_selected_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the project chosen for all pages (PRJ-2)."""
        return queries.get_selected_project(self.database, call)

    @rpc(api.ListRightsRequest)
    def list_rights(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the companies that may work in a project (PRJ-3).

        Raises: projects.not_found, access.power_needed.
        """
        return queries.list_rights(self.database, call, request, self.accounts)

    @rpc(api.AddRightRequest)
    def add_right(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Let the company of a user work in a project (PRJ-3).

        Raises: accounts.scope_needed, projects.not_found, access.power_needed, projects.archived,
            projects.closed, projects.user_without_company, projects.own_company, projects.company_ambiguous,
            accounts.too_many_attempts.
        Emits: project_right_granted.
        """
        return commands.add_right(self.database, call, request, self.accounts)

    @rpc(api.RemoveRightRequest)
    def remove_right(self, call: Call, request: dict[str, Any]) -> None:
        """End the right of a company in a project (PRJ-3).

        Raises: accounts.scope_needed, projects.not_found, access.power_needed, projects.right_not_found,
            projects.archived, projects.closed.
        Emits: project_right_removed.
        """
        commands.remove_right(self.database, call, request)

    @rpc(api.CloseProjectRequest)
    def close_project(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Close a project for a deletion unless companies have rights in it; for licensing (PRJ-4).

        Raises: accounts.scope_needed, projects.not_found, access.power_needed, projects.closed.
        """
        return commands.close_project(self.database, call, request)

    @rpc(api.ClosingRequest)
    def reopen_project(self, call: Call, request: dict[str, Any]) -> None:
        """Open a project again that a deletion closed; for licensing, when another room refused.

        Raises: projects.not_found.
        """
        commands.reopen_project(self.database, call, request)

    @rpc(api.ClosingRequest)
    def delete_closed_project(self, call: Call, request: dict[str, Any]) -> None:
        """Delete a closed project for good; for licensing, after every room counted nothing in it.

        Raises: projects.not_found, projects.not_empty.
        Emits: project_deleted.
        """
        commands.delete_closed_project(self.database, call, request)

    @rpc(EmptyRequest)
    def rehearse_merge(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the gateway what the import of another company would do to projects and rights (ACC-6).

        Raises: accounts.scope_needed.
        """
        return merges.rehearse_merge(self.database, call)

    @subscribe("licensing")
    def on_licensing_events(self, unit: Unit, events: list[Event]) -> None:
        """End the deletions that licensing has settled."""
        commands.apply_licensing_events(unit, events)

    @subscribe("accounts")
    def on_accounts_events(self, unit: Unit, events: list[Event]) -> None:
        """Learn the names of companies, and give the projects of an imported one to the importing one (ACC-6).

        Emits: project_changed, project_right_removed, project_right_passed, company_merge_applied.
        """
        names.apply_accounts_events(unit, events)
        merges.apply_accounts_events(unit, events)
