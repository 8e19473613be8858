"""SQL of the ledger: one way to post, one way to lock (L1-L4).

A transfer touches its pools in the order of their ids, debits by `n = n - q WHERE n >= q`, credits by adding. Every
statement here is prepared once: the spend of a license is the busiest write of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import attrgetter

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from services.chassis.data.db import Unit, UtcDateTime, insert_or_ignore
from services.chassis.errors import ServiceError
from services.licensing.models import Balance, Pool, Transfer

ISSUED = "issued"
VOID = "void"
PENDING = "pending"


class ShortError(Exception):
    """A pool holds less than a transfer takes from it; the transaction must end.

    Args:
        pool_id: the pool.
        license_type: what is short.
    """

    def __init__(self, pool_id: str, license_type: str) -> None:
        super().__init__(pool_id, license_type)
        self.pool_id = pool_id
        self.license_type = license_type


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transfer: what a pool gains, negative for what it loses."""

    pool_id: str
    license_type: str
    quantity: int


def project_pool(project_id: str) -> str:
    """Return the pool id of a project."""
    return f"project:{project_id}"


def device_pool(hardware_id: str) -> str:
    """Return the pool id of a device; its licenses are the thing's own, whoever has it (DEV-5)."""
    return f"device:{hardware_id}"


def key_pool(key_id: str) -> str:
    """Return the pool id of an activation key."""
    return f"key:{key_id}"


_DEBIT = (
    sa.update(Balance)
    .where(
        Balance.pool_id == bindparam("pool"),
        Balance.license_type == bindparam("type"),
        (Balance.n >= bindparam("q")) | (Balance.pool_id == ISSUED),
    )
    .values(n=Balance.n - bindparam("q"))
)
_BUMP = sa.update(Pool).where(Pool.id == bindparam("pool")).values(revision=Pool.revision + 1).returning(Pool.rma)
_BALANCE_COLUMNS = ("pool_id", "license_type", "n")
_TRANSFER_COLUMNS = ("id", "kind", "company_id", "actor_id", "reason", "at")
_ENTRY_COLUMNS = ("transfer_id", "number", "pool_id", "license_type", "quantity")
_INSERT_TRANSFER = sa.insert(Transfer)


# One statement for all rows, kept per number of rows: as a list of parameters the driver would send a statement for
# each row, and as a construct it would be compiled again each time.
@cache
def _credit_statement(count: int) -> sa.TextClause:
    return sa.text(
        f"INSERT INTO balances ({', '.join(_BALANCE_COLUMNS)}) VALUES {_placeholders(_BALANCE_COLUMNS, count)} "  # noqa: S608 - names of our own columns
        "ON CONFLICT (pool_id, license_type) DO UPDATE SET n = balances.n + excluded.n"
    )


@cache
def _booking_statement(dialect: str, count: int) -> sa.TextClause:
    values = _placeholders(_ENTRY_COLUMNS, count)
    lines = f"INSERT INTO transfer_entries ({', '.join(_ENTRY_COLUMNS)}) VALUES {values}"  # noqa: S608 - our own names
    if dialect != "postgresql":
        return sa.text(lines)
    # The transfer goes with its lines. SQLite has no such statement, and no way to a server to save.
    values = ", ".join(f":transfer_{name}" for name in _TRANSFER_COLUMNS)
    transfer = f"INSERT INTO transfers ({', '.join(_TRANSFER_COLUMNS)}) VALUES ({values})"  # noqa: S608 - our own names
    return sa.text(f"WITH transfer AS ({transfer}) {lines}").bindparams(bindparam("transfer_at", type_=UtcDateTime()))


def _placeholders(columns: Sequence[str], count: int) -> str:
    rows = (", ".join(f":{name}_{place}" for name in columns) for place in range(count))
    return ", ".join(f"({row})" for row in rows)


def _parameters(rows: Iterable[Mapping[str, object]]) -> dict[str, object]:
    return {f"{name}_{place}": value for place, row in enumerate(rows) for name, value in row.items()}


