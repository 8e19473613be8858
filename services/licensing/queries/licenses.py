"""What a device can get (LIC-1) and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import Actor, needs
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import write_moment
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.devices.api import DevicesClient
from services.licensing import access, api
from services.licensing.access import Device
from services.licensing.api.licenses import WHY_NOT_RETURNED
from services.licensing.commands import authority
from services.licensing.commands.assign import device_type_of, resolved
from services.licensing.commands.naming import refuse_not_offered
from services.licensing.domain.catalogue import FLOATING, GATEWAY, PBX, Catalogue, LicenseType
from services.licensing.domain.rules import choices, size_of
from services.licensing.queries.catalogue import refuse_unknown_version
from services.licensing.queries.file_state import file_state
from services.licensing.store import ledger, lines, projects
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.lines import InstalledLine
from services.projects.api import MANAGE_DEVICES, SEE


@query(
    request=api.GetLicenseOptionsRequest,
    answer=api.LicenseOptionList,
    needs=(needs.READ,),
    raises=(
        "devices.device_not_found",
        "access.power_needed",
        "licensing.version_unknown",
        "licensing.version_not_offered",
    ),
)
def get_license_options(database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient) -> Page:
    """List what of a version fits a device and is in stock, with stock, installed and maximum (LIC-1).

    License types without a version (warranty, SSA) stand in every list.
    """
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], SEE)
    catalogue, version = get_catalogue(database), request["version"]
    refuse_unknown_version(catalogue.versions(), version)
    types = [t for t in catalogue.license_types.values() if t.version in (version, None) and t.kind != FLOATING]
    refuse_not_offered(catalogue, types)
    facts = database.read(lambda connection: _stock_and_installed(connection, actor, device))
    places = {license_type: place for place, license_type in enumerate(catalogue.license_types)}
    options = _options(catalogue, device, types, *facts)
    listing = Listing(call, "get_license_options", request)
    page, following = listing.cut(options, lambda item: places[item[0].id])
    return Page([option for _, option in page], following)


@query(
    request=api.ListDeviceLicensesRequest,
    answer=api.DeviceLicenses,
    needs=(needs.READ,),
    raises=("devices.device_not_found", "access.power_needed"),
)
def list_device_licenses(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient
) -> Shown:
    """List what is on a device, what of it can go back and why not, and how its license file stands (LIC-5)."""
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], SEE)
    catalogue, revoked_kids = get_catalogue(database), authority.revoked_kids(database.keystore)
    listing = Listing(call, "list_device_licenses", request)

    def work(connection: Connection) -> Shown:
        installed = lines.installed_lines(connection, device.hardware_id)
        floating = [line for line in installed if _is_floating(catalogue, line)]
        fixed = [line for line in installed if not _is_floating(catalogue, line)]
        page, following = listing.cut(fixed, lambda line: f"{write_moment(line.assigned_at)} {line.id}")
        return shown(
            Page([_line(catalogue, actor, device, line) for line in page], following),
            floating=_line(catalogue, actor, device, floating[0]) if floating else None,
            file=file_state(connection, device, installed, catalogue, revoked_kids),
        )

    return database.read(work)


def return_obstacle(license_type: LicenseType, file_issued: str) -> str | None:
    """Return why a line could not be returned by its device, None if it could (LIC-8, LIC-5).

    `not_returnable_version`: files up to version 7 are not signed. `gateway`, `warranty`: stay with the device.
    `downloaded_unencrypted`: the right ended. Nothing but that: whether a file was issued yet is another matter.
    """
    if file_issued == lines.PLAIN and license_type.returnable:
        return "downloaded_unencrypted"
    if license_type.returnable:
        return None
    if license_type.category == GATEWAY:
        return "gateway"
    return "not_returnable_version" if license_type.category == PBX else "warranty"


def _stock_and_installed(
    connection: Connection, actor: Actor, device: Device
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    here: dict[str, int] = {}
    for row in projects.stock(connection, project_ids=[device.project_id]):
        here[row.license_type] = row.quantity
    company: dict[str, int] = {}
    for row in projects.stock(connection, company_ids=actor.company_ids):
        if actor.project_id not in (None, row.id):
            # A token that is bound to one project learns of no other.
            continue
        company[row.license_type] = company.get(row.license_type, 0) + row.quantity
    return here, company, ledger.contents(connection, ledger.device_pool(device.hardware_id))


def _options(
    catalogue: Catalogue,
    device: Device,
    types: list[LicenseType],
    here: Mapping[str, int],
    company: Mapping[str, int],
    installed: Mapping[str, int],
) -> list[tuple[LicenseType, Shown]]:
    model, present = device_type_of(catalogue, device.type), resolved(catalogue, installed)
    fitting = []
    for t in types:
        maximum = model.maximum(t)
        if maximum == 0 or (t.is_size and maximum is not None and (t.size or 0) > maximum):
            continue
        if here.get(t.id) or company.get(t.id):
            fitting.append((t, maximum))
    options = []
    for t, maximum in fitting:
        more: dict[str, object] = {"installed": installed.get(t.id, 0)}
        if t.is_size:
            size = size_of(present, t.kind, t.version or 0)
            same = [other for other, _ in fitting if other.kind == t.kind and other.is_size]
            more = {"installed": size, "choices": choices(same, size)}
        option = shown(
            t,
            license_type=t.id,
            project_balance=here.get(t.id, 0),
            company_balance=company.get(t.id, 0),
            maximum=maximum,
            **more,
        )
        options.append((t, option))
    return options


def _is_floating(catalogue: Catalogue, line: InstalledLine) -> bool:
    return catalogue.license_types[line.license_type].kind == FLOATING


def _line(catalogue: Catalogue, actor: Actor, device: Device, line: InstalledLine) -> Shown:
    license_type = catalogue.license_types[line.license_type]
    obstacle = return_obstacle(license_type, line.file_issued)
    return shown(
        line,
        name=license_type.name,
        version=license_type.version,
        kind=license_type.kind,
        returnable=obstacle is None,
        reason=obstacle,
        detail=None if obstacle is None else WHY_NOT_RETURNED[obstacle],
        can_take_back=line.file_issued == lines.NO_FILE
        and license_type.kind != FLOATING
        and actor.owns(line.company_id)
        and MANAGE_DEVICES in device.powers,
    )
