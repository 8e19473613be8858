"""What licensing does when one company absorbs another (ACC-6): balances and keys follow, the ledger stays as it is.

accounts has switched before; this only brings the rows up to date, and may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from services.accounts.api import COMPANY_MERGED, CompanyMerge, MergeRehearsal, needs
from services.chassis.answers import shown
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.faults import fail_point
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import handler, query
from services.licensing import api
from services.licensing.store import merges as store
from services.licensing.store.catalogue import get_catalogue


@handler(emits=("company_merge_applied",))
def apply_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Apply the imports of companies that accounts tells of; other events are not ours."""
    for event in events:
        merge = CompanyMerge.of(event.data) if event.type == COMPANY_MERGED else None
        if merge is not None:
            _apply(unit, merge)


@query(request=EmptyRequest, answer=api.MergeRehearsed, needs=(needs.REHEARSAL,))
def rehearse_merge(database: Database, call: Call) -> Mapping[str, object]:
    """Return the balance and the number of keys that the import of another company would move (ACC-6)."""
    gone_ids = MergeRehearsal.of(call).gone_ids

    def work(connection: Connection) -> tuple[dict[str, int], tuple[int, int]]:
        return store.balance_of(connection, gone_ids), store.count_keys(connection, gone_ids)

    balance, (added, created) = database.read(work)
    types = get_catalogue(database).license_types.values()
    items = [shown(t, license_type=t.id, quantity=balance[t.id]) for t in types if t.id in balance]
    return {"balance": {"items": items}, "activation_keys": {"added": added, "created": created}}


def _apply(unit: Unit, merge: CompanyMerge) -> None:
    fail_point("licensing.merge.begin")
    connection = unit.connection
    # The absorbing company may have been absorbed itself since.
    into = aliases.current(connection, merge.company_id)
    aliases.hold(connection, [into, *merge.gone_ids])
    aliases.join(unit, merge.gone_ids, into)
    added, created = store.count_keys(connection, merge.gone_ids)
    projects = store.pass_projects(connection, merge.gone_ids, into)
    store.pass_keys(connection, merge.gone_ids, into)
    counts = {"projects": projects, "keys_added": added, "keys_created": created}
    unit.emit("company_merge_applied", subject=merge.merge_id, data=merge.applied("licensing", counts))
    fail_point("licensing.merge.end")
