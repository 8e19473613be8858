"""The part of licensing's audit about what is written beside the amounts: who, for whom, when, where, until when (L18).

Each row is compared with the booking or the event of the very transaction that made it, and the catalogue with the file
that it was loaded from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.chassis.data.idempotency import canonical
from services.chassis.data.rows import columns_of, part_of
from services.licensing.domain.catalogue import expand
from services.licensing.models import (
    ActivationKey,
    CatalogueVersion,
    DeviceLine,
    DeviceType,
    LicenseType,
    Order,
    Transfer,
)

_SHIPPED: Final = Path(__file__).parents[1] / "catalogue.json"
_ORDERED: Final = ("number", "customer_name", "customer_reference", "devices", "licenses")


def check_stored(connection: Connection) -> list[Check]:
    """Return the checks of what stands beside the amounts: lines, keys, orders; and the catalogue.

    Args:
        connection: of a snapshot.
    """
    return [
        _check_lines(connection),
        _check_keys(connection),
        _check_orders(connection),
        _check_catalogue(connection),
    ]


def _check_lines(connection: Connection) -> Check:
    """Every line names company, person and time of the booking that began it, and the time of the one that ended it."""
    flaws, checked, line, ending = Flaws(), 0, DeviceLine, aliased(Transfer)
    statement = (
        sa.select(line.id, line.state, line.company_id, line.assigned_by, line.assigned_at, line.ended_at)
        .add_columns(line.ended_by, Transfer.company_id.label("payer_id"), Transfer.actor_id, Transfer.at)
        .add_columns(ending.at.label("end"))
        .outerjoin(Transfer, Transfer.id == line.transfer_id)
        .outerjoin(ending, ending.id == line.ended_by)
    )
    for row in stream(connection, statement):
        checked += 1
        said = (row.company_id, row.assigned_by, row.assigned_at)
        if said != (row.payer_id, row.actor_id, row.at):
            flaws.add(
                f"line {row.id} was assigned by {_shown(said)}, and booked by "
                f"{_shown((row.payer_id, row.actor_id, row.at))}"
            )
        if row.ended_at != row.end:
            flaws.add(f"line {row.id} ended at {_shown((row.ended_at,))}, and was booked at {_shown((row.end,))}")
        if (row.state == "installed") != (row.ended_by is None):
            flaws.add(f"line {row.id} is {row.state} and was ended by {row.ended_by}")
    return Check("device lines say who and when", checked, flaws.told())


@dataclass(frozen=True, slots=True)
class _Key:
    """A key, and who booked its making when."""

    id: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    company_id: str | None
    project_id: str | None
    comment: str
    actor_id: str | None
    at: datetime | None


def _check_keys(connection: Connection) -> Check:
    """Every key was made by its order's booking, belongs to nobody before it is used, and has the comment told."""
    flaws, checked, key = Flaws(), 0, ActivationKey
    booked = Transfer.__table__.c
    statement = sa.select(*columns_of(_Key, key.__table__, actor_id=booked.actor_id, at=booked.at)).outerjoin(
        Transfer, Transfer.id == sa.literal("order:") + key.id
    )
    with Scratch() as told:
        for row, event in events(connection, ("activation_key_redeemed",)):
            with flaws.reading(f"event {row.id} about a key"):
                told.add(event.subject, str(event.data["comment"]))
        rows = stream(connection, statement.order_by(in_order(connection, key.id)))
        for key_id, found, comments in merged(((row.id, row) for row in rows), told.items()):
            for row in found:
                checked += 1
                for flaw in _key_flaws(part_of(row, _Key), comments):
                    flaws.add(f"key {key_id} {flaw}")
    return Check("keys are as they were ordered", checked, flaws.told())


def _key_flaws(row: _Key, comments: list[str]) -> Iterator[str]:
    said = (row.created_by, row.created_at)
    if said != (row.actor_id, row.at):
        yield f"was made by {_shown(said)}, and booked by {_shown((row.actor_id, row.at))}"
    # Only orders make keys: those belong to whoever has the paper, and never end.
    for name in ("expires_at", "company_id", "project_id"):
        if getattr(row, name) is not None:
            yield f"has {name} = {getattr(row, name)}, which a key of an order has not"
    expected = comments[-1] if comments else ""
    if row.comment != expected:
        yield f"has another comment than was told when it was used ({len(row.comment)} and {len(expected)} characters)"


