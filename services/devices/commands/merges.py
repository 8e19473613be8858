"""What devices does when one company absorbs another (ACC-6): records follow their projects, doubled ones are joined.

accounts has switched before; this only brings the rows up to date, and may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from services.accounts.api import COMPANY_MERGED, CompanyMerge, MergeRehearsal, needs
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.faults import fail_point
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import handler, query
from services.devices import api, store
from services.devices.commands.possession import tell_proven
from services.devices.domain.comments import COMMENTS
from services.devices.store import StoredRecord, merges

SHOWN: Final = 200


@handler(emits=("device_merged", "device_possession_proven", "company_merge_applied"))
def apply_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Apply the imports of companies that accounts tells of (ACC-6); other events are not ours.

    A device that both companies had is told as merged, and as proven where the absorbed company had proved it.
    """
    for event in events:
        merge = CompanyMerge.of(event.data) if event.type == COMPANY_MERGED else None
        if merge is not None:
            _apply(unit, merge, event.actorid)


@query(request=EmptyRequest, answer=api.MergeRehearsed, needs=(needs.REHEARSAL,))
def rehearse_merge(database: Database, call: Call) -> Mapping[str, object]:
    """Return how many devices an import would move, and which of them both companies have (ACC-6)."""
    rehearsal = MergeRehearsal.of(call)

    def work(connection: Connection) -> Mapping[str, object]:
        both = [*rehearsal.company_ids, *rehearsal.gone_ids]
        doubled = sorted({row.hardware_id for row in merges.records_held_twice(connection, both)})
        return {
            "devices": {
                "count": merges.count_records_of(connection, rehearsal.gone_ids),
                "held_by_both_count": len(doubled),
                "held_by_both": doubled[:SHOWN],
            }
        }

    return database.read(work)


def _apply(unit: Unit, merge: CompanyMerge, actor_id: str | None) -> None:
    fail_point("devices.merge.begin")
    connection = unit.connection
    # The absorbing company may have been absorbed itself since.
    into = aliases.current(connection, merge.company_id)
    both = [into, *merge.gone_ids]
    aliases.hold(connection, both)
    aliases.join(unit, merge.gone_ids, into)
    # Whoever adds or moves a device holds its project: from here on nobody does in these companies.
    merges.hold_projects_of(connection, both)
    count = merges.count_records_of(connection, merge.gone_ids)
    joined = _join_doubled(unit, both, into, actor_id)
    merges.pass_projects(connection, merge.gone_ids, into)
    counts = {"devices": count, "joined": joined}
    unit.emit("company_merge_applied", subject=merge.merge_id, data=merge.applied("devices", counts))
    fail_point("devices.merge.end")


def _join_doubled(unit: Unit, company_ids: Sequence[str], into: str, actor_id: str | None) -> int:
    """Make one record of those that several of the companies have of a device; returns how many are gone by it.

    The absorbing company's record stays, and takes comments that it lacks; the ids of the others stand for it.
    """
    pairs: dict[str, StoredRecord] = {}
    gone: list[StoredRecord] = []
    records = merges.records_held_twice(unit.connection, company_ids)
    for _, group in groupby(records, attrgetter("hardware_id")):
        kept, *others = sorted(group, key=lambda row: row.company_id != into)
        _take_comments(unit, kept, others)
        _take_proof(unit, kept, others, into)
        pairs |= {other.id: kept for other in others}
        gone += others
    merges.bury_records(unit.connection, pairs.keys(), unit.now)
    aliases.join_each(unit, {old_id: kept.id for old_id, kept in pairs.items()})
    names = merges.project_names(unit.connection, {kept.project_id for kept in pairs.values()})
    for other in gone:
        _tell(unit, pairs[other.id], other, into, names, actor_id)
    return len(gone)


def _take_comments(unit: Unit, kept: StoredRecord, others: Sequence[StoredRecord]) -> None:
    taken = {}
    for name in COMMENTS:
        texts = [text for row in (kept, *others) if (text := getattr(row, name))]
        if texts and texts[0] != getattr(kept, name):
            taken[name] = texts[0]
    if taken:
        store.update_record(unit.connection, kept.id, taken)


def _take_proof(unit: Unit, kept: StoredRecord, others: Sequence[StoredRecord], into: str) -> None:
    """Let the kept record be proven where one that it takes in was: all of them are the same company's now (DEV-15)."""
    proofs = [row for row in (kept, *others) if row.proven_by is not None]
    numbers = [row.order_number for row in (kept, *others) if row.order_number is not None]
    if not proofs or kept.proven_by is not None:
        return
    store.update_record(
        unit.connection,
        kept.id,
        {"proven_by": proofs[0].proven_by, "order_number": numbers[0] if numbers else None},
    )
    tell_proven(unit, kept, str(proofs[0].proven_by), company_id=into)


def _tell(
    unit: Unit, kept: StoredRecord, other: StoredRecord, into: str, names: Mapping[str, str], actor_id: str | None
) -> None:
    unit.emit(
        "device_merged",
        subject=other.id,
        company_id=into,
        project_id=kept.project_id,
        device_id=kept.id,
        hardware_id=kept.hardware_id,
        actor_id=actor_id,
        data={
            "hardware_id": kept.hardware_id,
            "type": kept.type,
            "project_name": names[kept.project_id],
            "merged_device_id": other.id,
            "merged_project_id": other.project_id,
            **{name: getattr(other, name) for name in COMMENTS},
        },
    )
