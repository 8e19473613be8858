"""The ledger against the outbox, in both directions (L18): every transfer has its event, and every event its transfer.

A transfer and its events are rows of one transaction, which has one time: both are read in the order of time, and what
has the same time is compared. Nothing is kept in memory but one moment and a page of lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import Check, Flaws, event_of, stream
from services.chassis.data.tables import outbox
from services.licensing.models import DeviceLine, Transfer, TransferEntry
from services.licensing.store import ledger

_PAGE: Final = 500
_TOLD_BY: Final = {
    "order": "order_entered",
    "redeem": "activation_key_redeemed",
    "correct": "balance_corrected",
    "assign": "licenses_assigned",
    "take_back": "licenses_taken_back",
    "return": "licenses_returned",
    "floating_on": "floating_license_set",
    "floating_off": "floating_license_removed",
}
"""By kind of transfer the event that tells it."""
_BEGINS: Final = ("licenses_assigned", "floating_license_set")
_ENDS: Final = ("licenses_taken_back", "floating_license_removed")

Amounts = dict[str, int]
_Line = tuple[str | None, str | None, str | None]
"""By which transfers a line began and ended, and in which project."""


@dataclass(slots=True)
class _Booked:
    """A transfer with what it moved, by pool and license type."""

    id: str
    kind: str
    company_id: str | None
    actor_id: str | None
    reason: str
    entries: dict[str, Amounts] = field(default_factory=lambda: defaultdict(dict))
    told: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """An event, with the pool whose entries it tells."""

    type: str
    subject: str
    company_id: str | None
    project_id: str | None
    actor_id: str | None
    data: Mapping[str, Any]

    @property
    def licenses(self) -> list[Mapping[str, Any]]:
        """What was moved, a line each."""
        return list(self.data["returned" if self.type == "licenses_returned" else "licenses"])

    @property
    def pool(self) -> tuple[str, int]:
        """The pool that the event is about, and the sign with which its entries are told."""
        if self.type == "order_entered":
            return ledger.key_pool(self.data["activation_key_id"]), 1
        if self.type in ("activation_key_redeemed", "balance_corrected"):
            return ledger.project_pool(self.data["project"]["id"]), 1
        return ledger.device_pool(self.subject), 1 if self.type in _BEGINS else -1

    @property
    def reason(self) -> str:
        """Why it was booked, as the booking says it."""
        if self.type == "order_entered":
            return f"Order {self.subject}"
        return str(self.data["reason"]) if self.type == "balance_corrected" else ""

    def transfer_ids(self, lines: Mapping[str, _Line]) -> set[str | None]:
        """Return the transfer that the event tells; none or several are wrong."""
        match self.type:
            case "order_entered":
                return {f"order:{self.data['activation_key_id']}"}
            case "activation_key_redeemed":
                return {f"redeem:{self.subject}"}
            case "balance_corrected":
                return {self.subject}
            case "licenses_returned":
                return {f"return:{self.data['serial']}"}
        place = 1 if self.type in _ENDS else 0
        return {lines.get(line["id"], (None, None, None))[place] for line in self.licenses}


_Moment = tuple[list[_Booked], list[_Told]]


def check_told(connection: Connection) -> list[Check]:
    """Return the two checks: every transfer is told once to the company that booked it, every event was booked so.

    Args:
        connection: of one snapshot; the two sides are read from it at once.
    """
    untold, unbooked = Flaws(), Flaws()
    names = {row.old_id: row.new_id for row in connection.execute(sa.select(aliases.c.old_id, aliases.c.new_id))}
    transfers = events = 0
    moments = _moments(connection)
    while page := list(islice(moments, _PAGE)):
        lines = _lines_named(connection, chain.from_iterable(told for _, told in page))
        for booked, told in page:
            transfers, events = transfers + len(booked), events + len(told)
            by_id = {transfer.id: transfer for transfer in booked}
            for event in told:
                with unbooked.reading(f"{event.type} of {event.subject}"):
                    for flaw in _event_flaws(event, by_id, lines, names):
                        unbooked.add(f"{event.type} of {event.subject}: {flaw}")
            for transfer in booked:
                if transfer.told != 1:
                    untold.add(f"{transfer.kind} {transfer.id} was told {transfer.told} times to {transfer.company_id}")
    return [
        Check("every transfer was told once", transfers, untold.told()),
        Check("every event was booked as told", events, unbooked.told()),
    ]


def _event_flaws(
    event: _Told,
    by_id: Mapping[str, _Booked],
    lines: Mapping[str, _Line],
    names: Mapping[str, str],
) -> Iterator[str]:
    named = event.transfer_ids(lines)
    if len(named) != 1:
        yield f"it tells of {len(named)} transfers"
        return
    transfer = by_id.get(next(iter(named)) or "")
    if transfer is None:
        yield "no transfer was booked with it"
        return
    if _TOLD_BY.get(transfer.kind) != event.type:
        yield f"it tells of {transfer.id}, which is {transfer.kind}"
        return
    # A guest reads a copy: it was booked for the company that has the device's record.
    is_copy = bool(event.data.get("copy"))
    mine = not is_copy and _today(names, event.company_id) == _today(names, transfer.company_id)
    if mine:
        transfer.told += 1
        if event.actor_id not in (None, transfer.actor_id):
            yield f"it names {event.actor_id}, the booking {transfer.actor_id}"
        if event.reason != transfer.reason:
            yield f"it was told for the reason {event.reason!r}, and booked for {transfer.reason!r}"
        if event.type in _BEGINS:
            yield from _place_flaws(event, lines)
        yield from _side_flaws(event, transfer)
    yield from _amount_flaws(event, transfer, whole=mine)


def _place_flaws(event: _Told, lines: Mapping[str, _Line]) -> Iterator[str]:
    told = event.data["project"]["id"]
    for line in event.licenses:
        project_id = lines.get(line["id"], (None, None, None))[2]
        if project_id != told:
            yield f"the line {line['id']} is in project {project_id}, told was {told}"


def _amount_flaws(event: _Told, transfer: _Booked, *, whole: bool) -> Iterator[str]:
    """Compare what is told; to the company that booked it all is told, to others nothing wrong."""
    pool_id, sign = event.pool
    moved = {license_type: sign * n for license_type, n in transfer.entries.get(pool_id, {}).items()}
    told: Amounts = {}
    for line in event.licenses:
        told[line["license_type"]] = told.get(line["license_type"], 0) + line["quantity"]
    if told != moved and (whole or any(n > moved.get(license_type, 0) for license_type, n in told.items())):
        yield f"it tells {told}, {transfer.id} moved {moved}"
    shares = [*event.data.get("drawn", ()), *event.data.get("credited", ())]
    for share in shares:
        entry = transfer.entries.get(ledger.project_pool(share["id"]), {}).get(share["license_type"], 0)
        if abs(entry) != share["quantity"]:
            yield f"it tells {share['quantity']} {share['license_type']} of project {share['id']}, booked were {entry}"


def _side_flaws(event: _Told, transfer: _Booked) -> Iterator[str]:
    """Compare the other side of the booking: an amount that only passes by sums to zero as well."""
    pool_id, _ = event.pool
    others = {other: amounts for other, amounts in transfer.entries.items() if other != pool_id}
    against = {license_type: -n for license_type, n in transfer.entries.get(pool_id, {}).items()}
    if event.type in ("order_entered", "balance_corrected", "licenses_returned"):
        is_return = event.type == "licenses_returned"
        side = ledger.project_pool(str(event.project_id)) if is_return else ledger.ISSUED
        if others != {side: against}:
            yield f"{transfer.id} moved {_plain(others)} too, and should have moved {against} of {side} alone"
    elif event.type in _ENDS:
        for other, amounts in others.items():
            for license_type, n in amounts.items():
                if n < 0:
                    yield f"{transfer.id} took {-n} {license_type} from {other}, and should give back alone"


def _plain(entries: Mapping[str, Amounts]) -> str:
    return "; ".join(
        f"{n} {license_type} of {pool}" for pool, some in entries.items() for license_type, n in some.items()
    )


def _today(names: Mapping[str, str], company_id: str | None) -> str | None:
    return names.get(company_id, company_id) if company_id is not None else None


def _moments(connection: Connection) -> Iterator[_Moment]:
    """Yield what was booked and told at each time, oldest first."""
    booked, told = _by_time(_transfers(connection)), _by_time(_events(connection))
    left, right = next(booked, None), next(told, None)
    while left is not None or right is not None:
        at = min(side[0] for side in (left, right) if side is not None)
        here: _Moment = ([], [])
        if left is not None and left[0] == at:
            here[0].extend(left[1])
            left = next(booked, None)
        if right is not None and right[0] == at:
            here[1].extend(right[1])
            right = next(told, None)
        yield here


def _by_time(rows: Iterable[tuple[datetime, Any]]) -> Iterator[tuple[datetime, list[Any]]]:
    for at, group in groupby(rows, key=lambda row: row[0]):
        yield at, [item for _, item in group]


def _transfers(connection: Connection) -> Iterator[tuple[datetime, _Booked]]:
    entry = TransferEntry
    rows = stream(
        connection,
        sa.select(Transfer.id, Transfer.kind, Transfer.company_id, Transfer.actor_id, Transfer.at)
        .add_columns(Transfer.reason, entry.pool_id, entry.license_type, entry.quantity)
        .outerjoin(entry, entry.transfer_id == Transfer.id)
        .order_by(Transfer.at, Transfer.id, entry.number),
    )
    for _, group in groupby(rows, key=attrgetter("id")):
        first, *others = group
        transfer = _Booked(first.id, first.kind, first.company_id, first.actor_id, first.reason)
        for row in (first, *others):
            if row.pool_id is not None:
                amounts = transfer.entries[row.pool_id]
                amounts[row.license_type] = amounts.get(row.license_type, 0) + row.quantity
        yield first.at, transfer


def _events(connection: Connection) -> Iterator[tuple[datetime, _Told]]:
    # All rows, also those without a sequence yet: an event counts from its transaction on, published or not.
    statement = sa.select(outbox.c.created_at, outbox.c.sequence, outbox.c.event).where(
        outbox.c.type.in_(_TOLD_BY.values())
    )
    for row in stream(connection, statement.order_by(outbox.c.created_at, outbox.c.id)):
        event = event_of(row)
        if event is None:
            # The check of the outbox tells of it.
            continue
        told = _Told(event.type, event.subject, event.companyid, event.projectid, event.actorid, event.data)
        # An order of devices alone books nothing.
        if told.type != "order_entered" or told.data.get("activation_key_id", "") is not None:
            yield row.created_at, told


def _lines_named(connection: Connection, events: Iterable[_Told]) -> dict[str, _Line]:
    """Return by which transfers the lines that events name began and ended, and in which project."""
    wanted: set[str] = set()
    for event in events:
        # One that does not name its lines is told of when it is compared.
        with Flaws().reading(event.subject):
            wanted |= {line["id"] for line in event.licenses if event.type in _BEGINS + _ENDS}
    rows = connection.execute(
        sa.select(DeviceLine.id, DeviceLine.transfer_id, DeviceLine.ended_by, DeviceLine.project_id).where(
            DeviceLine.id.in_(wanted)
        )
    )
    return {row.id: (row.transfer_id, row.ended_by, row.project_id) for row in rows}
