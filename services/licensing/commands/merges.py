"""What licensing does when one company absorbs another (ACC-6): balances and keys follow, the ledger stays as it is.

accounts has switched before; this only brings the rows up to date, and may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import COMPANY_MERGED, CompanyMerge, MergeRehearsal
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.faults import fail_point
from services.licensing.store import merges as store
from services.licensing.store.catalogue import get_catalogue


def on_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Apply the imports of companies that accounts tells of; other events are not ours.

    Emits: company_merge_applied.
    """
    for event in events:
        merge = CompanyMerge.of(event.data) if event.type == COMPANY_MERGED else None
        if merge is not None:
            _apply(unit, merge)


def rehearse_merge(database: Database, call: Call) -> dict[str, Any]:
    """Return the balance and the number of keys that an import would move.

    Raises: accounts.login_needed, accounts.scope_needed.
    """
    gone_ids = MergeRehearsal.of(call).gone_ids

    def work(connection: Connection) -> tuple[dict[str, int], tuple[int, int]]:
        return store.balance_of(connection, gone_ids), store.count_keys(connection, gone_ids)

    balance, (added, created) = database.read(work)
    items = [
        {"license_type": t.id, "name": t.name, "version": t.version, "quantity": balance[t.id]}
        for t in get_catalogue(database).license_types.values()
        if t.id in balance
    ]
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