def ensure_pool(connection: Connection, pool_id: str) -> None:
    """Make a pool unless it is there; its kind is what stands before the colon."""
    insert_or_ignore(connection, Pool, {"id": pool_id, "kind": pool_id.partition(":")[0]})


def lock_device(unit: Unit, hardware_id: str) -> bool:
    """Lock a device's licenses until the end of the transaction; returns whether the device is marked RMA by now.

    Everything that changes what is on a device starts here: the device's pool is the first in the order of locks.
    """
    pool_id = device_pool(hardware_id)
    for _ in range(2):
        rma: bool | None = unit.connection.execute(_BUMP, {"pool": pool_id}).scalar()
        if rma is not None:
            return rma
        ensure_pool(unit.connection, pool_id)
    raise AssertionError("a pool that was just made is gone")


def mark_rma(connection: Connection, hardware_id: str, *, rma: bool) -> None:
    """Keep a device's RMA mark as devices told it; waits for whoever is changing its licenses."""
    pool_id = device_pool(hardware_id)
    ensure_pool(connection, pool_id)
    connection.execute(sa.update(Pool).where(Pool.id == pool_id).values(rma=rma))


def is_rma(connection: Connection, hardware_id: str) -> bool:
    """Tell whether devices told that a device is marked RMA."""
    return bool(connection.scalar(sa.select(Pool.rma).where(Pool.id == device_pool(hardware_id))))


def post(
    unit: Unit,
    transfer_id: str,
    kind: str,
    entries: Iterable[Entry],
    *,
    company_id: str | None,
    reason: str = "",
    actor_id: str | None = None,
) -> None:
    """Book a transfer: change the cached balances and write the lines, or change nothing (L1, L2).

    Args:
        unit: the running transaction.
        transfer_id: unique for ever; a second booking with it fails in the database.
        kind: such as `assign` or `redeem`.
        entries: lines; several of one pool and type are added up. Pools must exist.
        company_id: whose booking it is; None for the vendor's own.
        reason: for corrections.
        actor_id: whose doing it is where it is booked without a call of theirs, such as by a timer.

    Raises:
        ShortError: a pool holds too little.
        ValueError: the lines do not sum to zero per license type.
    """
    _move(unit.connection, _write(unit, transfer_id, kind, entries, company_id, reason, actor_id))


def post_at_end(
    unit: Unit,
    transfer_id: str,
    kind: str,
    entries: Iterable[Entry],
    *,
    company_id: str | None,
    shortage: Callable[[], ServiceError],
) -> None:
    """Book a transfer like `post`, but change the balances last of all in the transaction.

    A balance that many requests draw from stays locked from its debit to the commit; so the answer and the events are
    stored before it. Nothing of the transaction may look at these balances afterwards.

    Args:
        unit, transfer_id, kind, entries, company_id: as for `post`.
        shortage: makes the refusal when a pool holds too little.

    Raises:
        ValueError: the lines do not sum to zero per license type.
    """
    lines = _write(unit, transfer_id, kind, entries, company_id)

    def move() -> None:
        try:
            _move(unit.connection, lines)
        except ShortError:
            raise shortage() from None

    unit.at_end(move)


