"""The deletion of a project, as licensing leads it: closed, then opened again or gone for good (PRJ-4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_READ, SCOPE_WRITE, Actor, needs
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import conflict, unavailable
from services.chassis.service.declare import command, handler
from services.chassis.service.running import run
from services.projects import api, store
from services.projects.api import no_project
from services.projects.domain import CLOSED, MANAGE
from services.projects.queries import load, load_with_power
from services.projects.store import StoredProject


@command(
    request=api.CloseProjectRequest,
    answer=api.ProjectClosing,
    needs=(needs.LOGIN,),
    rehearsable=True,
    raises=("accounts.scope_needed", "projects.not_found", "access.power_needed", "projects.closed"),
)
def close_project(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Close an own project for a deletion, unless companies have rights in it; licensing asks this (PRJ-4).

    A closed project takes no device, key or right any more. With rights it stays as it is; the answer says how many.
    A rehearsal only counts.
    """
    actor = Actor.of(call)
    project_id, closing_id = request["project_id"], request["closing_id"]
    if request["dry_run"]:
        # Counting is also a step of a deletion, which a token that only writes may ask for.
        actor.require_scope(SCOPE_WRITE if SCOPE_WRITE in actor.scopes else SCOPE_READ)
        database.read(lambda connection: _manageable(connection, actor, project_id))
        return {"rights": database.read(lambda connection: store.count_rights(connection, project_id))}
    actor.require_scope(SCOPE_WRITE)

    def work(unit: Unit) -> dict[str, Any]:
        if unit.now.timestamp() > call.deadline:
            # Whoever asked has given the deletion up by now and opened everything again; this would close it for ever.
            raise unavailable("service.deadline_passed", "The request came too late and changed nothing; repeat it.")
        row = store.hold(unit, project_id)
        if row is not None and row.closing_id == closing_id and actor.owns(row.company_id):
            return {"rights": 0}
        row, _ = load_with_power(unit.connection, actor, project_id, MANAGE)
        rights = store.count_rights(unit.connection, row.id)
        if not rights:
            store.set_closing(unit, row.id, closing_id)
        return {"rights": rights}

    return run(database, call, request, work)


@command(request=api.ClosingRequest, needs=(needs.LOGIN,), raises=("projects.not_found",))
def reopen_project(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Open a project again that a deletion has closed; one that it has not closed is left alone."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        _own(unit, actor, request["project_id"])
        _settle(unit, request["closing_id"], deleted=False, actor_id=actor.user_id)

    run(database, call, request, work)


@command(
    request=api.ClosingRequest,
    needs=(needs.LOGIN,),
    raises=("projects.not_found", "projects.not_empty"),
    emits=("project_deleted",),
)
def delete_closed_project(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Delete a closed project for good, after every room counted nothing in it."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        row = _own(unit, actor, request["project_id"])
        if row.closing_id != request["closing_id"]:
            raise conflict("projects.not_empty", "The project was not closed for this deletion.")
        _settle(unit, request["closing_id"], deleted=True, actor_id=actor.user_id)

    run(database, call, request, work)


@handler(emits=("project_deleted",))
def apply_licensing_events(unit: Unit, events: Sequence[Event]) -> None:
    """Do what licensing decided about a deletion, when its call for it never came (L8); other events are not ours."""
    for event in events:
        if event.type == "project_deletion_settled":
            deleted = event.data["outcome"] == "deleted"
            _settle(unit, str(event.data["closing_id"]), deleted=deleted, actor_id=event.actorid)


def _settle(unit: Unit, closing_id: str, *, deleted: bool, actor_id: str | None) -> None:
    row = store.hold_closing(unit, closing_id)
    if row is None:
        # It was done before: by the call or by the event, whichever came first.
        return
    if not deleted:
        store.set_closing(unit, row.id, None)
        return
    store.remove(unit, row.id)
    data = {"project_id": row.id, "name": row.name, "state": "deleted", "version": row.version + 1}
    unit.emit(
        "project_deleted", subject=row.id, company_id=row.company_id, project_id=row.id, actor_id=actor_id, data=data
    )


def _own(unit: Unit, actor: Actor, project_id: str) -> StoredProject:
    row = store.hold(unit, project_id)
    if row is None or not actor.owns(row.company_id):
        raise no_project()
    return row


def _manageable(connection: Connection, actor: Actor, project_id: str) -> None:
    row, _ = load(connection, actor, project_id)
    if row.state != CLOSED or not actor.owns(row.company_id):
        load_with_power(connection, actor, project_id, MANAGE)
