"""Licensing's own audit: adds the whole ledger up again and compares it with everything that is cached (L14).

It shares no code with the bookings: only the tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.aliases import check_unused
from services.chassis.audit import Check, Flaws, Report, outbox_report
from services.chassis.db import Database
from services.chassis.idempotency import database_time
from services.chassis.keystore import KeyStore
from services.chassis.settings import Settings
from services.licensing.audit_files import check_files
from services.licensing.models import (
    ActivationKey,
    Balance,
    DeviceLine,
    Order,
    Pool,
    Project,
    ProjectDeletion,
    Transfer,
    TransferEntry,
)

_STUCK_AFTER = timedelta(minutes=5)


def audit(settings: Settings) -> Report:
    """Audit licensing's database."""
    database = Database.from_settings(settings, "licensing", pool_size=1)
    keystore = KeyStore.from_settings(settings, "licensing")
    try:
        return database.read(lambda connection: _report(connection, keystore), snapshot=True)
    finally:
        database.close()


def _report(connection: Connection, keystore: KeyStore) -> Report:
    owners = check_unused(connection, (Project.company_id, ActivationKey.company_id, ActivationKey.used_company_id))
    checks = [*check_ledger(connection), *check_files(connection, keystore), owners]
    return outbox_report(connection, "licensing", checks)


def check_ledger(connection: Connection) -> list[Check]:
    """Return all checks of the ledger, keys, device lines and orders."""
    return [
        _check_transfers(connection),
        _check_balances(connection),
        _check_totals(connection),
        _check_keys(connection),
        _check_lines(connection),
        _check_projects(connection),
        _check_deletions(connection),
        _check_orders(connection),
    ]


def _check_transfers(connection: Connection) -> Check:
    """I1: the lines of each transfer sum to zero per license type, and there are at least two."""
    flaws = Flaws()
    entry = TransferEntry
    for row in connection.execute(
        sa.select(entry.transfer_id, entry.license_type, sa.func.sum(entry.quantity).label("total"))
        .group_by(entry.transfer_id, entry.license_type)
        .having(sa.func.sum(entry.quantity) != 0)
    ):
        flaws.add(f"transfer {row.transfer_id} moves {row.total} {row.license_type} out of nowhere")
    for transfer_id in connection.scalars(
        sa.select(Transfer.id).where(~sa.exists().where(entry.transfer_id == Transfer.id))
    ):
        flaws.add(f"transfer {transfer_id} has no lines")
    return Check("transfers sum to zero", _count(connection, Transfer), flaws.told())


def _check_balances(connection: Connection) -> Check:
    """I2, I3: every cached balance is the sum of its entries, and only what was issued is below zero."""
    flaws = Flaws()
    entry = TransferEntry
    sums = {
        (row.pool_id, row.license_type): int(row.total)
        for row in connection.execute(
            sa.select(entry.pool_id, entry.license_type, sa.func.sum(entry.quantity).label("total")).group_by(
                entry.pool_id, entry.license_type
            )
        )
    }
    checked = 0
    for row in connection.execute(sa.select(Balance.pool_id, Balance.license_type, Balance.n)):
        checked += 1
        total = sums.pop((row.pool_id, row.license_type), 0)
        if total != row.n:
            flaws.add(f"{row.pool_id} caches {row.n} {row.license_type}, its entries sum to {total}")
        if row.n < 0 and row.pool_id != "issued":
            flaws.add(f"{row.pool_id} holds {row.n} {row.license_type}")
    for (pool_id, license_type), total in sums.items():
        flaws.add(f"{pool_id} has entries of {total} {license_type} and no balance")
    return Check("balances are the sums of their entries", checked, flaws.told())


def _check_totals(connection: Connection) -> Check:
    """All pools together hold zero of each license type: what is out there is what was issued."""
    flaws = Flaws()
    rows = connection.execute(
        sa.select(Balance.license_type, sa.func.sum(Balance.n).label("total")).group_by(Balance.license_type)
    ).all()
    for row in rows:
        if row.total:
            flaws.add(f"all pools together hold {row.total} {row.license_type} more than were issued")
    return Check("license types sum to zero", len(rows), flaws.told())


def _check_keys(connection: Connection) -> Check:
    """I5: a key was redeemed as often as its state says, into its project, and holds what is left."""
    flaws = Flaws()
    redeemed = _redemptions(connection)
    held = _pool_contents(connection, "key")
    checked = 0
    for key in connection.execute(
        sa.select(ActivationKey.id, ActivationKey.state, ActivationKey.licenses, ActivationKey.used_project_id)
    ):
        checked += 1
        contents = {str(license_type): int(quantity) for license_type, quantity in key.licenses}
        left = held.pop(f"key:{key.id}", {})
        credited = redeemed.pop(key.id, None)
        if key.state == "used":
            if credited != {f"project:{key.used_project_id}": contents}:
                flaws.add(f"key {key.id} is used, but its redemption credited {credited}")
            if left:
                flaws.add(f"key {key.id} is used and still holds {left}")
        elif credited is not None:
            flaws.add(f"key {key.id} is {key.state} and was redeemed")
        elif key.state == "open" and left != contents:
            flaws.add(f"key {key.id} should hold {contents} and holds {left}")
    for key_id in redeemed:
        flaws.add(f"key {key_id} was redeemed and does not exist")
    return Check("keys are redeemed at most once", checked, flaws.told())


