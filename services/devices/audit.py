"""Devices' own audit: re-reads every row and checks what the rules promise, without trusting the constraints.

Run by `deploy.audit`, which compares the digests of logs; nobody else reads these tables (rule L14).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.aliases import check_unused
from services.chassis.audit import Check, Flaws, Report, outbox_report, read_all
from services.chassis.db import Database
from services.chassis.outbox import MAX_PAGE, Event, read_events
from services.chassis.settings import Settings
from services.devices.api import PROOFS, PROVEN
from services.devices.domain.hardware_ids import MalformedIdError, parse_hardware_id
from services.devices.models import Device, Production, Project
from services.devices.store import AnyRow


def audit(settings: Settings) -> Report:
    """Audit devices' database against itself and against its own log."""
    database = Database.from_settings(settings, "devices", pool_size=1)
    try:
        return read_all(database, report)
    finally:
        database.close()


def report(connection: Connection) -> Report:
    """Report all checks over one snapshot."""
    devices = connection.execute(sa.select(Device.__table__).order_by(Device.id)).all()
    production = connection.execute(sa.select(Production.__table__).order_by(Production.hardware_id)).all()
    projects = connection.execute(sa.select(Project.__table__).order_by(Project.id)).all()
    checks = [
        _production(production),
        _records(devices, projects, production),
        _once_per_company(devices),
        _told(connection, devices),
        check_unused(connection, (Project.company_id, Device.company_id)),
    ]
    return outbox_report(connection, "devices", checks)


def _production(rows: Sequence[AnyRow]) -> Check:
    """Every id is canonical and of the kind stored beside it."""
    flaws = Flaws()
    for row in rows:
        try:
            parsed = parse_hardware_id(row.hardware_id)
        except MalformedIdError as error:
            flaws.add(f"production {row.hardware_id!r}: {error}")
            continue
        if (parsed.text, parsed.kind) != (row.hardware_id, row.kind):
            flaws.add(f"production {row.hardware_id!r} ({row.kind}) should be {parsed.text} ({parsed.kind})")
    columns = ("hardware_id", "type", "order_number", "shipped_on", "warranty_months", "rma")
    return Check("production ids canonical", len(rows), flaws.told(), _digest(rows, columns))


def _records(devices: Sequence[AnyRow], projects: Sequence[AnyRow], production: Sequence[AnyRow]) -> Check:
    """Every record's company is its project's, its device was built, and no living one is in a closed project."""
    flaws = Flaws()
    known = {row.id: row for row in projects}
    built = {row.hardware_id: row.order_number for row in production}
    for row in devices:
        project = known.get(row.project_id)
        if project is None or project.company_id != row.company_id:
            flaws.add(f"device {row.id}: company {row.company_id} is not that of project {row.project_id}")
        elif project.state == "closed" and row.deleted_at is None:
            flaws.add(f"device {row.id} is in the closed project {row.project_id}")
        if row.hardware_id not in built:
            flaws.add(f"device {row.id}: {row.hardware_id} is not in the production data")
        elif row.order_number not in (None, built[row.hardware_id]):
            flaws.add(f"device {row.id} has the number of another order than {row.hardware_id}")
        if row.proven_by not in (None, *PROOFS):
            flaws.add(f"device {row.id} was proven by {row.proven_by!r}")
    columns = ("id", "company_id", "project_id", "hardware_id", "proven_by", "version")
    return Check("records belong to their projects", len(devices), flaws.told(), _digest(devices, columns))


def _once_per_company(devices: Sequence[AnyRow]) -> Check:
    """No company has two living records of one device (DEV-5)."""
    flaws = Flaws()
    living = Counter((row.company_id, row.hardware_id) for row in devices if row.deleted_at is None)
    for (company_id, hardware_id), count in living.items():
        if count > 1:
            flaws.add(f"company {company_id} has {hardware_id} {count} times")
    return Check("one record per company and device", len(living), flaws.told())


def _told(connection: Connection, devices: Sequence[AnyRow]) -> Check:
    """Every record was told to its company exactly once when added, and once when deleted; so was its proof."""
    flaws = Flaws()
    proven: dict[str, bool | None] = {}
    added: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    for event in _events(connection):
        # A record that an import joined with another one is gone like a deleted one.
        counter = {"device_added": added, "device_deleted": deleted, "device_merged": deleted}.get(event.type)
        if counter is not None:
            counter[event.subject] += 1
        if event.type == "device_added":
            # Events of old do not say it; those records were proven by the number that they have.
            said = event.data.get("possession")
            proven[event.subject] = None if said is None else said == PROVEN
        elif event.type == "device_possession_proven":
            proven[event.subject] = True
    for row in devices:
        expected = (1, 0 if row.deleted_at is None else 1)
        told = (added.pop(row.id, 0), deleted.pop(row.id, 0))
        if told != expected:
            flaws.add(f"device {row.id} was told added and deleted {told} times, expected {expected}")
        said = proven.get(row.id)
        if (row.proven_by is not None) != (row.order_number is not None if said is None else said):
            flaws.add(f"device {row.id} is {'proven' if row.proven_by else 'claimed'}, and was told otherwise")
    for device_id in (*added, *deleted):
        flaws.add(f"device {device_id} was told but has no record")
    return Check("every record told once", len(devices), flaws.told())


def _events(connection: Connection) -> Iterable[Event]:
    after = 0
    while documents := read_events(connection, after, MAX_PAGE):
        yield from (Event.from_document(document) for document in documents)
        after = int(documents[-1]["sequence"])


def _digest(rows: Sequence[AnyRow], columns: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        values: list[Any] = [getattr(row, column) for column in columns]
        digest.update(json.dumps(values, default=str, separators=(",", ":")).encode())
    return digest.hexdigest()
