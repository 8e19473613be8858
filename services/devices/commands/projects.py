"""Keep this room's copies of projects as their events tell, and close one for its deletion (PRJ-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.db import Database, Unit
from services.chassis.outbox import Event
from services.devices import store
from services.devices.access import ProjectAccess, project_access
from services.projects.api import CLOSED, MANAGE, ProjectsClient

_STATES = ("project_created", "project_changed")


def apply_project_events(unit: Unit, events: Sequence[Event]) -> None:
    """Store what events say about projects, so that no device is added to a closed one; other events are not ours."""
    for event in events:
        if event.companyid is None or event.type not in (*_STATES, "project_deleted"):
            continue
        state = CLOSED if event.type == "project_deleted" else str(event.data["state"])
        store.put_project(unit.connection, event.subject, event.companyid, str(event.data["name"]), state)


def close_project(
    database: Database, call: Call, request: dict[str, Any], *, projects: ProjectsClient
) -> dict[str, Any]:
    """Close an own project for its deletion, in the transaction that counts its devices; with some it stays open.

    Raises: projects.not_found, devices.power_needed.
    """
    access = _managed(database, call, request["project_id"], projects)

    def work(unit: Unit) -> dict[str, Any]:
        store.keep_project(unit.connection, access.project_id, access.company_id, access.name, access.state)
        # Whoever adds a device holds the row until it is counted here; whoever comes later finds it closed.
        store.set_closing(unit.connection, access.project_id, closing=True)
        count = store.count_records(unit.connection, access.project_id)
        if count:
            store.set_closing(unit.connection, access.project_id, closing=False)
        return {"devices": count}

    answer = database.command(call, "close_project", request, work)
    assert answer is not None
    return answer


def reopen_project(
    database: Database, call: Call, request: dict[str, Any], *, projects: ProjectsClient
) -> dict[str, Any]:
    """Open a project again that was closed here, because another room refused its deletion.

    Raises: projects.not_found, devices.power_needed.
    """
    access = _managed(database, call, request["project_id"], projects)

    def work(unit: Unit) -> dict[str, Any]:
        store.set_closing(unit.connection, access.project_id, closing=False)
        return {}

    answer = database.command(call, "reopen_project", request, work)
    assert answer is not None
    return answer


def _managed(database: Database, call: Call, project_id: str, projects: ProjectsClient) -> ProjectAccess:
    actor = Actor.of(call)
    actor.require_scope("write")
    access = project_access(database, call, actor, project_id, projects)
    # In a closed project nobody has a power any more, but its owner must be able to end what was begun.
    if not actor.owns(access.company_id) or access.state != CLOSED:
        access.require(MANAGE)
    return access
