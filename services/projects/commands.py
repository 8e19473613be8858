"""The writes of projects: one function per write, one transaction each; what other rooms know is asked before."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_READ, SCOPE_WRITE, AccountsClient, Actor
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict, forbidden, invalid, not_found, stale, unavailable
from services.chassis.ids import new_id
from services.projects import store
from services.projects.api import no_project
from services.projects.domain import ARCHIVED, CLOSED, DEFAULT_NAME, MANAGE, OPEN, OWN, SEE, STAFF
from services.projects.merges import living_company
from services.projects.names import company_names
from services.projects.queries import access_to, load, load_with_power, project_answer, right_answer


def ensure_default(database: Database, call: Call, accounts: AccountsClient) -> dict[str, Any]:
    """Return the first project of the caller's company, making `DEFAULT` when there is none (PRJ-1).

    Raises: accounts.company_needed.
    Emits: project_created.
    """
    actor = Actor.of(call)

    def work(unit: Unit) -> Any:
        company_id = living_company(unit, actor)
        project_id = new_id()
        given = not store.claim_first(unit, company_id, project_id)
        row = store.oldest(unit.connection, company_id) if given else None
        if row is None:
            row = _create(unit, actor, company_id, project_id if not given else new_id(), DEFAULT_NAME, "")
        return row

    # Every call may repeat it, so it takes no command id.
    row = database.write(work, call=call)
    return project_answer(row, access_to(actor, row, OWN), company_names(database, call, accounts, [row.company_id]))


def create_project(
    database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient
) -> dict[str, Any]:
    """Make a project.

    Raises: accounts.company_needed, projects.token_bound, projects.name_taken.
    Emits: project_created.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    company_id = actor.require_company()
    if actor.project_id is not None:
        raise forbidden(
            "projects.token_bound",
            "This token is bound to one project and cannot make another: use one that is not bound.",
        )
    names = company_names(database, call, accounts, [company_id])

    def work(unit: Unit) -> dict[str, Any]:
        living_company(unit, actor)
        row = _create(unit, actor, company_id, new_id(), request["name"], request["description"])
        return project_answer(row, access_to(actor, row, OWN), names)

    return database.command(call, "create_project", request, work) or {}


def update_project(
    database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient
) -> dict[str, Any]:
    """Rename, describe, archive or reopen an own project; what is absent stays.

    Whether there are devices in it is devices' to say, which asks this with `archived` once it has counted none.

    Raises: projects.not_found, access.power_needed, projects.name_taken, projects.archived, projects.closed,
        request.stale.
    Emits: project_changed.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    names = company_names(database, call, accounts, [actor.company_id] if actor.company_id else [])

    def work(unit: Unit) -> dict[str, Any]:
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        if request.get("if_version") not in (None, row.version):
            raise stale("request.stale", "The project was changed since it was read: read it again.")
        changed = _changes(row, request)
        if changed and "state" not in changed:
            access.project.require_open()
        if changed:
            _change(unit, row, changed)
        row, access = load(unit.connection, actor, row.id)
        return project_answer(row, access, names)

    return database.command(call, "update_project", request, work) or {}


def select_project(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Remember the project chosen for all pages, per user and company (PRJ-2): an own one, or one with a right.

    Raises: accounts.company_needed, projects.not_found, access.power_needed for what only the vendor's staff see,
        projects.archived, projects.closed.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    project_id = request["project_id"]

    def work(unit: Unit) -> dict[str, Any]:
        living_company(unit, actor)
        if project_id is not None:
            # Held: a right that ends at this moment, or an archiving, takes the choice away too.
            store.hold(unit, project_id)
            _, access = load(unit.connection, actor, project_id)
            if access.relation == STAFF:
                raise forbidden(
                    "access.power_needed",
                    "Only projects of your own company, and those in which it has a right, can be chosen.",
                    power=SEE,
                )
            access.project.require_open()
        store.select(unit, actor.user_id, company_id, project_id)
        return {"project_id": project_id}

    return database.command(call, "select_project", request, work) or {}


def add_right(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> dict[str, Any]:
    """Let the company of the user with an e-mail address work in an own project (PRJ-3).

    Raises: projects.not_found, access.power_needed, projects.archived, projects.closed,
        projects.user_without_company, projects.own_company, projects.company_ambiguous, accounts.too_many_attempts.
    Emits: project_right_granted, for the owner and for the guest.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    # Whoever may not manage the project learns nothing about addresses.
    database.read(lambda connection: load_with_power(connection, actor, request["project_id"], MANAGE))
    # A repetition is no further look-up: those are counted.
    answer = database.answered(call, "add_right", request)
    if answer is not None:
        return answer
    found_id, guest_name = _guest(accounts.find_companies_by_email(call, email=request["email"]), request, actor)

    def work(unit: Unit) -> dict[str, Any]:
        # It may have been imported by another company since, even by the caller's own.
        guest_id = aliases.share(unit.connection, found_id)
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        if guest_id == row.company_id:
            raise _own_company()
        access.project.require_open()
        if store.add_right(unit, row.id, guest_id, actor.user_id):
            tell_right(unit, "project_right_granted", row, guest_id)
        right = store.right(unit.connection, row.id, guest_id)
        return right_answer(right, {guest_id: guest_name})

    return database.command(call, "add_right", request, work) or {}