_Told = tuple[list[str], dict[str, int], str | None, str]
"""Devices, licenses, key and time, as it was told that an order is done."""


@dataclass(frozen=True, slots=True)
class _Order:
    number: str
    fingerprint: str
    state: str
    customer_name: str
    customer_reference: str
    devices: Sequence[Mapping[str, str]]
    licenses: Sequence[tuple[str, int]]
    key_id: str | None
    created_at: datetime
    resumed_at: datetime | None


def _check_orders(connection: Connection) -> Check:
    """Every order is what was entered, by its fingerprint, and what was told when it was done."""
    flaws, checked = Flaws(), 0
    with Scratch() as told:
        for row, event in events(connection, ("order_entered",)):
            with flaws.reading(f"event {row.id} about an order"):
                told.add(event.subject, _order_told(event.data, row.created_at))
        rows = stream(connection, sa.select(Order.__table__).order_by(in_order(connection, Order.number)))
        for number, found, facts in merged(((row.number, row) for row in rows), told.items()):
            if not found:
                flaws.add(f"order {number} was told and is not there")
            for row in found:
                checked += 1
                with flaws.reading(f"order {number}"):
                    for flaw in _order_flaws(part_of(row, _Order), [json.loads(fact) for fact in facts]):
                        flaws.add(f"order {number} {flaw}")
    return Check("orders are as they were entered", checked, flaws.told())


def _order_told(data: Mapping[str, Any], at: datetime) -> str:
    licenses = {line["license_type"]: line["quantity"] for line in data["licenses"]}
    return json.dumps([data["devices"], licenses, data["activation_key_id"], at.isoformat()])


def _order_flaws(row: _Order, told: Sequence[_Told]) -> Iterator[str]:
    entered = {name: getattr(row, name) for name in _ORDERED}
    if hashlib.sha256(canonical(entered).encode()).hexdigest() != row.fingerprint:
        yield "has other contents than its fingerprint says"
    if len(told) != (1 if row.state == "done" else 0):
        yield f"is {row.state} and was told {len(told)} times"
        return
    for devices, licenses, key_id, at in told:
        said = ([device["hardware_id"] for device in row.devices], dict(row.licenses), row.key_id)
        if said != (devices, licenses, key_id):
            yield f"is {said}, and was told as {(devices, licenses, key_id)}"
        for name, moment in (("created_at", row.created_at), ("resumed_at", row.resumed_at)):
            if moment is not None and moment > datetime.fromisoformat(at):
                yield f"has {name} = {_shown((moment,))}, and was told as done at {at}"


def _check_catalogue(connection: Connection) -> Check:
    """License types, versions and models are those that the product is shipped with."""
    flaws, shipped = Flaws(), _shipped()
    columns = [LicenseType.__table__.c[name] for name in (*_type_columns(), "position")]
    stored: dict[tuple[str, str | int], tuple[object, ...]] = {
        ("license type", row.id): tuple(row) for row in connection.execute(sa.select(*columns))
    }
    # Nothing edits models yet; what will, must tell of it.
    stored |= {
        ("device type", row.id): (row.category, row.warranty_months, row.maxima, row.origin)
        for row in connection.execute(sa.select(DeviceType.__table__))
    }
    stored |= {
        ("version", row.version): (row.offered,) for row in connection.execute(sa.select(CatalogueVersion.__table__))
    }
    wrong = [one for one in shipped.keys() | stored.keys() if stored.get(one) != shipped.get(one)]
    for kind, name in sorted(wrong, key=str):
        flaws.add(f"{kind} {name} is {stored.get((kind, name))}, and was shipped as {shipped.get((kind, name))}")
    return Check("the catalogue is as shipped", len(stored), flaws.told())


def _type_columns() -> list[str]:
    return [column.name for column in LicenseType.__table__.columns if column.name != "position"]


@cache
def _shipped() -> Mapping[tuple[str, str | int], tuple[object, ...]]:
    types, models, versions = expand(json.loads(_SHIPPED.read_text()))
    names = _type_columns()
    return {
        **{("license type", one.id): (*(getattr(one, name) for name in names), n) for n, one in enumerate(types)},
        **{("device type", one.id): (one.category, one.warranty_months, dict(one.maxima), "default") for one in models},
        **{("version", version): (offered,) for version, offered in versions.items()},
    }


def _shown(values: tuple[object, ...]) -> str:
    return " ".join(f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value) for value in values)
