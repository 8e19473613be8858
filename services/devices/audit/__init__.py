"""Devices' own audit: re-reads every row and checks what the rules promise, without trusting the constraints.

Run by `deploy.audit`, which compares the digests of logs; nobody else reads these tables (rule L14). Everything is
streamed: memory stays the same however many devices there are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.chassis.data import aliases
from services.chassis.data.audit.checks import Check, Flaws, Report, events, read_all, stream
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.audit.rows import check_rows
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.chassis.data.db import Database
from services.chassis.data.tables import metadata
from services.chassis.settings import Settings
from services.devices.api import ORDER_NUMBER, PROOFS, PROVEN
from services.devices.domain.comments import COMMENTS
from services.devices.domain.hardware_ids import MalformedIdError, parse_hardware_id
from services.devices.models import Base, Device, Production, ProductionOrder, Project

_TOLD = (
    *("device_added", "device_changed", "device_deleted", "device_merged", "device_moved"),
    "device_possession_proven",
)
_KEPT = "kept its comments"
_BUILT = ("production_registered", "device_marked_rma", "device_unmarked_rma")


def audit(settings: Settings) -> Report:
    """Audit devices' database against itself and against its own log."""
    database = Database.from_settings(settings, "devices", pool_size=1)
    try:
        return read_all(database, report)
    finally:
        database.close()


def report(connection: Connection) -> Report:
    """Report all checks over one snapshot."""
    return outbox_report(
        connection,
        "devices",
        partial(check_rows, connection, Base.metadata, aliases.metadata, metadata),
        partial(_production, connection),
        partial(_records, connection),
        partial(_once_per_company, connection),
        partial(_told, connection),
        partial(_built_as_told, connection),
        partial(aliases.check_unused, connection, (Project.company_id, Device.company_id)),
    )


def _production(connection: Connection) -> Check:
    """Every id is canonical and of the kind stored beside it, and every device was built for an order."""
    flaws, digest, checked = Flaws(), hashlib.sha256(), 0
    columns = ("hardware_id", "type", "order_number", "shipped_on", "warranty_months", "rma")
    built = Production
    statement = sa.select(built.__table__, ProductionOrder.number.label("order")).outerjoin(
        ProductionOrder, ProductionOrder.number == built.order_number
    )
    for row in stream(connection, statement.order_by(in_order(connection, built.hardware_id))):
        checked += 1
        _digest(digest, row, columns)
        if row.order is None:
            flaws.add(f"production {row.hardware_id!r} was built for the order {row.order_number}, which is not there")
        try:
            parsed = parse_hardware_id(row.hardware_id)
        except MalformedIdError as error:
            flaws.add(f"production {row.hardware_id!r}: {error}")
            continue
        if (parsed.text, parsed.kind) != (row.hardware_id, row.kind):
            flaws.add(f"production {row.hardware_id!r} ({row.kind}) should be {parsed.text} ({parsed.kind})")
    return Check("production ids canonical", checked, flaws.told(), digest.hexdigest())


def _records(connection: Connection) -> Check:
    """Every record's company is its project's, its device was built, and no living one is in a closed project."""
    flaws, digest, checked = Flaws(), hashlib.sha256(), 0
    columns = ("id", "company_id", "project_id", "hardware_id", "proven_by", "version")
    statement = (
        sa.select(Device.__table__, Project.company_id.label("owner_id"), Project.state)
        .add_columns(Production.hardware_id.label("built"), Production.order_number.label("built_for"))
        .outerjoin(Project, Project.id == Device.project_id)
        .outerjoin(Production, Production.hardware_id == Device.hardware_id)
    )
    for row in stream(connection, statement.order_by(in_order(connection, Device.id))):
        checked += 1
        _digest(digest, row, columns)
        if row.owner_id != row.company_id:
            flaws.add(f"device {row.id}: company {row.company_id} is not that of project {row.project_id}")
        elif row.state == "closed" and row.deleted_at is None:
            flaws.add(f"device {row.id} is in the closed project {row.project_id}")
        if row.built is None:
            flaws.add(f"device {row.id}: {row.hardware_id} is not in the production data")
        elif row.order_number not in (None, row.built_for):
            flaws.add(f"device {row.id} has the number of another order than {row.hardware_id}")
        if row.order_number is not None and row.proven_by is None:
            flaws.add(f"device {row.id} has its order's number, which proves, and is not proven")
        if row.proven_by not in (None, *PROOFS):
            flaws.add(f"device {row.id} was proven by {row.proven_by!r}")
    return Check("records belong to their projects", checked, flaws.told(), digest.hexdigest())


