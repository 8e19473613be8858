"""Licensing's own audit: adds the whole ledger up again and compares it with everything that is cached (L14).

It shares no code with the bookings: only the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.audit.checks import Check, Flaws, Report, read_all, stream
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.audit.rows import check_rows
from services.chassis.data.db import Database
from services.chassis.data.idempotency import database_time
from services.chassis.data.rows import columns_of, part_of
from services.chassis.data.tables import metadata
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings
from services.licensing.audit.certificates import check_certificates
from services.licensing.audit.filed import check_filed
from services.licensing.audit.files import check_files
from services.licensing.audit.issued import check_issued
from services.licensing.audit.keys import check_keys, check_sealed_keys
from services.licensing.audit.lines import check_lines
from services.licensing.audit.stored import check_stored
from services.licensing.audit.told import check_told
from services.licensing.models import (
    ActivationKey,
    Balance,
    Base,
    Order,
    Pool,
    Project,
    ProjectDeletion,
    Transfer,
    TransferEntry,
)

_OWN_POOL = sa.literal("project:") + Project.id
_STUCK_AFTER = timedelta(minutes=5)
_PAGE = 500
_Pools = dict[str, dict[str, int]]
"""Pool -> license type -> quantity."""


def audit(settings: Settings) -> Report:
    """Audit licensing's database."""
    database = Database.from_settings(settings, "licensing", pool_size=1)
    keystore = KeyStore.from_settings(settings, "licensing")
    try:
        return read_all(database, lambda connection: report(connection, keystore))
    finally:
        database.close()


def report(connection: Connection, keystore: KeyStore) -> Report:
    """Report all checks over one snapshot."""
    return outbox_report(
        connection,
        "licensing",
        partial(check_rows, connection, Base.metadata, aliases.metadata, metadata),
        *ledger_checks(connection),
        partial(check_files, connection, keystore),
        partial(check_certificates, connection, keystore),
        partial(check_issued, connection),
        partial(check_sealed_keys, connection, keystore),
        partial(aliases.check_unused, connection, OWNERS),
    )


OWNERS = (Project.company_id, ActivationKey.company_id, ActivationKey.used_company_id)
"""What an import gives to the importing company."""


def check_ledger(connection: Connection) -> list[Check]:
    """Return all checks of the ledger, keys, device lines and orders."""
    made = (maker() for maker in ledger_checks(connection))
    return [check for found in made for check in ([found] if isinstance(found, Check) else found)]


def ledger_checks(connection: Connection) -> list[Callable[[], Check | list[Check]]]:
    """Return what makes the checks of the ledger, one by one, so that garbage stops no more than one of them."""
    makers = (
        _check_transfers,
        _check_balances,
        _check_totals,
        _check_keys,
        check_lines,
        check_filed,
        _check_projects,
        _check_deletions,
        _check_orders,
        check_told,
        check_keys,
        check_stored,
    )
    return [partial(maker, connection) for maker in makers]


def _check_transfers(connection: Connection) -> Check:
    """I1: the lines of each transfer sum to zero per license type, and there are at least two."""
    flaws = Flaws()
    entry = TransferEntry
    for row in stream(
        connection,
        sa.select(entry.transfer_id, entry.license_type, sa.func.sum(entry.quantity).label("total"))
        .group_by(entry.transfer_id, entry.license_type)
        .having(sa.func.sum(entry.quantity) != 0),
    ):
        flaws.add(f"transfer {row.transfer_id} moves {row.total} {row.license_type} out of nowhere")
    for row in stream(connection, sa.select(Transfer.id).where(~sa.exists().where(entry.transfer_id == Transfer.id))):
        flaws.add(f"transfer {row.id} has no lines")
    return Check("transfers sum to zero", _count(connection, Transfer), flaws.told())


