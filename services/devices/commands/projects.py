"""Keep this room's copies of projects as their events tell, and close one for its deletion or its archiving (PRJ-4).

Whoever adds a device holds the project's row until it is counted here; whoever comes later finds it closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.accounts.api import SCOPE_READ, SCOPE_WRITE, Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict, unavailable
from services.chassis.ids import new_id
from services.chassis.service.declare import command, handler
from services.chassis.service.running import run
from services.devices import api, store
from services.devices.access import project_access, refuse_closed
from services.projects.api import (
    CLOSED,
    MANAGE,
    OPEN,
    Project,
    ProjectAccess,
    ProjectCopy,
    ProjectsClient,
    UpdateProjectRequest,
)

ARCHIVING_TAKES_AT_MOST: Final = timedelta(seconds=60)
"""Far longer than a call may last, so that the project is never open here while projects still archives it."""
_STATES = ("project_created", "project_changed")


@handler()
def apply_projects_events(unit: Unit, events: Sequence[Event]) -> None:
    """Store what events say about projects, so that no device is added to a closed one; other events are not ours."""
    for event in events:
        if event.companyid is None or event.type not in (*_STATES, "project_deleted"):
            continue
        state = CLOSED if event.type == "project_deleted" else str(event.data["state"])
        # Events of old carry no version.
        version = int(event.data.get("version", 0))
        copy = ProjectCopy(event.subject, event.companyid, str(event.data["name"]), state, version)
        store.put_project(unit.connection, copy)


@handler()
def apply_deletion_events(unit: Unit, events: Sequence[Event]) -> None:
    """Open projects again whose deletion licensing gave up; those that were deleted stay closed for ever."""
    for event in events:
        if event.type == "project_deletion_settled" and event.data["outcome"] != "deleted":
            store.end_closing(unit.connection, str(event.data["closing_id"]))


@command(
    request=api.CloseProjectRequest,
    answer=api.ClosedProject,
    needs=(needs.LOGIN,),
    rehearsable=True,
    raises=(*needs.WRITE.raises, "projects.not_found", "access.power_needed", "devices.project_closed"),
)
def close_project(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Close an own project for a deletion, in the transaction that counts its devices; with some it stays open (PRJ-4).

    A rehearsal only counts.
    """
    # Counting is also a step of a deletion, which a token that only writes may ask for.
    actor = Actor.of(call)
    actor.require_scope(SCOPE_READ if request["dry_run"] and SCOPE_WRITE not in actor.scopes else SCOPE_WRITE)
    access = _managed(database, call, request["project_id"], projects)
    if request["dry_run"]:
        return Answer(devices=database.read(lambda connection: store.count_records(connection, access.project.id)))

    def work(unit: Unit) -> dict[str, int]:
        if unit.now.timestamp() > call.deadline:
            # Whoever asked has given the deletion up by now and opened everything again; this would close it for ever.
            raise unavailable("service.deadline_passed", "The request came too late and changed nothing; repeat it.")
        return {"devices": _close(unit, access, request["closing_id"], None)}

    return run(database, call, request, work)


@command(
    request=api.ClosingRequest,
    needs=(needs.WRITE,),
    raises=("projects.not_found", "access.power_needed"),
)
def reopen_project(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Open a project again that this deletion closed here, because another room refused it (PRJ-4)."""
    _managed(database, call, request["project_id"], projects)

    return run(database, call, request, lambda unit: store.end_closing(unit.connection, request["closing_id"]))


@command(
    request=UpdateProjectRequest,
    answer=Project,
    needs=(needs.WRITE,),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.not_empty",
        "devices.project_closed",
        "projects.name_taken",
        "projects.archived",
        "projects.closed",
        "request.stale",
    ),
)
def archive_project(
    database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient
) -> Mapping[str, object]:
    """Archive an own project, with the other changes of the request, once it has no devices (PRJ-4).

    It is closed here while projects archives it, and at most a minute long should this be cut off.
    """
    access = _managed(database, call, request["project_id"], projects)
    if access.project.state != OPEN:
        # It takes no devices already; what else is to be said about it, projects says.
        return projects.update_project(call.derive("archive"), **request)

    def begin(unit: Unit) -> dict[str, Any]:
        _refuse_devices(store.count_records(unit.connection, access.project.id))
        return {"closing_id": new_id()}

    # What is stored is the first step, not the answer: a repetition goes on with the same closing.
    begun: Mapping[str, Any] = database.command(call, "archive_project", request, begin) or {}
    closing_id = str(begun["closing_id"])
    database.write(lambda unit: _close_for_archiving(unit, access, closing_id), call=call)
    try:
        archived = projects.update_project(call.derive("archive"), **request)
    except ServiceError as refusal:
        if refusal.is_final:
            database.write(lambda unit: store.end_closing(unit.connection, closing_id), call=call)
        raise
    copy = replace(access.project, name=archived["name"], state=archived["state"], version=archived["version"])

    def finish(unit: Unit) -> None:
        store.put_project(unit.connection, copy)
        store.end_closing(unit.connection, closing_id)

    database.write(finish, call=call)
    return archived


def _close_for_archiving(unit: Unit, access: ProjectAccess, closing_id: str) -> None:
    _refuse_devices(_close(unit, access, closing_id, unit.now + ARCHIVING_TAKES_AT_MOST))


def _close(unit: Unit, access: ProjectAccess, closing_id: str, until: datetime | None) -> int:
    """Close a project unless it has devices; returns how many it has."""
    store.keep_project(unit.connection, access.project)
    if not store.begin_closing(unit.connection, access.project.id, closing_id, until):
        refuse_closed(CLOSED)
    count = store.count_records(unit.connection, access.project.id)
    if count:
        store.end_closing(unit.connection, closing_id)
    return count


def _refuse_devices(count: int) -> None:
    if count:
        raise conflict(
            "projects.not_empty",
            f"The project has {count} devices: move or delete them first.",
            blockers={"devices": count},
        )


def _managed(database: Database, call: Call, project_id: str, projects: ProjectsClient) -> ProjectAccess:
    actor = Actor.of(call)
    access = project_access(database, call, actor, project_id, projects)
    # In a closed project nobody has a power any more, but its owner must be able to end what was begun.
    if not actor.owns(access.project.company_id) or access.project.state != CLOSED:
        access.require(MANAGE)
    return access
