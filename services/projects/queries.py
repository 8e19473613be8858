"""The reads of projects: one function per read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import AccountsClient, Actor, needs
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import EmptyRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.projects import api, store
from services.projects.api import ProjectAccess, no_project
from services.projects.domain import GUEST, MANAGE, OWN
from services.projects.names import company_names, complete_names, known_names
from services.projects.store import StoredProject, StoredRight


def load(connection: Connection, actor: Actor, project_id: str) -> tuple[StoredProject, ProjectAccess]:
    """Return a project and what the actor is to it.

    Raises: projects.not_found.
    """
    found = store.find(connection, actor, project_id)
    if found is None:
        raise no_project()
    project, relation = found
    return project, ProjectAccess.of_relation(project.copy, relation, actor)


def load_with_power(
    connection: Connection, actor: Actor, project_id: str, power: str
) -> tuple[StoredProject, ProjectAccess]:
    """Return a project in which the actor has a power, with their access.

    Raises: projects.not_found, access.power_needed, projects.archived, projects.closed.
    """
    project, access = load(connection, actor, project_id)
    access.require_in_state(actor, power)
    return project, access


@query(request=api.ProjectRequest, answer=api.Access, needs=(needs.LOGIN,), raises=("projects.not_found",))
def get_access(database: Database, call: Call, request: Mapping[str, Any]) -> Shown:
    """Return what the caller is to a project and may do in it."""
    actor = Actor.of(call)
    _, access = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return access.answer()


@query(request=api.ProjectRequest, answer=api.Project, needs=(needs.LOGIN,), raises=("projects.not_found",))
def get_project(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Shown:
    """Return one project."""
    actor = Actor.of(call)
    project, access = database.read(lambda connection: load(connection, actor, request["project_id"]))
    return project_answer(project, access, company_names(database, call, accounts, [project.company_id]))


@query(request=api.ListProjectsRequest, answer=api.ProjectList, needs=(needs.COMPANY,))
def list_projects(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Shown:
    """Return the caller's own projects and the foreign ones with a right, and which one is selected.

    Archived ones are left out unless asked for.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    listing = Listing(call, "list_projects", request)
    after = listing.after(read_text, read_text)

    def work(connection: Connection) -> tuple[list[tuple[StoredProject, str]], set[str], dict[str, str], str | None]:
        rows = store.visible(connection, actor, after, listing.limit, archived=request["archived"])
        owners = {project.company_id for project, _ in rows[: listing.limit]}
        return rows, owners, known_names(connection, owners), store.selected(connection, actor.user_id, company_id)

    rows, owners, known, selected = database.read(work)
    page, following = listing.page(rows, lambda row: (row[1], row[0].id))
    names = complete_names(database, call, accounts, known, owners)
    items = [project_answer(project, _listed_access(actor, project), names) for project, _ in page]
    return shown(Page(items, following), selected=selected)


@query(request=EmptyRequest, answer=api.SelectedProject, needs=(needs.LOGIN,))
def get_selected_project(database: Database, call: Call) -> dict[str, Any]:
    """Return the project that the caller chose for all pages; null for all own ones, or without a company."""
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
def list_rights(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Page:
    """Return the companies that may work in an own project."""
    actor = Actor.of(call)
    listing = Listing(call, "list_rights", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> list[StoredRight]:
        load_with_power(connection, actor, request["project_id"], MANAGE)
        return store.rights(connection, request["project_id"], after, listing.limit)

    rows = database.read(work)
    page, following = listing.page(rows, lambda row: (row.company_id,))
    names = company_names(database, call, accounts, [row.company_id for row in page])
    items = [right_answer(right, names) for right in page]
    return Page(items, following)


def project_answer(row: StoredProject, access: ProjectAccess, names: Mapping[str, str]) -> Shown:
    """Return a project as it is shown."""
    company = {"id": row.company_id, "name": names[row.company_id]} if row.company_id in names else None
    return shown(row, foreign=access.relation != OWN, powers=list(access.powers), company=company)


def right_answer(row: StoredRight, names: Mapping[str, str]) -> Shown:
    """Return a right as it is shown."""
    return shown(row, company_name=names.get(row.company_id))


def _listed_access(actor: Actor, project: StoredProject) -> ProjectAccess:
    # Staff see projects of others one by one only.
    return ProjectAccess.of_relation(project.copy, OWN if actor.owns(project.company_id) else GUEST, actor)