def _once_per_company(connection: Connection) -> Check:
    """No company has two living records of one device (DEV-5)."""
    flaws = Flaws()
    living = sa.select(Device.company_id, Device.hardware_id, sa.func.count().label("number"))
    grouped = living.where(Device.deleted_at.is_(None)).group_by(Device.company_id, Device.hardware_id)
    for row in stream(connection, grouped.having(sa.func.count() > 1)):
        flaws.add(f"company {row.company_id} has {row.hardware_id} {row.number} times")
    alive = sa.select(sa.func.count()).select_from(Device).where(Device.deleted_at.is_(None))
    return Check("one record per company and device", connection.scalar(alive) or 0, flaws.told())


def _told(connection: Connection) -> Check:
    """Every record was told once when added and once when deleted, and is as its events say: thing, place, proof."""
    flaws, checked = Flaws(), 0
    columns = (Device.id, Device.hardware_id, Device.project_id, Device.order_number, Device.proven_by)
    texts = (Device.__table__.c[name] for name in COMMENTS)
    statement = sa.select(*columns, Device.deleted_at, Device.added_at, *texts)
    with Scratch() as told:
        for row, event in events(connection, _TOLD):
            told.add(event.subject, row.event)
            if event.type == "device_merged" and event.deviceid is not None:
                told.add(event.deviceid, json.dumps({**json.loads(row.event), "type": _KEPT}))
        rows = stream(connection, statement.order_by(in_order(connection, Device.id)))
        for device_id, found, documents in merged(((row.id, row) for row in rows), told.items()):
            checked += len(found)
            with flaws.reading(f"what was told of device {device_id}"):
                for flaw in _record_flaws(found, [json.loads(document) for document in documents]):
                    flaws.add(f"device {device_id} {flaw}")
    return Check("every record told once", checked, flaws.told())


def _record_flaws(found: list[Row[Any]], told: list[Mapping[str, Any]]) -> Iterator[str]:
    added = [event for event in told if event["type"] == "device_added"]
    # A record that an import joined with another one is gone like a deleted one.
    deleted = [event for event in told if event["type"] in ("device_deleted", "device_merged")]
    if not found:
        if added or deleted:
            yield "was told but has no record"
        return
    (row,) = found
    expected = (1, 0 if row.deleted_at is None else 1)
    if (len(added), len(deleted)) != expected:
        yield f"was told added and deleted {(len(added), len(deleted))} times, expected {expected}"
    # Events of old do not say it; those records were proven by the number that they have.
    said = added[-1]["data"].get("possession") if added else None
    proven = any(event["type"] == "device_possession_proven" for event in told)
    if (row.proven_by is not None) != (proven or (row.order_number is not None if said is None else said == PROVEN)):
        yield f"is {'proven' if row.proven_by else 'claimed'}, and was told otherwise"
    by = [event["data"]["by"] for event in told if event["type"] == "device_possession_proven"]
    if row.proven_by is not None and row.proven_by != (by[0] if by else ORDER_NUMBER):
        yield f"was proven by {row.proven_by}, and was told as proven by {by[0] if by else ORDER_NUMBER}"
    for event in told:
        if event.get("hardwareid", row.hardware_id) != row.hardware_id and event["type"] != "device_merged":
            yield f"is {row.hardware_id}, and was told as {event['hardwareid']}"
    yield from _time_flaws(row, added, deleted)
    yield from _comment_flaws(row, told)
    moves = [event for event in told if event["type"] in ("device_added", "device_moved")]
    places = [event["projectid"] for event in moves if "projectid" in event]
    if places and places[-1] != row.project_id and row.deleted_at is None:
        yield f"is in project {row.project_id}, and was told to be in {places[-1]}"


