"""The writes of projects: one function per write, one transaction each; what other rooms know is asked before."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts.api import AccountsClient, Actor, NamedCompany, needs
from services.chassis.answers import Answer, Shown
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, forbidden, invalid, not_found, stale
from services.chassis.fields import EmptyRequest
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run
from services.projects import api, store
from services.projects.api import ProjectAccess
from services.projects.domain import ARCHIVED, DEFAULT_NAME, MANAGE, OPEN, OWN, SEE, STAFF
from services.projects.merges import living_company
from services.projects.names import company_names
from services.projects.queries import load, load_with_power, project_answer, right_answer
from services.projects.store import StoredProject, StoredRight


@command(
    request=EmptyRequest,
    answer=api.Project,
    needs=(needs.COMPANY,),
    raises=("accounts.session_ended",),
    emits=("project_created",),
)
def ensure_default(database: Database, call: Call, accounts: AccountsClient) -> Shown:
    """Return the first project of the caller's company, making `DEFAULT` when there is none (PRJ-1)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> StoredProject:
        company_id = living_company(unit, actor)
        project_id = new_id()
        given = not store.claim_first(unit, company_id, project_id)
        row = store.oldest(unit.connection, company_id) if given else None
        if row is None:
            row = _create(unit, actor, company_id, project_id if not given else new_id(), DEFAULT_NAME, "")
        return row

    # Every call may repeat it, so it takes no command id.
    row = database.write(work, call=call)
    names = company_names(database, call, accounts, [row.company_id])
    return project_answer(row, ProjectAccess.of_relation(row.copy, OWN, actor), names)


