"""What history does when one company absorbs another (ACC-6): lines stay where they are, readers find them as one.

History hears every room, so it also passes on to accounts what the others say of a merge: accounts listens to history
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.accounts.api import COMPANY_MERGE_APPLIED, COMPANY_MERGED, CompanyMerge, MergeRehearsal, needs
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.faults import fail_point
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import handler, query
from services.history import api, store

DEVICE_MERGED = "device_merged"


@handler(emits=(COMPANY_MERGE_APPLIED,))
def apply_merges(unit: Unit, events: Sequence[Event]) -> None:
    """Learn which ids became others, and pass on what rooms say of a merge; most events are about neither."""
    for event in events:
        if event.type == COMPANY_MERGED:
            merge = CompanyMerge.of(event.data)
            if merge is not None:
                _apply(unit, merge)
        elif event.type == COMPANY_MERGE_APPLIED:
            unit.emit(COMPANY_MERGE_APPLIED, subject=event.subject, data=event.data)
        elif event.type == DEVICE_MERGED and event.deviceid is not None:
            aliases.join(unit, [event.subject], aliases.current(unit.connection, event.deviceid))


@query(request=EmptyRequest, answer=api.MergeRehearsed, needs=(needs.REHEARSAL,))
def rehearse_merge(database: Database, call: Call) -> Mapping[str, object]:
    """Return how many lines an import would bring (ACC-6)."""
    gone_ids = MergeRehearsal.of(call).gone_ids
    return {"history": {"lines": database.read(lambda connection: store.count_of_companies(connection, gone_ids))}}


def _apply(unit: Unit, merge: CompanyMerge) -> None:
    fail_point("history.merge.begin")
    aliases.join(unit, merge.gone_ids, aliases.current(unit.connection, merge.company_id))
    counts = {"lines": store.count_of_companies(unit.connection, merge.gone_ids)}
    unit.emit("company_merge_applied", subject=merge.merge_id, data=merge.applied("history", counts))
    fail_point("history.merge.end")
