"""The floating license `PBX7#0` of a slave PBX (LIC-4): one line of its own kind, free as shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import invalid, not_found
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import repeatable, run
from services.devices.api import DevicesClient
from services.licensing import access, api
from services.licensing.access import Device
from services.licensing.commands.assign import device_type_of, insufficient, resolved
from services.licensing.commands.device_lines import give_back, refuse_filed
from services.licensing.commands.naming import name_of, refuse_not_offered, rule_violated
from services.licensing.domain.amounts import LineAmount, Share
from services.licensing.domain.catalogue import FLOATING, Catalogue, LicenseType
from services.licensing.domain.rules import RuleViolationError, check_floating
from services.licensing.store import ledger, lines, projects
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import InstalledLine, NewLine
from services.projects.api import ADD, ProjectsClient


@dataclass(frozen=True, slots=True)
class _Floating:
    """The floating license that was set or taken off, as `AssignedLicenses`."""

    licenses: list[LineAmount]
    drawn: tuple[Share, ...] = ()


@command(
    request=api.SetFloatingRequest,
    answer=api.AssignedLicenses,
    needs=(needs.WRITE,),
    raises=(
        "devices.device_not_found",
        "projects.not_found",
        "access.power_needed",
        "licensing.version_unknown",
        "licensing.version_not_offered",
        "licensing.device_rma",
        "licensing.rule_violated",
        "licensing.insufficient_balance",
        "licensing.file_issued",
    ),
    emits=("floating_license_set", "floating_license_removed"),
)
@repeatable
def set_floating(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient, projects: ProjectsClient
) -> Answer:
    """Give a device the floating license of a version, in place of another one's (LIC-4).

    The one that it has already is answered again.
    """
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], ADD)
    catalogue = get_catalogue(database)
    floating = catalogue.floating(request["version"])
    if floating is None:
        raise invalid(
            "licensing.version_unknown",
            f"There is no floating license of version {request['version']}: take 5, 6 or 7.",
        )
    refuse_not_offered(catalogue, [floating])
    project = access.know_project(call, database, projects, device.project_id)

    def work(unit: Unit) -> _Floating:
        access.refuse_rma(device)
        access.lock(unit, actor, device)
        there = _floating_line(unit, device, catalogue)
        if there is not None and there.license_type == floating.id:
            return _answer(catalogue, there.id, floating.id)
        if there is not None:
            refuse_filed(there, catalogue)
            _take_off(unit, actor, device, catalogue, project.ref(), there)
        line_id = _book(unit, actor, device, catalogue, floating)
        answer = _answer(catalogue, line_id, floating.id)
        _tell(unit, "floating_license_set", actor, device, project.ref(), answer)
        return answer

    return run(database, call, request, work)


@command(
    request=api.DeviceRequest,
    answer=api.AssignedLicenses,
    needs=(needs.WRITE,),
    raises=(
        "devices.device_not_found",
        "projects.not_found",
        "access.power_needed",
        "licensing.line_not_found",
        "licensing.file_issued",
    ),
    emits=("floating_license_removed",),
)
@repeatable
def remove_floating(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient, projects: ProjectsClient
) -> Answer:
    """Take the floating license off a device; one that cost something and is in a file stays (LIC-4, LIC-13).

    It is told to each company concerned; to the one whose it was without who took it off (S9).
    """
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], ADD)
    catalogue = get_catalogue(database)
    project = access.know_project(call, database, projects, device.project_id)

    def work(unit: Unit) -> _Floating:
        access.lock(unit, actor, device, although_rma=True)
        line = _floating_line(unit, device, catalogue)
        if line is None:
            raise not_found("licensing.line_not_found", "The device has no floating license; list its licenses.")
        if line.paid[0][0] != ledger.ISSUED:
            refuse_filed(line, catalogue)
        return _take_off(unit, actor, device, catalogue, project.ref(), line)

    return run(database, call, request, work)


def _take_off(
    unit: Unit, actor: Actor, device: Device, catalogue: Catalogue, project: dict[str, str], line: InstalledLine
) -> _Floating:
    """Book the floating license off and tell it; whose assignment it was is told too, as of a project of its own."""
    give_back(unit, device, line, kind="floating_off", state=lines.REMOVED)
    answer = _answer(catalogue, line.id, line.license_type)
    _tell(unit, "floating_license_removed", actor, device, project, answer)
    owner = aliases.current(unit.connection, line.company_id)
    if owner not in aliases.currents(unit.connection, device.concerned(actor)).values():
        own = projects.get(unit.connection, line.project_id)
        data = {"project": own.ref() if own else {"id": line.project_id, "name": ""}, "licenses": answer.licenses}
        unit.emit(
            "floating_license_removed",
            subject=device.hardware_id,
            data={**data, "copy": False},
            company_id=owner,
            hardware_id=device.hardware_id,
            anonymous=True,
        )
    return answer


def _floating_line(unit: Unit, device: Device, catalogue: Catalogue) -> InstalledLine | None:
    for line in lines.installed_lines(unit.connection, device.hardware_id):
        if catalogue.license_types[line.license_type].kind == FLOATING:
            return line
    return None


def _book(unit: Unit, actor: Actor, device: Device, catalogue: Catalogue, floating: LicenseType) -> str:
    installed = ledger.contents(unit.connection, ledger.device_pool(device.hardware_id))
    try:
        check_floating(device_type_of(catalogue, device.type), resolved(catalogue, installed), floating)
    except RuleViolationError as violation:
        raise rule_violated(violation) from None
    payer = device.project_id if floating.from_stock else ledger.ISSUED
    source = ledger.project_pool(payer) if floating.from_stock else ledger.ISSUED
    transfer_id, line_id = new_id(), new_id()
    try:
        ledger.post(
            unit,
            transfer_id,
            "floating_on",
            [Entry(source, floating.id, -1), Entry(ledger.device_pool(device.hardware_id), floating.id, 1)],
            company_id=device.company_id,
        )
    except ledger.ShortError:
        raise insufficient(
            [{"license_type": floating.id, "name": floating.name, "needed": 1, "missing": 1, "projects": []}]
        ) from None
    line = NewLine(
        id=line_id,
        hardware_id=device.hardware_id,
        license_type=floating.id,
        quantity=1,
        transfer_id=transfer_id,
        company_id=device.company_id,
        project_id=device.project_id,
        paid=[(payer, 1)],
        assigned_by=actor.user_id,
        assigned_at=unit.now,
    )
    lines.insert(unit.connection, [line])
    return line_id


def _answer(catalogue: Catalogue, line_id: str, license_type: str) -> _Floating:
    line: LineAmount = {
        "id": line_id,
        "license_type": license_type,
        "name": name_of(catalogue, license_type),
        "quantity": 1,
    }
    return _Floating([line])


def _tell(unit: Unit, type: str, actor: Actor, device: Device, project: dict[str, str], answer: _Floating) -> None:
    for company_id in device.concerned(actor):
        unit.emit(
            type,
            subject=device.hardware_id,
            data={"project": project, "licenses": answer.licenses, "copy": company_id != device.company_id},
            company_id=company_id,
            project_id=device.project_id,
            device_id=device.device_id,
            hardware_id=device.hardware_id,
        )