@command(
    request=api.CreateProjectRequest,
    answer=api.Project,
    needs=(needs.WRITE, needs.COMPANY),
    raises=("accounts.session_ended", "projects.token_bound", "projects.name_taken"),
    emits=("project_created",),
)
def create_project(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Answer:
    """Make a project."""
    actor = Actor.of(call)
    company_id = actor.require_company()
    if actor.project_id is not None:
        raise forbidden(
            "projects.token_bound",
            "This token is bound to one project and cannot create another: use one that is not bound.",
        )
    names = company_names(database, call, accounts, [company_id])

    def work(unit: Unit) -> Shown:
        living_company(unit, actor)
        row = _create(unit, actor, company_id, new_id(), request["name"], request["description"])
        return project_answer(row, ProjectAccess.of_relation(row.copy, OWN, actor), names)

    return run(database, call, request, work)


@command(
    request=api.UpdateProjectRequest,
    answer=api.Project,
    needs=(needs.WRITE,),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.name_taken",
        "projects.archived",
        "projects.closed",
        "request.stale",
    ),
    emits=("project_changed",),
)
def update_project(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Answer:
    """Rename, describe, archive or reopen an own project; what is absent stays.

    Whether there are devices in it is devices' to say, which asks this with `archived` once it has counted none.
    """
    actor = Actor.of(call)
    names = company_names(database, call, accounts, [actor.company_id] if actor.company_id else [])

    def work(unit: Unit) -> Shown:
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        if request.get("if_version") not in (None, row.version):
            raise stale("request.stale", "The project has changed since it was read: read it again.")
        changed = _changes(row, request)
        if changed and "state" not in changed:
            access.project.require_open()
        if changed:
            _change(unit, row, changed)
        row, access = load(unit.connection, actor, row.id)
        return project_answer(row, access, names)

    return run(database, call, request, work)


@command(
    request=api.SelectProjectRequest,
    answer=api.SelectedProject,
    needs=(needs.COMPANY,),
    raises=(
        "accounts.session_ended",
        "projects.not_found",
        "access.power_needed",
        "projects.archived",
        "projects.closed",
    ),
)
def select_project(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Remember the project chosen for all pages, per user and company (PRJ-2): an own one, or one with a right."""
    actor = Actor.of(call)
    company_id = actor.require_company()
    project_id = request["project_id"]

    def work(unit: Unit) -> dict[str, str | None]:
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

    return run(database, call, request, work)


@command(
    request=api.AddRightRequest,
    answer=api.Right,
    needs=(needs.WRITE,),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.archived",
        "projects.closed",
        "projects.user_without_company",
        "projects.own_company",
        "projects.company_ambiguous",
        "accounts.too_many_attempts",
    ),
    emits=("project_right_granted",),
)
def add_right(database: Database, call: Call, request: Mapping[str, Any], accounts: AccountsClient) -> Answer:
    """Let the company of the user with an e-mail address work in an own project (PRJ-3)."""
    actor = Actor.of(call)
    # Whoever may not manage the project learns nothing about addresses.
    database.read(lambda connection: load_with_power(connection, actor, request["project_id"], MANAGE))
    # A repetition is no further look-up: those are counted.
    answer = answered(database, call, request)
    if answer is not None:
        return answer
    found = NamedCompany.all_of_answer(accounts.find_companies_by_email(call, email=request["email"]))
    guest = _guest(found, request["company_id"], actor)

    def work(unit: Unit) -> Shown:
        # It may have been imported by another company since, even by the caller's own.
        guest_id = aliases.share(unit.connection, guest.id)
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        if guest_id == row.company_id:
            raise _own_company()
        access.project.require_open()
        right = StoredRight(row.id, guest_id, unit.now, actor.user_id)
        if store.add_right(unit, right):
            tell_right(unit, "project_right_granted", row, guest_id)
        return right_answer(store.right(unit.connection, row.id, guest_id) or right, {guest_id: guest.name})

    return run(database, call, request, work)


@command(
    request=api.RemoveRightRequest,
    needs=(needs.WRITE,),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.right_not_found",
        "projects.archived",
        "projects.closed",
    ),
    emits=("project_right_removed",),
)
def remove_right(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End the right of a company in an own project."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        store.hold(unit, request["project_id"])
        row, access = load_with_power(unit.connection, actor, request["project_id"], MANAGE)
        access.project.require_open()
        if not store.remove_right(unit, row.id, request["company_id"]):
            raise not_found(
                "projects.right_not_found",
                "This company has no right in the project; list the rights to see who has one.",
            )
        tell_right(unit, "project_right_removed", row, request["company_id"])

    run(database, call, request, work)


def _create(unit: Unit, actor: Actor, company_id: str, project_id: str, name: str, description: str) -> StoredProject:
    made = StoredProject(project_id, company_id, name, description, OPEN, 1, unit.now, actor.user_id, None)
    if not store.add(unit, made):
        raise conflict(
            "projects.name_taken", f"Another project of the company is called {name!r}: choose another name."
        )
    tell(unit, "project_created", made, {"name": name, "state": OPEN, "version": 1})
    return made


def _changes(row: StoredProject, request: Mapping[str, Any]) -> dict[str, str]:
    wanted = {name: request[name] for name in ("name", "description") if name in request}
    if "archived" in request:
        wanted["state"] = ARCHIVED if request["archived"] else OPEN
    return {name: value for name, value in wanted.items() if getattr(row, name) != value}


def _change(unit: Unit, row: StoredProject, changed: Mapping[str, str]) -> None:
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


def tell(unit: Unit, type: str, row: StoredProject, data: Mapping[str, Any]) -> None:
    """Tell of a project, to the company that has it."""
    unit.emit(type, subject=row.id, company_id=row.company_id, project_id=row.id, data={"project_id": row.id, **data})


def tell_right(unit: Unit, type: str, row: StoredProject, guest_id: str) -> None:
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
        "projects.own_company",
        "This address belongs to your own company, which already has every right: give another one.",
    )


def _guest(found: Sequence[NamedCompany], wanted: str | None, actor: Actor) -> NamedCompany:
    """Return the one company that is meant."""
    meant = [company for company in found if wanted in (None, company.id)]
    others = [company for company in meant if not actor.owns(company.id)]
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
            companies=[company.ref() for company in others],
        )
    return others[0]