def _check_balances(connection: Connection) -> Check:
    """I2, I3: every cached balance is the sum of its entries, and only what was issued is below zero."""
    flaws = Flaws()
    entry = TransferEntry
    sums = (
        sa.select(entry.pool_id, entry.license_type, sa.func.sum(entry.quantity).label("total"))
        .group_by(entry.pool_id, entry.license_type)
        .subquery()
    )
    same = sa.and_(sums.c.pool_id == Balance.pool_id, sums.c.license_type == Balance.license_type)
    total = sa.func.coalesce(sums.c.total, 0)
    cached = sa.select(Balance.pool_id, Balance.license_type, Balance.n, total.label("total"))
    for row in stream(connection, cached.outerjoin(sums, same).where(total != Balance.n)):
        flaws.add(f"{row.pool_id} caches {row.n} {row.license_type}, its entries sum to {row.total}")
    for row in stream(connection, cached.outerjoin(sums, same).where(Balance.n < 0, Balance.pool_id != "issued")):
        flaws.add(f"{row.pool_id} holds {row.n} {row.license_type}")
    uncached = sa.select(sums).outerjoin(Balance, same).where(Balance.pool_id.is_(None))
    for row in stream(connection, uncached):
        flaws.add(f"{row.pool_id} has entries of {row.total} {row.license_type} and no balance")
    return Check("balances are the sums of their entries", _count(connection, Balance), flaws.told())


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


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    state: str
    licenses: Sequence[tuple[str, int]]
    used_project_id: str | None


def _check_keys(connection: Connection) -> Check:
    """I5: a key was redeemed as often as its state says, into its project, and holds what is left."""
    flaws = Flaws()
    key = ActivationKey
    checked = 0
    rows = stream(connection, sa.select(*columns_of(_Key, key.__table__)).order_by(key.id))
    keys = (part_of(row, _Key) for row in rows)
    while page := list(islice(keys, _PAGE)):
        checked += len(page)
        redeemed, pools = [f"redeem:{one.id}" for one in page], [f"key:{one.id}" for one in page]
        entries = _contents_of(connection, _POSTED.where(TransferEntry.transfer_id.in_(redeemed)))
        held = _contents_of(connection, _HELD.where(Balance.pool_id.in_(pools)))
        for one in page:
            with flaws.reading(f"key {one.id}"):
                for flaw in _key_flaws(one, entries.get(f"redeem:{one.id}"), held.get(f"key:{one.id}", {})):
                    flaws.add(f"key {one.id} {flaw}")
    orphans = sa.select(Transfer.id).where(
        Transfer.kind == "redeem", ~sa.exists().where(Transfer.id == sa.literal("redeem:") + key.id)
    )
    for row in stream(connection, orphans):
        flaws.add(f"key {row.id.removeprefix('redeem:')} was redeemed and does not exist")
    return Check("keys are redeemed at most once", checked, flaws.told())


_POSTED = sa.select(
    TransferEntry.transfer_id, TransferEntry.pool_id, TransferEntry.license_type, TransferEntry.quantity
)
_HELD = sa.select(Balance.pool_id, Balance.pool_id, Balance.license_type, Balance.n).where(Balance.n != 0)


def _contents_of(connection: Connection, statement: sa.Select[str, str, str, int]) -> dict[str, _Pools]:
    """Return by key, pool and license type what rows say."""
    found: dict[str, _Pools] = {}
    for name, pool_id, license_type, n in connection.execute(statement):
        moved = found.setdefault(name, {}).setdefault(pool_id, {})
        moved[license_type] = moved.get(license_type, 0) + n
    return found


def _key_flaws(key: _Key, moved: _Pools | None, held: _Pools) -> Iterator[str]:
    contents = {str(license_type): int(quantity) for license_type, quantity in key.licenses}
    left = held.get(f"key:{key.id}", {})
    if key.state == "used":
        taken = {license_type: -n for license_type, n in contents.items()}
        if moved != {f"project:{key.used_project_id}": contents, f"key:{key.id}": taken}:
            yield f"is used, but its redemption moved {dict(moved or {})}"
        if left:
            yield f"is used and still holds {left}"
    elif moved is not None:
        yield f"is {key.state} and was redeemed"
    elif key.state != "open":
        # Nothing cancels the key of an order, and none of them ends.
        yield f"is {key.state}, which no key of an order becomes"
    elif left != contents:
        yield f"should hold {contents} and holds {left}"


def _check_projects(connection: Connection) -> Check:
    """Every project's pool has its project, so that no balance belongs to nobody (I10)."""
    flaws = Flaws()
    orphans = connection.scalars(
        sa.select(Pool.id).where(Pool.kind == "project", ~sa.exists().where(Project.pool_id == Pool.id))
    )
    for pool_id in orphans:
        flaws.add(f"{pool_id} has no project")
    for row in stream(connection, sa.select(Project.id, Project.pool_id).where(Project.pool_id != _OWN_POOL)):
        flaws.add(f"project {row.id} has {row.pool_id}, which is another one's")
    named = sa.case((Pool.id.like("%:%"), Pool.id.not_like(Pool.kind + ":%")), else_=Pool.id != Pool.kind)
    for row in stream(connection, sa.select(Pool.id, Pool.kind).where(named)):
        flaws.add(f"{row.id} is known as {row.kind}")
    return Check("pools belong to projects", _count(connection, Project), flaws.told())


