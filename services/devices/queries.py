"""One function per read of devices. Reads that are counted or told to others are commands (`commands.lookups`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

from services.accounts.api import ACCOUNT_RIGHTS, Actor, needs
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError
from services.chassis.fields import read_moment, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.devices import answers, api, store
from services.devices.access import READER, device_access, device_not_found, project_access
from services.devices.commands.lookups import read_hardware_id
from services.devices.domain.actions import ADMIN_NEEDED, PROJECT_ARCHIVED, RIGHT_NEEDED
from services.devices.domain.hardware_ids import search_key
from services.devices.store import Placed
from services.projects.api import (
    ARCHIVED,
    OWN,
    SEE,
    ProjectAccess,
    ProjectsClient,
    powers_in,
    powers_of,
    roles_of,
)

# Each other holder costs a question to projects; nobody has rights in so many projects with the same device.
_MOST_HOLDERS_ASKED = 10


@query(
    request=api.ListDevicesRequest,
    answer=api.DeviceList,
    needs=(needs.READ,),
    raises=("accounts.company_needed", "projects.not_found", "access.power_needed"),
)
def list_devices(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Page:
    """List the devices of a project, or of all own projects, filtered and sorted (DEV-1)."""
    actor = Actor.of(call)
    # A token for one project lists that one.
    project_id = request["project"] or actor.project_id
    company_ids: Collection[str]
    own = True
    if project_id is None:
        actor.require_company()
        company_ids = actor.company_ids
    else:
        access = project_access(database, call, actor, project_id, projects)
        access.require(SEE)
        company_ids, own = [access.project.company_id], access.relation == OWN
    sort, listing = request["sort"], Listing(call, "list_devices", request)
    after = listing.after(read_moment if sort.endswith("added_at") else read_text, read_text)
    found = database.read(
        lambda connection: store.list_records(
            connection,
            company_ids,
            project_id=project_id,
            text=request["filter"],
            id_part=search_key(request["filter"]),
            # A guest must not find out digit by digit what proves possession (DEV-15).
            orders=own,
            type_name=request["type"],
            sort=sort,
            after=after,
            limit=listing.limit,
        )
    )
    today = _today()
    page, following = listing.page(found, lambda item: (item[1], item[0].id))
    items = [answers.device(row, foreign=not actor.owns(row.company_id), today=today) for row, _ in page]
    return Page(items, following)


@query(
    request=api.DeviceRequest,
    answer=api.DeviceWithActions,
    needs=(needs.READ,),
    raises=("devices.device_not_found",),
)
def get_device(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Shown:
    """Show a device with what the caller may do with it (DEV-6)."""
    actor = Actor.of(call)
    placed, access = _visible(database, call, actor, request["device_id"], projects)
    row = placed.record
    actions = answers.actions(access.powers, row.rma, _powers_if(actor, access))
    return shown(answers.device(row, foreign=access.relation != OWN, today=_today()), actions=actions)


def _powers_if(actor: Actor, access: ProjectAccess) -> dict[str, Collection[str]]:
    """Return code of an obstacle -> the powers without it, so that who has to ask is told whom."""
    relation, state = access.relation, access.project.state
    roles = roles_of(relation, admin=actor.admin, staff=actor.staff)
    as_admin = roles_of(relation, admin=True, staff=actor.staff)
    return {
        PROJECT_ARCHIVED: powers_in(relation, actor) if state == ARCHIVED else (),
        RIGHT_NEEDED: powers_of(roles, ACCOUNT_RIGHTS, state),
        ADMIN_NEEDED: powers_of(as_admin, actor.rights, state),
    }


@query(
    request=api.DeviceRequest,
    answer=api.DeviceFacts,
    needs=(READER,),
    raises=("devices.device_not_found",),
)
def get_device_facts(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Shown:
    """Tell licensing what it needs to know about a device and the caller's powers over it."""
    actor = Actor.of(call)
    placed, access = _visible(database, call, actor, request["device_id"], projects)
    row = placed.record
    # Where one company has the device, nobody else needs a look.
    holders = (
        [] if placed.holders == 1 else database.read(lambda connection: store.holders(connection, [row.hardware_id]))
    )
    others = {holder.company_id for holder in holders} - {*access.group}
    return answers.facts(row, access=access.relation, powers=access.powers, others=others)


@query(
    request=api.HardwareRequest,
    answer=api.DeviceFacts,
    needs=(READER,),
    raises=("devices.malformed_id", "devices.device_not_found"),
)
def find_device(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Shown:
    """Find the record that is meant when a user names only the device: the own company's before others'."""
    found = _found(database, call, request["hardware_id"], projects)
    if not found:
        raise device_not_found()
    return found[0]


@query(
    request=api.HardwareRequest,
    answer=api.FindDevicesAnswer,
    needs=(READER,),
    raises=("devices.malformed_id",),
)
def find_devices(
    database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient
) -> Mapping[str, object]:
    """Find all records of a device that the caller may see, own ones first."""
    return {"items": _found(database, call, request["hardware_id"], projects)}


def _found(database: Database, call: Call, text: str, projects: ProjectsClient) -> list[Shown]:
    actor = Actor.of(call)
    hardware_id = read_hardware_id(text)
    rows = database.read(lambda connection: store.records_of(connection, hardware_id))
    found = []
    for row in sorted(rows, key=lambda row: not actor.owns(row.company_id))[:_MOST_HOLDERS_ASKED]:
        try:
            access = device_access(database, call, actor, row, projects)
        except ServiceError as error:
            if error.kind != "not_found":
                raise
            continue
        others = {other.company_id for other in rows} - {*access.group}
        found.append(answers.facts(row, access=access.relation, powers=access.powers, others=others))
    return found


def _visible(
    database: Database, call: Call, actor: Actor, device_id: str, projects: ProjectsClient
) -> tuple[Placed, ProjectAccess]:
    placed = database.read(lambda connection: store.find_in_project(connection, device_id))
    if placed is None:
        raise device_not_found()
    access = device_access(database, call, actor, placed.record, projects, placed.project)
    if SEE not in access.powers:
        raise device_not_found()
    return placed, access


def _today() -> date:
    return datetime.now(UTC).date()