def _time_flaws(row: Row[Any], added: list[Mapping[str, Any]], deleted: list[Mapping[str, Any]]) -> Iterator[str]:
    for name, told in (("added", added), ("deleted", deleted)):
        at: datetime | None = getattr(row, f"{name}_at")
        said = datetime.fromisoformat(told[-1]["time"]) if told else None
        # Events say it in milliseconds.
        if at is not None and said is not None and not timedelta() <= at - said < timedelta(milliseconds=1):
            yield f"was {name} at {at:%Y-%m-%d %H:%M:%S}, and was told at {said:%Y-%m-%d %H:%M:%S}"


def _comment_flaws(row: Row[Any], told: list[Mapping[str, Any]]) -> Iterator[str]:
    for name in COMMENTS:
        said = ""
        for event in told:
            if event["type"] == "device_changed" and name in event["data"]["changes"]:
                said = event["data"]["changes"][name]["new"]
            elif event["type"] == _KEPT:
                # An import gave the record that it kept what it lacked itself.
                said = said or event["data"][name]
        if getattr(row, name) != said:
            yield f"has another {name} than was told ({len(getattr(row, name))} and {len(said)} characters)"


def _built_as_told(connection: Connection) -> Check:
    """What was built is as it was registered: type, order, day; and marked for repair as it was told last (DEV-8)."""
    flaws, checked = Flaws(), 0
    built = Production
    columns = (built.hardware_id, built.type, built.order_number, built.shipped_on, built.rma, built.warranty_months)
    statement = sa.select(*columns, built.extension_months, built.ssa_ends_on, built.registered_at)
    with Scratch() as told:
        for row, event in events(connection, _BUILT):
            # Companies are told of marks too, by their records; the one about the thing itself counts.
            if event.subject == event.hardwareid:
                told.add(event.subject, row.event)
        rows = stream(connection, statement.order_by(in_order(connection, built.hardware_id)))
        for hardware_id, found, documents in merged(((row.hardware_id, row) for row in rows), told.items()):
            checked += len(found)
            with flaws.reading(f"what was told of {hardware_id}"):
                for flaw in _built_flaws(found, [json.loads(document) for document in documents]):
                    flaws.add(f"production {hardware_id} {flaw}")
    return Check("what was built is as it was told", checked, flaws.told())


def _built_flaws(found: list[Row[Any]], told: list[Mapping[str, Any]]) -> Iterator[str]:
    registered = [event for event in told if event["type"] == "production_registered"]
    if not found:
        yield "was told and is not there"
        return
    (row,) = found
    if len(registered) != 1:
        yield f"was told as registered {len(registered)} times"
        return
    data, said_at = registered[0]["data"], datetime.fromisoformat(registered[0]["time"])
    said = (data["type"], data["order_number"], data["shipped_on"])
    day = row.shipped_on.isoformat() if row.shipped_on is not None else None
    if said != (row.type, row.order_number, day):
        yield f"is {row.type} of {day} for the order {row.order_number}, and was told as {said}"
    if row.warranty_months != data.get("warranty_months", row.warranty_months):
        yield f"has {row.warranty_months} months of warranty, and was told with {data['warranty_months']}"
    if row.extension_months or row.ssa_ends_on is not None:
        # Nothing sells these yet; what does will tell of it.
        yield f"has {row.extension_months} more months and an SSA until {row.ssa_ends_on}, which nothing gave it"
    if not timedelta() <= row.registered_at - said_at < timedelta(milliseconds=1):
        yield f"was registered at {row.registered_at:%Y-%m-%d %H:%M:%S}, and was told at {said_at:%Y-%m-%d %H:%M:%S}"
    marks = [event["type"] == "device_marked_rma" for event in told if event["type"] != "production_registered"]
    if row.rma != (bool(marks) and marks[-1]):
        yield f"is {'' if row.rma else 'not '}marked for repair, and was told otherwise"


def _digest(digest: Any, row: Row[Any], columns: tuple[str, ...]) -> None:
    values: list[Any] = [getattr(row, column) for column in columns]
    digest.update(json.dumps(values, default=str, separators=(",", ":")).encode())