def _check_deletions(connection: Connection) -> Check:
    """A deleted project holds nothing, no deletion is stuck, and none that ended keeps a project closed (I10, I12)."""
    flaws, checked, deletion = Flaws(), 0, ProjectDeletion
    since = database_time(connection) - _STUCK_AFTER
    for row in stream(connection, sa.select(*deletion.__table__.columns)):
        checked += 1
        if not row.told and row.started_at < since:
            flaws.add(f"the deletion of project {row.project_id} is {row.state} since {row.started_at:%Y-%m-%d %H:%M}")
    deleted = sa.select(deletion.project_id).where(deletion.state == "deleted")
    held = sa.select(Project.id).join(Balance, Balance.pool_id == Project.pool_id)
    for (project_id,) in stream(connection, held.where(Project.id.in_(deleted), Balance.n != 0).distinct()):
        flaws.add(f"the deleted project {project_id} has a balance")
    keys = sa.select(ActivationKey.id, ActivationKey.used_project_id)
    for key in stream(connection, keys.where(ActivationKey.used_project_id.in_(deleted))):
        flaws.add(f"the key {key.id} was added to the deleted project {key.used_project_id}")
    own = sa.exists().where(Project.id == deletion.project_id, Project.closing_id == deletion.closing_id)
    for row in stream(connection, sa.select(deletion.project_id).where(deletion.state == "deleted", ~own)):
        flaws.add(f"the project {row.project_id} was deleted, and is not closed for that")
    closing = sa.select(deletion.closing_id).where(deletion.state.in_(("counting", "closing", "deleted")))
    closed = sa.select(Project.id, Project.closing_id).where(Project.closing_id.is_not(None))
    for project in stream(connection, closed.where(Project.closing_id.not_in(closing))):
        flaws.add(f"project {project.id} is closed for {project.closing_id}, which is no deletion any more")
    return Check("deleted projects are empty", checked, flaws.told())


@dataclass(frozen=True, slots=True)
class _Order:
    """An order, and what its key holds and says."""

    number: str
    state: str
    licenses: Sequence[tuple[str, int]]
    key_id: str | None
    created_at: datetime
    held: Sequence[tuple[str, int]] | None
    said: str | None


def _check_orders(connection: Connection) -> Check:
    """An order that is done has its key if it holds licenses, with just those; one that is not is a saga (I12)."""
    flaws, checked = Flaws(), 0
    held, said = ActivationKey.__table__.c.licenses, ActivationKey.__table__.c.order_number
    statement = sa.select(*columns_of(_Order, Order.__table__, held=held, said=said))
    # The oldest first: what is under way goes away by itself.
    statement = statement.outerjoin(ActivationKey, ActivationKey.id == Order.key_id).order_by(Order.created_at)
    for order in stream(connection, statement):
        checked += 1
        with flaws.reading(f"order {order.number}"):
            for flaw in _order_flaws(part_of(order, _Order)):
                flaws.add(f"order {order.number} {flaw}")
    ordered = sa.select(ActivationKey.id, ActivationKey.order_number).where(ActivationKey.order_number.is_not(None))
    own = sa.exists().where(Order.number == ActivationKey.order_number, Order.key_id == ActivationKey.id)
    for key in stream(connection, ordered.where(~own)):
        flaws.add(f"key {key.id} is of the order {key.order_number}, which does not have it")
    return Check("orders are finished", checked, flaws.told(), passing=True)


def _order_flaws(order: _Order) -> Iterator[str]:
    if order.state != "done":
        yield f"of {order.created_at:%Y-%m-%d %H:%M} was not finished: enter it again unchanged"
    elif bool(order.licenses) != (order.key_id is not None):
        yield f"holds {order.licenses} and has the key {order.key_id}"
    elif order.key_id is not None and (order.said != order.number or _sums(order.held) != _sums(order.licenses)):
        yield f"holds {order.licenses}, its key {order.key_id} is of another order"


def _sums(licenses: Sequence[tuple[str, int]] | None) -> dict[str, int]:
    sums: dict[str, int] = {}
    for license_type, quantity in licenses or ():
        sums[license_type] = sums.get(license_type, 0) + quantity
    return sums


def _count(connection: Connection, table: type[Transfer | Project | Balance]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
