"""Change, move and delete the records of a company (DEV-6, L11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts.api import SCOPE_READ, SCOPE_WRITE, Actor, needs
from services.chassis.answers import Answer, Shown
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import stale
from services.chassis.service.declare import command
from services.chassis.service.running import run
from services.devices import answers, api, store
from services.devices.access import device_access, device_not_found, project_access, refuse_closed
from services.devices.api import MEANINGS
from services.devices.domain.adding import summarize
from services.devices.domain.comments import COMMENTS
from services.devices.store import StoredRecord
from services.projects.api import (
    ADD,
    MANAGE_DEVICES,
    OPEN,
    OWN,
    ProjectAccess,
    ProjectCopy,
    ProjectsClient,
    power_needed,
    powers_in,
)


@command(
    request=api.UpdateDeviceRequest,
    answer=api.Device,
    needs=(needs.WRITE,),
    raises=("devices.device_not_found", "access.power_needed", "request.stale"),
    emits=("device_changed",),
)
def update_device(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Change a device's comment and license comment; what is absent stays (DEV-6)."""
    actor = Actor.of(call)
    device_id = request["device_id"]
    access = _record_access(database, call, actor, device_id, projects)
    access.require(ADD)

    def work(unit: Unit) -> Shown:
        row = _locked(unit, device_id, access)
        if request["if_version"] not in (None, row.version):
            raise stale("request.stale", MEANINGS["request.stale"], version=row.version)
        changes = {
            name: {"old": getattr(row, name), "new": request[name]}
            for name in COMMENTS
            if name in request and request[name] != getattr(row, name)
        }
        if changes:
            store.update_record(unit.connection, row.id, {name: change["new"] for name, change in changes.items()})
            _emit(unit, "device_changed", row, {"project_name": access.project.name, "changes": changes})
            row = _locked(unit, device_id, access)
        return answers.device(row, foreign=access.relation != OWN, today=unit.now.date())

    return run(database, call, request, work)


@command(
    request=api.DeleteDeviceRequest,
    needs=(needs.WRITE,),
    raises=("devices.device_not_found", "access.power_needed", "request.stale"),
    emits=("device_deleted",),
)
def delete_device(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Take a device out of the company; its licenses stay with it (DEV-6, L11)."""
    actor = Actor.of(call)
    device_id = request["device_id"]
    access = _record_access(database, call, actor, device_id, projects)
    access.require(MANAGE_DEVICES)

    def work(unit: Unit) -> None:
        row = _locked(unit, device_id, access)
        if request["if_version"] not in (None, row.version):
            raise stale("request.stale", MEANINGS["request.stale"], version=row.version)
        store.bury_record(unit.connection, row.id, unit.now)
        tell_deleted(unit, row, access.project.name)

    return run(database, call, request, work)


@command(
    request=api.MoveDevicesRequest,
    answer=api.MoveDevicesAnswer,
    needs=(needs.LOGIN,),
    rehearsable=True,
    raises=(*needs.WRITE.raises, "projects.not_found", "access.power_needed", "devices.project_closed"),
    emits=("device_moved",),
)
def move_devices(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Move devices to another project of the same company, or rehearse it; answers a result per device (DEV-6)."""
    actor = Actor.of(call)
    actor.require_scope(SCOPE_READ if request["dry_run"] else SCOPE_WRITE)
    target = project_access(database, call, actor, request["project_id"], projects)
    if target.relation != OWN:
        raise power_needed(MANAGE_DEVICES)
    refuse_closed(target.project.state)
    target.require(MANAGE_DEVICES)

    words = ("ok", "error") if request["dry_run"] else ("moved", "refused")
    return run(database, call, request, lambda unit: _move(unit, actor, target, request["device_ids"], words))


def _move(
    unit: Unit, actor: Actor, target: ProjectAccess, device_ids: Sequence[str], words: tuple[str, str]
) -> Mapping[str, object]:
    store.keep_project(unit.connection, target.project)
    # Ids of records that an import joined with others stand for those.
    present = aliases.currents(unit.connection, device_ids)
    rows = store.find_own_records(unit.connection, [target.project.company_id], present.values())
    projects = store.lock_projects(unit.connection, {target.project.id, *(row.project_id for row in rows.values())})
    if target.project.id in projects:
        refuse_closed(projects[target.project.id].state)
    items: list[dict[str, Any]] = []
    seen: set[str] = set()
    for device_id in device_ids:
        row = rows.get(present[device_id])
        code = _move_refusal(actor, target, row, projects, repeated=present[device_id] in seen)
        seen.add(present[device_id])
        if code is None and row is not None:
            store.update_record(unit.connection, row.id, {"project_id": target.project.id})
            _emit_move(unit, row, projects[row.project_id].name, target)
        items.append(
            {
                "device_id": device_id,
                "hardware_id": row.hardware_id if row is not None else None,
                "result": words[code is not None],
                "code": code,
                "detail": MEANINGS[code] if code else None,
            }
        )
    return {"summary": summarize(item["result"] for item in items), "items": items}


def _move_refusal(
    actor: Actor, target: ProjectAccess, row: StoredRecord | None, projects: dict[str, ProjectCopy], *, repeated: bool
) -> str | None:
    if row is None or actor.project_id not in (None, row.project_id):
        return "devices.device_not_found"
    if repeated:
        return "devices.repeated_in_request"
    if row.project_id == target.project.id:
        return "devices.already_in_project"
    source = projects[row.project_id]
    if MANAGE_DEVICES not in powers_in(OWN, actor, source.state):
        return "access.power_needed" if source.state == OPEN else "devices.project_closed"
    return None


def _record_access(
    database: Database, call: Call, actor: Actor, device_id: str, projects: ProjectsClient
) -> ProjectAccess:
    # Tombstones too: a repetition gets its first answer although the record is gone; new requests end at `_locked`.
    row = database.read(lambda connection: store.find_record(connection, device_id, buried=True))
    return device_access(database, call, actor, row, projects)


def _locked(unit: Unit, device_id: str, access: ProjectAccess) -> StoredRecord:
    """Return the record, locked; it must still be in the project for which the access was checked."""
    row = store.find_record(unit.connection, device_id, lock=True)
    if row is None or row.project_id != access.project.id:
        raise device_not_found()
    return row


def tell_deleted(unit: Unit, row: StoredRecord, project_name: str) -> None:
    """Tell that a record is gone from the company."""
    _emit(unit, "device_deleted", row, {"project_name": project_name, "comment": row.comment})


def _emit(unit: Unit, type_name: str, row: StoredRecord, data: Mapping[str, object]) -> None:
    unit.emit(
        type_name,
        subject=row.id,
        data={"hardware_id": row.hardware_id, "type": row.type, **data},
        company_id=row.company_id,
        project_id=row.project_id,
        device_id=row.id,
        hardware_id=row.hardware_id,
    )


def _emit_move(unit: Unit, row: StoredRecord, source_name: str, target: ProjectAccess) -> None:
    unit.emit(
        "device_moved",
        subject=row.id,
        data={
            "hardware_id": row.hardware_id,
            "type": row.type,
            "from_project_id": row.project_id,
            "from_project_name": source_name,
            "project_name": target.project.name,
        },
        company_id=row.company_id,
        project_id=target.project.id,
        device_id=row.id,
        hardware_id=row.hardware_id,
    )
