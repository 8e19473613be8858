"""What a restored room lost and the others still know: each room settles its own part (rule R25).

Nobody writes another room's tables: what others know is handed to the room that owns it, and it tells what it did by
events, as always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import sqlalchemy as sa

from services.accounts.restored import settle_companies
from services.chassis.data.aliases import aliases
from services.chassis.data.db import Database
from services.chassis.data.reconcile import Follower
from services.chassis.data.unit import Unit
from services.devices.audit import copies as devices
from services.devices.commands.restored import take_back as take_back_devices
from services.devices.models import Device
from services.licensing import restored as licensing_restored
from services.licensing.audit import copies as licensing
from services.licensing.store import holders, ledger
from services.licensing.store.catalogue import get_catalogue
from services.projects.audit import copies as projects
from services.projects.restored import Heard, take_back

Work = Callable[[Unit], list[str]]
_MARKS = ("device_marked_rma", "device_unmarked_rma")


class _RehearsedError(Exception):
    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told


def settle(
    source: Database, others: Mapping[str, Database], followers: Iterable[Follower], *, dry_run: bool
) -> list[str]:
    """Let a restored room take back what others know; returns a sentence for each thing. Done again, it does no more.

    Args:
        source: database of the room that was restored.
        others: room -> database.
        followers: how the others stood to its log before that was reconciled.
        dry_run: only tell what would be done.
    """
    work = _WORKS.get(source.service)
    lost = {(event.type, event.subject) for follower in followers for event in follower.lost}
    # A deletion that licensing had only begun was told to nobody by event: no room need be ahead of it.
    is_ahead = any(follower.is_ahead for follower in followers) or source.service == "licensing"
    if work is None or not is_ahead:
        return []
    done = _written(source, work(others, lost), dry_run=dry_run)
    if source.service == "devices" and not dry_run:
        # Nothing tells of a record that nobody knows any more.
        gone = [subject for kind, subject in lost if kind == "device_added"]
        unknown = source.read(partial(_unknown_records, device_ids=gone))
        others["licensing"].write(partial(_drop_holders, device_ids=unknown))
    return done


def company_names(database: Database) -> dict[str, str]:
    """Return the names of the companies that projects knows."""
    return database.read(lambda connection: dict(projects.known_names(connection)), snapshot=True)


def _written(database: Database, work: Work, *, dry_run: bool) -> list[str]:
    def rehearse(unit: Unit) -> list[str]:
        raise _RehearsedError(work(unit))

    if not dry_run:
        return database.write(work)
    try:
        return database.write(rehearse)
    except _RehearsedError as rehearsed:
        return rehearsed.told


def _accounts(others: Mapping[str, Database], lost: set[tuple[str, str]]) -> Work:
    absorbed = sa.select(aliases.c.old_id, aliases.c.new_id)
    known = others["projects"].read(lambda connection: {row.old_id: row.new_id for row in connection.execute(absorbed)})
    return partial(settle_companies, named=company_names(others["projects"]), absorbed=known)


def _projects(others: Mapping[str, Database], lost: set[tuple[str, str]]) -> Work:
    copies = [
        *others["devices"].read(lambda connection: list(devices.known_projects(connection)), snapshot=True),
        *others["licensing"].read(lambda connection: list(licensing.known_projects(connection)), snapshot=True),
    ]
    told = [Heard(project_id, *json.loads(fact)) for project_id, fact in copies]
    return partial(take_back, heard=told, rights=others["licensing"].read(licensing_restored.rights))


def _devices(others: Mapping[str, Database], lost: set[tuple[str, str]]) -> Work:
    database = others["licensing"]
    catalogue = get_catalogue(database)
    marked = {subject for kind, subject in lost if kind in _MARKS}
    marks = database.read(lambda connection: {name: ledger.is_rma(connection, name) for name in marked})
    orders = database.read(partial(licensing_restored.orders, catalogue=catalogue))
    holding = database.read(lambda connection: dict(licensing.holders(connection)), snapshot=True)
    holders = {device_id: json.loads(fact) for device_id, fact in holding.items()}
    return partial(take_back_devices, orders=orders, lost=sorted(lost), marks=marks, holders=holders)


def _licensing(others: Mapping[str, Database], lost: set[tuple[str, str]]) -> Work:
    closings = [
        *others["projects"].read(lambda connection: list(projects.closings(connection)), snapshot=True),
        *others["devices"].read(lambda connection: list(devices.closings(connection)), snapshot=True),
    ]
    ended = {closing_id: project_id for project_id, closing_id in closings}
    return partial(licensing_restored.end_unknown_closings, closings=ended)


def _unknown_records(connection: sa.Connection, device_ids: list[str]) -> list[str]:
    known = set(connection.execute(sa.select(Device.id).where(Device.id.in_(device_ids))).scalars())
    return [device_id for device_id in device_ids if device_id not in known]


def _drop_holders(unit: Unit, device_ids: list[str]) -> None:
    for device_id in device_ids:
        holders.drop(unit.connection, device_id)


_WORKS: dict[str, Callable[[Mapping[str, Database], set[tuple[str, str]]], Work]] = {
    "accounts": _accounts,
    "projects": _projects,
    "devices": _devices,
    "licensing": _licensing,
}
