"""The part of licensing's audit about lines on devices: against their pools, their transfers, and their files (L14)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import InstrumentedAttribute

from services.chassis.data.audit.checks import Check, Flaws, stream
from services.chassis.data.rows import columns_of, part_of
from services.licensing.models import (
    Balance,
    DeviceLine,
    LicenseFileLine,
    LicenseFileRow,
    Pool,
    Transfer,
    TransferEntry,
)

_PAGE: Final = 500
_BEGUN_BY: Final = ("assign", "floating_on")
_ENDED_BY: Final = {"taken_back": "take_back", "returned": "return", "removed": "floating_off"}
_POOL = sa.literal("device:") + DeviceLine.hardware_id


def check_lines(connection: Connection) -> list[Check]:
    """Return the checks of lines: what devices hold, what booked it, who paid, and which files hold it."""
    return [_check_held(connection), _check_booked(connection), _check_paid(connection), _check_latches(connection)]


def _check_held(connection: Connection) -> Check:
    """What the lines say is on a device is what its pool holds."""
    flaws, line = Flaws(), DeviceLine
    said = (
        sa.select(_POOL.label("pool_id"), line.license_type, sa.func.sum(line.quantity).label("n"))
        .where(line.state == "installed")
        .group_by(_POOL, line.license_type)
        .subquery()
    )
    held = (
        sa.select(Balance.pool_id, Balance.license_type, Balance.n)
        .join(Pool, Pool.id == Balance.pool_id)
        .where(Pool.kind == "device", Balance.n != 0)
        .subquery()
    )
    same = sa.and_(said.c.pool_id == held.c.pool_id, said.c.license_type == held.c.license_type)
    more = sa.select(held, sa.func.coalesce(said.c.n, 0).label("said")).outerjoin(said, same)
    for row in stream(connection, more.where(sa.func.coalesce(said.c.n, 0) != held.c.n)):
        flaws.add(f"{row.pool_id} holds {row.n} {row.license_type}, its lines say {row.said}")
    for row in stream(connection, sa.select(said).outerjoin(held, same).where(held.c.n.is_(None))):
        flaws.add(f"{row.pool_id} holds no {row.license_type}, its lines say {row.n}")
    return Check("device lines match the ledger", _count(connection, line), flaws.told())


def _check_booked(connection: Connection) -> Check:
    """Every line was put on its device by one transfer and, if it ended, taken off by one of the right kind."""
    flaws, line = Flaws(), DeviceLine
    for row in stream(
        connection,
        sa.select(line.id, line.state, Transfer.kind)
        .outerjoin(Transfer, Transfer.id == line.ended_by)
        .where(line.state != "installed"),
    ):
        if row.kind is None:
            flaws.add(f"line {row.id} is {row.state} by a transfer that does not exist")
        elif row.kind != _ENDED_BY.get(row.state):
            flaws.add(f"line {row.id} is {row.state} by a transfer of the kind {row.kind}")
    for column, sign, kinds in ((line.transfer_id, 1, _BEGUN_BY), (line.ended_by, -1, tuple(_ENDED_BY.values()))):
        for row in stream(connection, _unlike(column, sign, kinds)):
            flaws.add(
                f"transfer {row.transfer_id} moved {row.quantity or 0} {row.license_type} of {row.pool_id}, "
                f"its lines say {row.said or 0}"
            )
    return Check("device lines were booked", _count(connection, line), flaws.told())


def _unlike(
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], sign: int, kinds: Sequence[str]
) -> sa.CompoundSelect[str, str, str, int, int]:
    """Select what transfers of these kinds moved in devices' pools and the sums of lines that are not the same."""
    line, entry = DeviceLine, TransferEntry
    said = (
        sa.select(column.label("transfer_id"), _POOL.label("pool_id"), line.license_type)
        .add_columns((sign * sa.func.sum(line.quantity)).label("said"))
        .where(column.is_not(None))
        .group_by(column, _POOL, line.license_type)
        .subquery()
    )
    moved = (
        sa.select(entry.transfer_id, entry.pool_id, entry.license_type, entry.quantity)
        .join(Transfer, Transfer.id == entry.transfer_id)
        .join(Pool, Pool.id == entry.pool_id)
        .where(Transfer.kind.in_(kinds), Pool.kind == "device")
        .subquery()
    )
    same = sa.and_(
        said.c.transfer_id == moved.c.transfer_id,
        said.c.pool_id == moved.c.pool_id,
        said.c.license_type == moved.c.license_type,
    )
    booked = sa.select(moved, said.c.said).outerjoin(said, same)
    unmoved = sa.select(said.c.transfer_id, said.c.pool_id, said.c.license_type, sa.null(), said.c.said)
    return sa.union_all(
        booked.where(sa.func.coalesce(said.c.said, 0) != moved.c.quantity),
        unmoved.outerjoin(moved, same).where(moved.c.quantity.is_(None)),
    )


