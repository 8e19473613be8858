"""The reads of projects: one function per read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row

from services.accounts.api import AccountsClient, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, conflict, forbidden, not_found
from services.chassis.fields import read_text, write_moment
from services.chassis.paging import Listing
from services.projects import store
from services.projects.api import ERRORS
from services.projects.domain import CLOSED, GUEST, MANAGE, OPEN, OWN, powers_of, roles_of
from services.projects.names import company_names, complete_names, known_names


def not_there() -> ServiceError:
    """Return the one refusal for unknown ids and for projects of strangers."""
    return not_found("projects.not_found", ERRORS["projects.not_found"])


def load(connection: Connection, actor: Actor, project_id: str) -> tuple[Row[Any], str]:
    """Return a project and what the actor is to it.

    Raises: projects.not_found.
    """
    found = store.find(connection, actor, project_id)
    if found is None:
        raise not_there()
    return found


def load_with_power(connection: Connection, actor: Actor, project_id: str, power: str) -> Row[Any]:
    """Return a project in which the actor has a power.

    Raises: projects.not_found, access.power_needed, projects.archived, projects.closed.
    """
    row, relation = load(connection, actor, project_id)
    if power not in powers(actor, row, relation):
        if row.state != OPEN and power in powers(actor, row, relation, OPEN):
            raise refusal_of_state(row.state)
        raise forbidden(
            "access.power_needed",
            f"You may see this project, but not do this in it ({power}): ask a user of the company it belongs to.",
            power=power,
        )
    return row


def refusal_of_state(state: str) -> ServiceError:
    """Return the refusal of what an archived or closed project does not take."""
    if state == CLOSED:
        return conflict("projects.closed", "The project is being deleted: use another one.")
    return conflict("projects.archived", "The project is archived: take it out of the archive first.")


def powers(actor: Actor, row: Any, relation: str, state: str | None = None) -> tuple[str, ...]:
    """Return what the actor may do in a project, in the state that it is in or in another one."""
    roles = roles_of(relation, admin=actor.admin, staff=actor.staff)
    return powers_of(roles, actor.rights, state or row.state)


def get_access(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the caller is to a project and may do in it.

    Raises: projects.not_found for strangers and unknown ids alike.
    """
    actor = Actor.of(call)
    row, relation = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return {
        "project_id": row.id,
        "company_id": row.company_id,
        "name": row.name,
        "state": row.state,
        "version": row.version,
        "access": relation,
        "powers": list(powers(actor, row, relation)),
    }


def get_project(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> dict[str, Any]:
    """Return one project.

    Raises: projects.not_found.
    """
    actor = Actor.of(call)
    row, relation = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return project_answer(actor, row, relation, company_names(database, call, accounts, [row.company_id]))


def list_projects(
    database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient
) -> dict[str, Any]:
    """Return the caller's own projects and the foreign ones with a right, and which one is selected.

    Archived ones are left out unless asked for.

    Raises: accounts.company_needed.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    listing = Listing(call, "list_projects", request)
    after = listing.after(read_text, read_text)

    def work(connection: Connection) -> tuple[Any, set[str], dict[str, str], str | None]:
        rows = store.visible(connection, actor, after, listing.limit, archived=request["archived"])
        owners = {row.company_id for row in rows[: listing.limit]}
        return rows, owners, known_names(connection, owners), store.selected(connection, actor.user_id, company_id)

    rows, owners, known, selected = database.read(work)
    page, following = listing.page(rows, lambda row: (row.order_key, row.id))
    names = complete_names(database, call, accounts, known, owners)
    items = [project_answer(actor, row, OWN if actor.owns(row.company_id) else GUEST, names) for row in page]
    return {"items": items, "next": following, "selected": selected}


def get_selected_project(database: Database, call: Call) -> dict[str, Any]:
    """Return the project that the caller chose for all pages; null for all own ones, and for who has no company."""
    actor = Actor.of(call)
    company_id = actor.company_id
    if company_id is None:
        return {"project_id": None}
    return {"project_id": database.read(lambda connection: store.selected(connection, actor.user_id, company_id))}


def list_rights(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> dict[str, Any]:
    """Return the companies that may work in an own project.

    Raises: projects.not_found, access.power_needed.
    """
    actor = Actor.of(call)
    listing = Listing(call, "list_rights", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> Any:
        load_with_power(connection, actor, request["project_id"], MANAGE)
        return store.rights(connection, request["project_id"], after, listing.limit)

    rows = database.read(work)
    page, following = listing.page(rows, lambda row: (row.company_id,))
    names = company_names(database, call, accounts, [row.company_id for row in page])
    items = [right_answer(row, names) for row in page]
    return {"items": items, "next": following}


def project_answer(actor: Actor, row: Any, relation: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a project as answers carry it."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "foreign": relation != OWN,
        "state": row.state,
        "powers": list(powers(actor, row, relation)),
        "company": {"id": row.company_id, "name": names[row.company_id]} if row.company_id in names else None,
        "created_at": write_moment(row.created_at),
        "version": row.version,
    }


def right_answer(row: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a right as answers carry it."""
    return {
        "company_id": row.company_id,
        "company_name": names.get(row.company_id),
        "created_at": write_moment(row.created_at),
    }
