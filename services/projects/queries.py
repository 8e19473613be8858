"""The reads of projects: one function per read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row

from services.accounts.api import AccountsClient, Actor, needs
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import EmptyRequest, read_text, write_moment
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.projects import api, store
from services.projects.api import ProjectAccess, ProjectCopy, no_project
from services.projects.domain import GUEST, MANAGE, OWN
from services.projects.names import company_names, complete_names, known_names


def load(connection: Connection, actor: Actor, project_id: str) -> tuple[Row[Any], ProjectAccess]:
    """Return a project and what the actor is to it.

    Raises: projects.not_found.
    """
    found = store.find(connection, actor, project_id)
    if found is None:
        raise no_project()
    row, relation = found
    return row, access_to(actor, row, relation)


def access_to(actor: Actor, row: Any, relation: str) -> ProjectAccess:
    """Return what someone is to a project in which they stand in this relation."""
    copy = ProjectCopy(row.id, row.company_id, row.name, row.state, row.version)
    return ProjectAccess.of_relation(copy, relation, actor)


def load_with_power(
    connection: Connection, actor: Actor, project_id: str, power: str
) -> tuple[Row[Any], ProjectAccess]:
    """Return a project in which the actor has a power, with their access.

    Raises: projects.not_found, access.power_needed, projects.archived, projects.closed.
    """
    row, access = load(connection, actor, project_id)
    access.require_in_state(actor, power)
    return row, access


@query(request=api.ProjectRequest, answer=api.Access, needs=(needs.LOGIN,), raises=("projects.not_found",))
def get_access(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the caller is to a project and may do in it."""
    actor = Actor.of(call)
    _, access = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return access.answer()


@query(request=api.ProjectRequest, answer=api.Project, needs=(needs.LOGIN,), raises=("projects.not_found",))
def get_project(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> dict[str, Any]:
    """Return one project."""
    actor = Actor.of(call)
    row, access = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return project_answer(row, access, company_names(database, call, accounts, [row.company_id]))


@query(request=api.ListProjectsRequest, answer=api.ProjectList, needs=(needs.COMPANY,))
def list_projects(
    database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient
) -> dict[str, Any]:
    """Return the caller's own projects and the foreign ones with a right, and which one is selected.

    Archived ones are left out unless asked for.
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
    items = [project_answer(row, access_to(actor, row, _relation(actor, row)), names) for row in page]
    return {"items": items, "next": following, "selected": selected}


@query(request=EmptyRequest, answer=api.SelectedProject, needs=(needs.LOGIN,))
def get_selected_project(database: Database, call: Call) -> dict[str, Any]:
    """Return the project that the caller chose for all pages; null for all own ones, and for who has no company."""
    actor = Actor.of(call)
    company_id = actor.company_id
    if company_id is None:
        return {"project_id": None}
    return {"project_id": database.read(lambda connection: store.selected(connection, actor.user_id, company_id))}


@query(
    request=api.ListRightsRequest,
    answer=api.RightList,
    needs=(needs.LOGIN,),
    raises=("projects.not_found", "access.power_needed"),
)
def list_rights(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> dict[str, Any]:
    """Return the companies that may work in an own project."""
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


def project_answer(row: Any, access: ProjectAccess, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a project as answers carry it."""
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "foreign": access.relation != OWN,
        "state": row.state,
        "powers": list(access.powers),
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


def _relation(actor: Actor, row: Any) -> str:
    # Of listed projects; staff see others one by one only.
    return OWN if actor.owns(row.company_id) else GUEST