@dataclass(frozen=True, slots=True)
class _Paid:
    id: str
    transfer_id: str
    license_type: str
    quantity: int
    draws: str


def _check_paid(connection: Connection) -> Check:
    """What each line remembers of who paid it is what its transfer took from them, so that it goes back there."""
    flaws, line = Flaws(), DeviceLine
    ordered = stream(connection, sa.select(*columns_of(_Paid, line.__table__)).order_by(line.transfer_id))
    rows = groupby((part_of(row, _Paid) for row in ordered), key=attrgetter("transfer_id"))
    groups = ((transfer_id, list(lines)) for transfer_id, lines in rows)
    checked = 0
    while page := list(islice(groups, _PAGE)):
        paid = _paid(connection, [transfer_id for transfer_id, _ in page])
        for transfer_id, lines in page:
            checked += len(lines)
            said: dict[tuple[str, str], int] = {}
            for row in lines:
                for flaw in _draw_flaws(row, said):
                    flaws.add(f"line {row.id} {flaw}")
            if said != paid.get(transfer_id, {}):
                flaws.add(f"transfer {transfer_id} took {paid.get(transfer_id, {})}, its lines say {said}")
    return Check("device lines know who paid", checked, flaws.told())


def _draw_flaws(line: _Paid, said: dict[tuple[str, str], int]) -> Iterator[str]:
    total = 0
    for payer, quantity in json.loads(line.draws):
        total += quantity
        key = (payer if payer == "issued" else f"project:{payer}", line.license_type)
        said[key] = said.get(key, 0) + quantity
    if total != line.quantity:
        yield f"is of {line.quantity} and was paid with {total}"


def _paid(connection: Connection, transfer_ids: Sequence[str]) -> dict[str, dict[tuple[str, str], int]]:
    entry = TransferEntry
    found: dict[str, dict[tuple[str, str], int]] = {}
    for row in connection.execute(
        sa.select(entry.transfer_id, entry.pool_id, entry.license_type, entry.quantity).where(
            entry.transfer_id.in_(transfer_ids), entry.quantity < 0
        )
    ):
        amounts = found.setdefault(row.transfer_id, {})
        amounts[row.pool_id, row.license_type] = amounts.get((row.pool_id, row.license_type), 0) - row.quantity
    return found


def _check_latches(connection: Connection) -> Check:
    """I6: a line in a license file can no longer be taken back, one in a readable file not returned; no line else."""
    flaws, line, inside, file = Flaws(), DeviceLine, LicenseFileLine, LicenseFileRow
    strength = sa.case((file.form.is_(None), 0), (file.form == "encrypted", 1), else_=2)
    latch = sa.case((line.file_issued == "none", 0), (line.file_issued == "encrypted", 1), else_=2)
    issued = sa.func.coalesce(sa.func.max(strength), 0)
    for row in stream(
        connection,
        sa.select(line.id, line.file_issued, issued.label("issued"))
        .outerjoin(inside, inside.line_id == line.id)
        .outerjoin(file, sa.and_(file.serial == inside.serial, file.kind == "license"))
        .group_by(line.id, line.file_issued)
        .having(latch != issued),
    ):
        form = ("none", "encrypted", "plain")[row.issued]
        flaws.add(f"line {row.id} is known as issued {row.file_issued}, its files say {form}")
    for row in stream(
        connection,
        sa.select(line.id, line.state, line.file_issued).where(
            sa.or_(
                sa.and_(line.state == "taken_back", line.file_issued != "none"),
                sa.and_(line.state == "returned", line.file_issued != "encrypted"),
            )
        ),
    ):
        flaws.add(f"line {row.id} was {row.state} although its file was issued {row.file_issued}")
    foreign = sa.select(inside.serial, inside.line_id, file.hardware_id, line.hardware_id.label("other"))
    foreign = foreign.join(file, file.serial == inside.serial).join(line, line.id == inside.line_id)
    for row in stream(connection, foreign.where(file.hardware_id != line.hardware_id)):
        flaws.add(f"file {row.serial} of {row.hardware_id} holds the line {row.line_id}, which is on {row.other}")
    for row in stream(
        connection,
        sa.select(inside.serial, inside.line_id, inside.quantity, inside.license_type)
        .outerjoin(line, sa.and_(line.id == inside.line_id, line.license_type == inside.license_type))
        .where(sa.func.coalesce(line.quantity, 0) != inside.quantity),
    ):
        flaws.add(
            f"file {row.serial} holds {row.quantity} {row.license_type} of the line {row.line_id}, not as assigned"
        )
    return Check("device lines match their files", _count(connection, inside), flaws.told())


def _count(connection: Connection, table: type[DeviceLine | LicenseFileLine]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