def lock_stock(
    connection: Connection, pool_ids: Sequence[str], license_types: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Lock balances in the canonical order and return them by pool and license type; absent means none."""
    rows = connection.execute(
        sa.select(Balance.pool_id, Balance.license_type, Balance.n)
        .where(Balance.pool_id.in_(pool_ids), Balance.license_type.in_(license_types))
        .order_by(Balance.pool_id, Balance.license_type)
        .with_for_update()
    )
    return {(row.pool_id, row.license_type): row.n for row in rows}


def balance_of(connection: Connection, pool_id: str, license_type: str) -> int:
    """Return what a pool holds of a license type."""
    n: int | None = connection.scalar(
        sa.select(Balance.n).where(Balance.pool_id == pool_id, Balance.license_type == license_type)
    )
    return n or 0


def contents(connection: Connection, pool_id: str) -> dict[str, int]:
    """Return everything that a pool holds, by license type."""
    rows = connection.execute(
        sa.select(Balance.license_type, Balance.n)
        .where(Balance.pool_id == pool_id, Balance.n != 0)
        .order_by(Balance.license_type)
    )
    return {row.license_type: row.n for row in rows}


def _netted(entries: Iterable[Entry]) -> list[Entry]:
    sums: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = (entry.pool_id, entry.license_type)
        sums[key] = sums.get(key, 0) + entry.quantity
    return [Entry(*key, quantity) for key, quantity in sorted(sums.items()) if quantity]


def _check_sum(lines: Sequence[Entry]) -> None:
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.license_type] = sums.get(line.license_type, 0) + line.quantity
    wrong = {license_type: total for license_type, total in sums.items() if total}
    if wrong or not lines:
        raise ValueError(f"The lines of a transfer must sum to zero per license type, but give {wrong or 'no line'}.")


def _credit(connection: Connection, lines: Sequence[Entry]) -> None:
    if lines:
        values = [{"pool_id": line.pool_id, "license_type": line.license_type, "n": line.quantity} for line in lines]
        connection.execute(_credit_statement(len(values)), _parameters(values))


def _write(
    unit: Unit,
    transfer_id: str,
    kind: str,
    entries: Iterable[Entry],
    company_id: str | None,
    reason: str = "",
    actor_id: str | None = None,
) -> list[Entry]:
    """Write a transfer and its lines, and return these, in the order of their pools."""
    lines = _netted(entries)
    _check_sum(lines)
    transfer = {
        "id": transfer_id,
        "kind": kind,
        "company_id": company_id,
        "actor_id": unit.call.claims.get("sub") if unit.call is not None else actor_id,
        "reason": reason,
        "at": unit.now,
    }
    parameters = _parameters(
        {
            "transfer_id": transfer_id,
            "number": place,
            "pool_id": line.pool_id,
            "license_type": line.license_type,
            "quantity": line.quantity,
        }
        for place, line in enumerate(lines, start=1)
    )
    dialect = unit.connection.dialect.name
    if dialect == "postgresql":
        parameters |= {f"transfer_{name}": value for name, value in transfer.items()}
    else:
        unit.connection.execute(_INSERT_TRANSFER, transfer)
    unit.connection.execute(_booking_statement(dialect, len(lines)), parameters)
    return lines


def _move(connection: Connection, lines: Sequence[Entry]) -> None:
    """Change the balances by the lines, in the order of their pools, or change none and raise `ShortError`."""
    changed: list[Entry] = []
    try:
        for _, group in groupby(lines, key=attrgetter("pool_id")):
            of_pool = list(group)
            for line in of_pool:
                if line.quantity < 0:
                    _debit(connection, line)
                    changed.append(line)
            gains = [line for line in of_pool if line.quantity > 0]
            _credit(connection, gains)
            changed += gains
    except ShortError:
        # The caller goes on in this transaction, to say what is missing: it must see the balances as they were.
        for line in reversed(changed):
            _put_back(connection, line)
        raise


def _put_back(connection: Connection, line: Entry) -> None:
    connection.execute(
        sa.update(Balance)
        .where(Balance.pool_id == line.pool_id, Balance.license_type == line.license_type)
        .values(n=Balance.n - line.quantity)
    )


def _debit(connection: Connection, line: Entry) -> None:
    # What the vendor issues may go below zero: its balance tells how much is out there, so it needs its row first.
    if line.pool_id == ISSUED:
        insert_or_ignore(connection, Balance, {"pool_id": ISSUED, "license_type": line.license_type, "n": 0})
    parameters = {"pool": line.pool_id, "type": line.license_type, "q": -line.quantity}
    if connection.execute(_DEBIT, parameters).rowcount != 1:
        raise ShortError(line.pool_id, line.license_type)