def remove_right(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End the right of a company in an own project.

    Raises: projects.not_found, access.power_needed, projects.right_not_found, projects.archived, projects.closed.
    Emits: project_right_removed, for the owner and for the guest.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)

    def work(unit: Unit) -> None:
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        access.project.require_open()
        if not store.remove_right(unit, row.id, request["company_id"]):
            raise not_found("projects.right_not_found", "This company has no right in the project; list the rights.")
        tell_right(unit, "project_right_removed", row, request["company_id"])

    database.command(call, "remove_right", request, work)


def close_project(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Close an own project for a deletion, unless companies have rights in it; licensing asks this (PRJ-4).

    A closed project takes no device, key or right any more. With rights it stays as it is; the answer says how many.
    A rehearsal only counts.

    Raises: projects.not_found, access.power_needed, projects.closed for another deletion.
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

    return database.command(call, "close_project", request, work) or {}


def reopen_project(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Open a project again that a deletion has closed; one that it has not closed is left alone.

    Raises: projects.not_found.
    """
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        _own(unit, actor, request["project_id"])
        _settle(unit, request["closing_id"], deleted=False, actor_id=actor.user_id)

    database.command(call, "reopen_project", request, work)


def delete_closed_project(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Delete a closed project for good, after every room counted nothing in it.

    Raises: projects.not_found, projects.not_empty when it is not closed for this deletion.
    Emits: project_deleted.
    """
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        row = _own(unit, actor, request["project_id"])
        if row.closing_id != request["closing_id"]:
            raise conflict("projects.not_empty", "The project was not closed for this deletion.")
        _settle(unit, row.closing_id, deleted=True, actor_id=actor.user_id)

    database.command(call, "delete_closed_project", request, work)


def apply_licensing_events(unit: Unit, events: Sequence[Event]) -> None:
    """Do what licensing decided about a deletion, when its call for it never came (L8); other events are not ours.

    Emits: project_deleted.
    """
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


def _own(unit: Unit, actor: Actor, project_id: str) -> Any:
    row = store.hold(unit, project_id)
    if row is None or not actor.owns(row.company_id):
        raise no_project()
    return row


def _manageable(connection: Connection, actor: Actor, project_id: str) -> None:
    row, _ = load(connection, actor, project_id)
    if row.state != CLOSED or not actor.owns(row.company_id):
        load_with_power(connection, actor, project_id, MANAGE)


def _create(unit: Unit, actor: Actor, company_id: str, project_id: str, name: str, description: str) -> Any:
    values = {
        "id": project_id,
        "company_id": company_id,
        "name": name,
        "description": description,
        "state": OPEN,
        "created_by": actor.user_id,
    }
    if not store.add(unit, values):
        raise conflict(
            "projects.name_taken", f"Another project of the company is called {name!r}: choose another name."
        )
    row = store.hold(unit, project_id)
    tell(unit, "project_created", row, {"name": name, "state": OPEN, "version": 1})
    return row


def _changes(row: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {name: request[name] for name in ("name", "description") if name in request}
    if "archived" in request:
        wanted["state"] = ARCHIVED if request["archived"] else OPEN
    return {name: value for name, value in wanted.items() if getattr(row, name) != value}


def _change(unit: Unit, row: Any, changed: Mapping[str, Any]) -> None:
    if not store.change(unit, row.id, **changed):
        raise conflict(
            "projects.name_taken", f"Another project of the company is called {changed['name']!r}: choose another name."
        )
    if changed.get("state") == ARCHIVED:
        store.unselect(unit, row.id)
    data = {
        "name": changed.get("name", row.name),
        "state": changed.get("state", row.state),
        "version": row.version + 1,
        "what": sorted(changed),
    }
    if "name" in changed:
        data["old_name"] = row.name
    tell(unit, "project_changed", row, data)


def tell(unit: Unit, type: str, row: Any, data: Mapping[str, Any]) -> None:
    """Tell of a project, to the company that has it."""
    unit.emit(type, subject=row.id, company_id=row.company_id, project_id=row.id, data={"project_id": row.id, **data})


def tell_right(unit: Unit, type: str, row: Any, guest_id: str) -> None:
    """Tell of a company's right in a project, to the owner and to the guest."""
    data = {
        "project_id": row.id,
        "name": row.name,
        "owner_company_id": row.company_id,
        "guest_company_id": guest_id,
    }
    for company_id in (row.company_id, guest_id):
        unit.emit(type, subject=row.id, company_id=company_id, project_id=row.id, data=data)


def _own_company() -> ServiceError:
    return invalid(
        "projects.own_company", "This address belongs to your own company, which has every right: give another one."
    )


def _guest(found: Mapping[str, Any], request: Mapping[str, Any], actor: Actor) -> tuple[str, str]:
    """Return id and name of the one company that is meant."""
    everyone = found["companies"]
    wanted = request["company_id"]
    meant = [company for company in everyone if wanted in (None, company["id"])]
    others = [company for company in meant if not actor.owns(company["id"])]
    if not others and meant:
        raise _own_company()
    if not others:
        text = "No user with a company has this e-mail address: ask for the right one."
        raise invalid(
            "projects.user_without_company",
            text if wanted is None else "No user of this company has this e-mail address: ask for the right one.",
        )
    if len(others) > 1:
        raise conflict(
            "projects.company_ambiguous",
            "The user belongs to several companies: name one of them as `company_id`.",
            companies=others,
        )
    return others[0]["id"], others[0]["name"]
