"""What devices does when one company absorbs another (ACC-6): records follow their projects, doubled ones are joined.

accounts has switched before; this only brings the rows up to date, and may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts.api import COMPANY_MERGED, CompanyMerge, MergeRehearsal
from services.chassis import aliases
from services.chassis.context import Call
from services.chassis.db import Database, Unit
from services.chassis.faults import fail_point
from services.chassis.outbox import Event
from services.devices import store, store_merges
from services.devices.store import AnyRow

SHOWN: Final = 200
_COMMENTS: Final = ("comment", "license_comment")


def apply_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Apply the imports of companies that accounts tells of; other events are not ours.

    Emits: device_merged per device that both companies had, company_merge_applied.
    """
    for event in events:
        merge = CompanyMerge.of(event.data) if event.type == COMPANY_MERGED else None
        if merge is not None:
            _apply(unit, merge, event.actorid)


def rehearse_merge(database: Database, call: Call) -> dict[str, Any]:
    """Return how many devices an import would move, and which of them both companies have.

    Raises: accounts.login_needed, accounts.scope_needed.
    """
    rehearsal = MergeRehearsal.of(call)

    def work(connection: Connection) -> dict[str, Any]:
        both = [*rehearsal.company_ids, *rehearsal.gone_ids]
        doubled = sorted({row.hardware_id for row in store_merges.records_held_twice(connection, both)})
        return {
            "devices": {
                "count": store_merges.count_records_of(connection, rehearsal.gone_ids),
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
    store_merges.hold_projects_of(connection, both)
    count = store_merges.count_records_of(connection, merge.gone_ids)
    joined = 0
    for _, group in groupby(store_merges.records_held_twice(connection, both), attrgetter("hardware_id")):
        kept, *others = sorted(group, key=lambda row: row.company_id != into)
        _take_comments(unit, kept, others)
        for other in others:
            _join(unit, kept, other, into, actor_id)
        joined += len(others)
    store_merges.pass_projects(connection, merge.gone_ids, into)
    counts = {"devices": count, "joined": joined}
    unit.emit("company_merge_applied", subject=merge.merge_id, data=merge.applied("devices", counts))
    fail_point("devices.merge.end")


def _take_comments(unit: Unit, kept: AnyRow, others: Sequence[AnyRow]) -> None:
    """Give the kept record the comments that it lacks."""
    taken = {}
    for name in _COMMENTS:
        texts = [text for row in (kept, *others) if (text := getattr(row, name))]
        if texts and texts[0] != getattr(kept, name):
            taken[name] = texts[0]
    if taken:
        store.update_record(unit.connection, kept.id, taken)


def _join(unit: Unit, kept: AnyRow, other: AnyRow, into: str, actor_id: str | None) -> None:
    """Make one record of two: the other's id stands for the kept one from now on."""
    store.bury_record(unit.connection, other.id, unit.now)
    aliases.join(unit, [other.id], kept.id)
    project = store.find_project(unit.connection, kept.project_id)
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
            "project_name": project.name if project is not None else "",
            "merged_device_id": other.id,
            "merged_project_id": other.project_id,
            "comment": other.comment,
            "license_comment": other.license_comment,
        },
    )
