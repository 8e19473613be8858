"""What takes licenses off a device again: taking back (LIC-13); returns are booked in `commands.returns`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, not_found, unavailable
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import repeatable, run
from services.devices.api import DevicesClient
from services.licensing import access, api
from services.licensing.access import Device
from services.licensing.commands.naming import name_of
from services.licensing.domain.amounts import LineAmount, Share
from services.licensing.domain.catalogue import FLOATING, Catalogue
from services.licensing.store import ledger, lines, projects
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import InstalledLine, Payment
from services.projects.api import CLOSED, MANAGE_DEVICES, ProjectCopy


@command(
    request=api.LineRequest,
    answer=api.TakenBack,
    needs=(needs.WRITE,),
    raises=(
        "devices.device_not_found",
        "access.power_needed",
        "licensing.line_not_found",
        "licensing.line_not_yours",
        "licensing.file_issued",
    ),
    emits=("licenses_taken_back",),
)
@repeatable
def take_back(database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient) -> Answer:
    """Take an assignment back in full, to the projects that paid it, while no real file was issued for it (LIC-13).

    The rules between licenses do not stand in the way: what no longer goes together afterwards is refused a license
    file, and the next assignment of the same version must put it right.
    """
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], MANAGE_DEVICES)
    catalogue = get_catalogue(database)

    def work(unit: Unit) -> Mapping[str, object]:
        access.lock(unit, actor, device, although_rma=True)
        line = _find(unit, device, catalogue, request["line_id"])
        if not actor.owns(line.company_id):
            raise conflict(
                "licensing.line_not_yours",
                "The assignment was paid for by another company that also has this device; only that company can "
                "take it back.",
            )
        refuse_filed(line, catalogue)
        credited = give_back(unit, device, line, kind="take_back", state=lines.TAKEN_BACK)
        return _tell(unit, actor, device, catalogue, line, credited)

    return run(database, call, request, work)


def refuse_filed(line: InstalledLine, catalogue: Catalogue) -> None:
    """Refuse a line that a real license file was issued for.

    Raises: licensing.file_issued.
    """
    if line.file_issued != lines.NO_FILE:
        raise conflict(
            "licensing.file_issued",
            f"A license file with {line.quantity} {name_of(catalogue, line.license_type)} was issued, so they can no "
            f"longer be taken back; what is returnable goes back with a return signed by the device.",
            file_issued=line.file_issued,
        )


def give_back(unit: Unit, device: Device, line: InstalledLine, *, kind: str, state: str) -> list[Payment]:
    """Book a line back to the pools that paid it; returns who got how much. The device must be locked.

    A project that is gone is stood in for by another one of its company, first of all by the one that the device is in.
    """
    payers = {payer for payer, _ in line.paid if payer != ledger.ISSUED}
    # Held, so that none of them is deleted as empty while something comes back to it.
    known = projects.get_many(unit.connection, {*payers, device.project_id}, lock=True) if payers else {}
    credited: dict[str, int] = {}
    for payer, quantity in line.paid:
        target = payer if payer == ledger.ISSUED else _creditor(unit, device, known, payer)
        credited[target] = credited.get(target, 0) + quantity
    transfer_id = new_id()
    entries = [Entry(ledger.device_pool(device.hardware_id), line.license_type, -line.quantity)]
    entries += [
        Entry(target if target == ledger.ISSUED else ledger.project_pool(target), line.license_type, quantity)
        for target, quantity in credited.items()
    ]
    company_id = aliases.current(unit.connection, line.company_id)
    ledger.post(unit, transfer_id, kind, entries, company_id=company_id)
    lines.end(unit.connection, [line.id], state=state, now=unit.now, transfer_id=transfer_id)
    return list(credited.items())


def _creditor(unit: Unit, device: Device, known: Mapping[str, ProjectCopy], payer: str) -> str:
    """Return the project that gets back what another one paid: this itself unless it is gone."""
    project, here = known.get(payer), known.get(device.project_id)
    if project is not None and project.state != CLOSED:
        return payer
    if project is not None and (here is None or here.company_id != project.company_id):
        stand_in = projects.oldest_open(unit.connection, project.company_id)
        if stand_in is not None:
            return stand_in.id
    return credited_project(unit, device).id


def credited_project(unit: Unit, device: Device) -> ProjectCopy:
    """Return the project of a device, kept from being deleted while licenses come back to it.

    Raises: service.unavailable when the device has just left it, so that the caller asks anew.
    """
    project = projects.get(unit.connection, device.project_id, lock=True)
    if project is None or project.state == CLOSED:
        raise unavailable(detail="The device was just moved; nothing was booked. Repeat the request.")
    return project


def _find(unit: Unit, device: Device, catalogue: Catalogue, line_id: str) -> InstalledLine:
    for line in lines.installed_lines(unit.connection, device.hardware_id):
        if line.id == line_id and catalogue.license_types[line.license_type].kind != FLOATING:
            return line
    raise not_found("licensing.line_not_found", "The device has no such license line; list its licenses.")


def _tell(
    unit: Unit,
    actor: Actor,
    device: Device,
    catalogue: Catalogue,
    line: InstalledLine,
    credited: Sequence[Payment],
) -> Mapping[str, object]:
    known = projects.get_many(unit.connection, [device.project_id, *(target for target, _ in credited)])
    taken: LineAmount = {
        "id": line.id,
        "license_type": line.license_type,
        "name": name_of(catalogue, line.license_type),
        "quantity": line.quantity,
    }
    shares: list[Share] = [
        {"id": target, "name": known[target].name, "license_type": line.license_type, "quantity": quantity}
        for target, quantity in credited
        if target in known
    ]
    here = known.get(device.project_id)
    companies = dict.fromkeys(
        [*device.concerned(actor), *(known[target].company_id for target, _ in credited if target in known)]
    )
    for company_id in companies:
        unit.emit(
            "licenses_taken_back",
            subject=device.hardware_id,
            data={
                "project": here.ref() if here is not None else {"id": device.project_id, "name": ""},
                "licenses": [taken],
                "credited": device.shares_of(company_id, actor, shares, known),
                "copy": company_id != device.company_id,
            },
            company_id=company_id,
            project_id=device.project_id,
            device_id=device.device_id,
            hardware_id=device.hardware_id,
        )
    return {"licenses": [taken], "credited": device.shares_of(device.company_id, actor, shares, known)}
