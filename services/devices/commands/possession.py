"""Proving that a company possesses a device (DEV-15): by the order's number, by the device's own key, by staff.

A hardware id is printed on the box and proves nothing. A proof belongs to one record: it goes with it to another
project and through an import, and ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer, Shown
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, not_found
from services.chassis.service.declare import command
from services.chassis.service.running import run
from services.devices import answers, api, store
from services.devices.access import device_access, device_not_found
from services.devices.api import DEVICE_KEY, ERRORS, ORDER_NUMBER, STAFF
from services.devices.commands.lookups import find_order
from services.devices.store import StoredRecord
from services.projects.api import ADD, ProjectAccess, ProjectsClient

_ACCESS: Final = ("devices.device_not_found", "access.power_needed")


@command(
    request=api.ProvePossessionRequest,
    answer=api.PossessionAnswer,
    needs=(needs.WRITE,),
    raises=(
        *_ACCESS,
        "devices.malformed_order_number",
        "devices.order_not_found",
        "devices.not_in_order",
        "devices.throttled",
    ),
    emits=("device_possession_proven",),
)
def prove_possession(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Prove possession of a device by the number of the order with which it came; told once (DEV-15).

    For licensing, which takes all proofs.
    """
    access = _access(database, call, request["device_id"], projects)
    number = find_order(database, Actor.of(call), request["order_number"])

    def work(unit: Unit) -> Shown:
        row = _locked(unit, request["device_id"], access)
        built = store.find_production(unit.connection, row.hardware_id)
        if built is None or built.order_number != number:
            raise conflict("devices.not_in_order", ERRORS["devices.not_in_order"])
        prove(unit, row, ORDER_NUMBER, order_number=number)
        return answers.possession_answer(row, proven=True)

    return run(database, call, request, work)


@command(
    request=api.DeviceRequest,
    answer=api.PossessionAnswer,
    needs=(needs.WRITE,),
    raises=_ACCESS,
    emits=("device_possession_proven",),
    vouched_by=("licensing",),
)
def confirm_possession(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Note that the device itself proved a company's possession; told once (DEV-15).

    Licensing, which alone may call this, verified the device's signature before.
    """
    access = _access(database, call, request["device_id"], projects)

    def work(unit: Unit) -> Shown:
        row = _locked(unit, request["device_id"], access)
        prove(unit, row, DEVICE_KEY)
        return answers.possession_answer(row, proven=True)

    return run(database, call, request, work)


def prove_by_staff(unit: Unit, hardware_id: str, company_id: str) -> None:
    """Take the vendor's word for a company's possession of a device.

    Raises: devices.device_not_found.
    Emits: device_possession_proven, once.
    """
    present = aliases.current(unit.connection, company_id)
    held = [row for row in store.records_of(unit.connection, hardware_id) if row.company_id == present]
    row = store.find_record(unit.connection, held[0].id, lock=True) if held else None
    if row is None:
        raise not_found("devices.device_not_found", ERRORS["devices.device_not_found"])
    prove(unit, row, STAFF)


def prove(unit: Unit, row: StoredRecord, by: str, *, order_number: str | None = None) -> None:
    """Make a locked record proven and tell it; one that is proven stays as it is.

    Args:
        unit: the running transaction.
        row: the record.
        by: `order_number`, `device_key` or `staff`.
        order_number: what the company knows now, kept with its record.
    """
    if row.proven_by is not None:
        return
    numbered = {"order_number": order_number} if order_number is not None else {}
    store.update_record(unit.connection, row.id, {"proven_by": by, **numbered})
    tell_proven(unit, row, by)


def tell_proven(unit: Unit, row: StoredRecord, by: str, *, company_id: str | None = None) -> None:
    """Tell the company, and licensing, which ends what a claimed record got meanwhile.

    Args:
        unit: the running transaction.
        row: the record.
        by: `order_number`, `device_key` or `staff`.
        company_id: whose the record is becoming, if not its present one's.
    """
    unit.emit(
        "device_possession_proven",
        subject=row.id,
        data={"hardware_id": row.hardware_id, "type": row.type, "by": by},
        company_id=company_id or row.company_id,
        project_id=row.project_id,
        device_id=row.id,
        hardware_id=row.hardware_id,
    )


def _access(database: Database, call: Call, device_id: str, projects: ProjectsClient) -> ProjectAccess:
    row = database.read(lambda connection: store.find_record(connection, device_id))
    access = device_access(database, call, Actor.of(call), row, projects)
    access.require(ADD)
    return access


def _locked(unit: Unit, device_id: str, access: ProjectAccess) -> StoredRecord:
    row = store.find_record(unit.connection, device_id, lock=True)
    if row is None or row.project_id != access.project.id:
        raise device_not_found()
    return row