def _redemptions(connection: Connection) -> dict[str, dict[str, dict[str, int]]]:
    entry = TransferEntry
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in connection.execute(
        sa.select(entry.transfer_id, entry.pool_id, entry.license_type, entry.quantity)
        .join(Transfer, Transfer.id == entry.transfer_id)
        .where(Transfer.kind == "redeem", entry.quantity > 0)
    ):
        found[row.transfer_id.removeprefix("redeem:")][row.pool_id][row.license_type] = row.quantity
    return {key_id: {pool: dict(contents) for pool, contents in pools.items()} for key_id, pools in found.items()}


def _check_lines(connection: Connection) -> Check:
    """What the lines say is on a device is what its pool holds, and an ended line has the transfer that ended it."""
    flaws = Flaws()
    held = _pool_contents(connection, "device")
    said: dict[str, dict[str, int]] = defaultdict(dict)
    checked = 0
    ended = set(connection.scalars(sa.select(Transfer.id).where(Transfer.kind.not_in(["assign", "order", "redeem"]))))
    for line in connection.execute(
        sa.select(DeviceLine.id, DeviceLine.hardware_id, DeviceLine.license_type, DeviceLine.quantity).add_columns(
            DeviceLine.state, DeviceLine.ended_by, DeviceLine.file_issued
        )
    ):
        checked += 1
        if line.state == "installed":
            device = said[f"device:{line.hardware_id}"]
            device[line.license_type] = device.get(line.license_type, 0) + line.quantity
        elif line.ended_by not in ended:
            flaws.add(f"line {line.id} is {line.state} by a transfer that does not exist")
        if line.state == "taken_back" and line.file_issued != "none":
            flaws.add(f"line {line.id} was taken back although a license file holds it")
        if line.state == "returned" and line.file_issued != "encrypted":
            flaws.add(f"line {line.id} was returned although its file was issued {line.file_issued}")
    for pool_id in held.keys() | said.keys():
        if held.get(pool_id, {}) != said.get(pool_id, {}):
            flaws.add(f"{pool_id} holds {held.get(pool_id, {})}, its lines say {dict(said.get(pool_id, {}))}")
    return Check("device lines match the ledger", checked, flaws.told())


def _check_projects(connection: Connection) -> Check:
    """Every project's pool has its project, so that no balance belongs to nobody (I10)."""
    flaws = Flaws()
    orphans = connection.scalars(
        sa.select(Pool.id).where(Pool.kind == "project", ~sa.exists().where(Project.pool_id == Pool.id))
    )
    for pool_id in orphans:
        flaws.add(f"{pool_id} has no project")
    return Check("pools belong to projects", _count(connection, Project), flaws.told())


def _check_deletions(connection: Connection) -> Check:
    """A deleted project holds nothing, no deletion is stuck, and none that ended keeps a project closed (I10, I12)."""
    flaws = Flaws()
    rows = connection.execute(sa.select(*ProjectDeletion.__table__.columns)).all()
    since = database_time(connection) - _STUCK_AFTER
    for row in rows:
        if not row.told and row.started_at < since:
            flaws.add(f"the deletion of project {row.project_id} is {row.state} since {row.started_at:%Y-%m-%d %H:%M}")
    deleted = [row.project_id for row in rows if row.state == "deleted"]
    held = sa.select(Project.id).join(Balance, Balance.pool_id == Project.pool_id)
    for project_id in connection.scalars(held.where(Project.id.in_(deleted), Balance.n != 0).distinct()):
        flaws.add(f"the deleted project {project_id} has a balance")
    keys = sa.select(ActivationKey.id, ActivationKey.used_project_id)
    for key in connection.execute(keys.where(ActivationKey.used_project_id.in_(deleted))):
        flaws.add(f"the key {key.id} was added to the deleted project {key.used_project_id}")
    closing = {row.closing_id for row in rows if row.state in ("counting", "closing", "deleted")}
    for project in connection.execute(sa.select(Project.id, Project.closing_id).where(Project.closing_id.is_not(None))):
        if project.closing_id not in closing:
            flaws.add(f"project {project.id} is closed for {project.closing_id}, which is no deletion any more")
    return Check("deleted projects are empty", len(rows), flaws.told())


def _check_orders(connection: Connection) -> Check:
    """An order that is done has its key if it holds licenses; one that is not is an open saga (I12)."""
    flaws = Flaws()
    checked = 0
    for order in connection.execute(sa.select(Order.number, Order.state, Order.licenses, Order.key_id)):
        checked += 1
        if order.state != "done":
            flaws.add(f"order {order.number} was not finished: enter it again unchanged")
        elif bool(order.licenses) != (order.key_id is not None):
            flaws.add(f"order {order.number} holds {order.licenses} and has the key {order.key_id}")
    return Check("orders are finished", checked, flaws.told())


def _pool_contents(connection: Connection, kind: str) -> dict[str, dict[str, int]]:
    rows = connection.execute(
        sa.select(Balance.pool_id, Balance.license_type, Balance.n)
        .join(Pool, Pool.id == Balance.pool_id)
        .where(Pool.kind == kind, Balance.n != 0)
    )
    return _by_pool((row.pool_id, row.license_type, row.n) for row in rows)


def _by_pool(rows: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    pools: dict[str, dict[str, int]] = {}
    for pool_id, license_type, n in rows:
        pools.setdefault(pool_id, {})[license_type] = n
    return pools


def _count(connection: Connection, table: type[Transfer | Project]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
