"""What devices lost by a restore of its database, and licensing still knows: done again, or named (rule R25)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from services.chassis.data.unit import Unit
from services.chassis.errors import ServiceError
from services.devices import store
from services.devices.api import RegisterProductionRequest
from services.devices.commands.production import read_devices, take_order, tell_mark
from services.devices.commands.records import tell_deleted
from services.devices.models import Device, Project


def take_back(
    unit: Unit,
    orders: Iterable[tuple[str, Sequence[Mapping[str, Any]]]],
    lost: Iterable[tuple[str, str]],
    marks: Mapping[str, bool],
    holders: Mapping[str, Sequence[str]],
) -> list[str]:
    """Register again what was ordered, delete and mark again what was deleted and marked; a sentence for each.

    A record that was added after the backup is not made again: licenses lie on the device, whoever has the record, and
    its company adds it as before.

    Args:
        unit: of devices' database.
        orders: numbers and devices, as the request of an order has them, of all finished orders.
        lost: type and subject of each event that was lost.
        marks: hardware id -> whether it is marked for repair, as licensing knows it, of all devices with such an event.
        holders: id of each record that licensing knows -> hardware id and company.

    Emits: production_registered, device_deleted, device_marked_rma, device_unmarked_rma.
    """
    done = [sentence for number, devices in orders if (sentence := _registered(unit, number, devices))]
    for kind, subject in lost:
        if kind == "device_deleted":
            done += _deleted_again(unit, subject)
        elif kind == "device_added" and not _is_known(unit, subject):
            hardware_id, company = holders.get(subject, ("a device", ""))
            who = f"company {company}" if company else "its company"
            done.append(f"record {subject} of {hardware_id} was made after the backup: {who} adds the device again")
    return [*done, *(sentence for mark in sorted(marks.items()) if (sentence := _marked(unit, *mark)))]


def _registered(unit: Unit, number: str, devices: Sequence[Mapping[str, Any]]) -> str | None:
    if not devices or store.order_exists(unit.connection, number):
        return None
    savepoint = unit.connection.begin_nested()
    told = len(unit.events)
    try:
        request = RegisterProductionRequest().load({"order_number": number, "devices": devices})
        take_order(unit, number, read_devices(request["devices"]))
    except ServiceError as error:
        savepoint.rollback()
        del unit.events[told:]
        return f"order {number} cannot be registered again: {error.code}: {error.detail}"
    savepoint.commit()
    return f"order {number} was registered after the backup: its {len(devices)} devices are registered again"


def _is_known(unit: Unit, device_id: str) -> bool:
    return unit.execute(sa.select(Device.id).where(Device.id == device_id)).first() is not None


def _deleted_again(unit: Unit, device_id: str) -> list[str]:
    row = store.find_record(unit.connection, device_id, lock=True)
    if row is None:
        return []
    store.bury_record(unit.connection, row.id, unit.now)
    name = unit.execute(sa.select(Project.name).where(Project.id == row.project_id)).scalar_one()
    tell_deleted(unit, row, name)
    return [f"record {row.id} of {row.hardware_id} was deleted after the backup: deleted again"]


def _marked(unit: Unit, hardware_id: str, rma: bool) -> str | None:
    row = store.lock_production(unit.connection, [hardware_id]).get(hardware_id)
    if row is None or row.rma == rma:
        return None
    store.set_rma(unit.connection, hardware_id, rma)
    tell_mark(unit, hardware_id, row.type, rma)
    return f"device {hardware_id} was {'' if rma else 'un'}marked for repair after the backup: done again"
