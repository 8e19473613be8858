"""What projects does when one company absorbs another (ACC-6): projects, rights and choices become the other's.

accounts has switched before; this only brings the rows up to date, and may be run again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from services.accounts.api import COMPANY_MERGED, Actor, CompanyMerge, MergeRehearsal, needs
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import unauthenticated
from services.chassis.faults import fail_point
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import handler, query
from services.projects import api, store
from services.projects.domain import renames
from services.projects.store import RightAround, StoredProject

RENAMED_SHOWN = 200


def living_company(unit: Unit, actor: Actor) -> str:
    """Return the actor's company, which cannot be absorbed before this transaction ends.

    Raises: accounts.company_needed, accounts.session_ended when it is gone; the token is of a moment before.
    """
    company_id = actor.require_company()
    if aliases.share(unit.connection, company_id) != company_id:
        raise unauthenticated("accounts.session_ended", "Your company was imported by another one: log in again.")
    return company_id


@handler(emits=("project_changed", "project_right_removed", "project_right_passed", "company_merge_applied"))
def apply_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Apply the imports of companies that accounts tells of; other events are not ours."""
    for event in events:
        merge = CompanyMerge.of(event.data) if event.type == COMPANY_MERGED else None
        if merge is not None:
            _Merge(unit, merge, event.actorid).apply()


@query(request=EmptyRequest, answer=api.MergeRehearsed, needs=(needs.REHEARSAL,))
def rehearse_merge(database: Database, call: Call) -> Mapping[str, object]:
    """Return what an import would do to projects and rights."""
    rehearsal = MergeRehearsal.of(call)

    def work(connection: Connection) -> Mapping[str, object]:
        theirs = store.of_companies(connection, rehearsal.gone_ids)
        ours = store.of_companies(connection, rehearsal.company_ids)
        new = renames([row.name for row in ours], [(row.id, row.name) for row in theirs], rehearsal.gone_name)
        old = {row.id: row.name for row in theirs}
        renamed = [{"id": key, "name": old[key], "new_name": name} for key, name in new.items()]
        rights = store.rights_around(connection, rehearsal.gone_ids)
        both = {*rehearsal.company_ids, *rehearsal.gone_ids}
        dissolved = sum(1 for right in rights if right.owner_id in both and right.company_id in both)
        granted = sum(1 for right in rights if right.owner_id in rehearsal.gone_ids)
        return {
            "projects": {"count": len(theirs), "renamed_count": len(renamed), "renamed": renamed[:RENAMED_SHOWN]},
            "rights": {"granted": granted, "received": len(rights) - granted, "dissolved": dissolved},
        }

    return database.read(work)


class _Merge:
    """One merge in the transaction that applies it."""

    def __init__(self, unit: Unit, merge: CompanyMerge, actor_id: str | None) -> None:
        self.unit, self.merge, self.actor_id = unit, merge, actor_id
        # The absorbing company may have been absorbed itself since.
        self.into = aliases.current(unit.connection, merge.company_id)

    def apply(self) -> None:
        """Bring everything up to date and tell accounts."""
        fail_point("projects.merge.begin")
        aliases.hold(self.unit.connection, [self.into, *self.merge.gone_ids])
        aliases.join(self.unit, self.merge.gone_ids, self.into)
        ours = store.of_companies(self.unit.connection, [self.into], lock=True)
        theirs = store.of_companies(self.unit.connection, self.merge.gone_ids, lock=True)
        dissolved, passed = self._rights()
        for gone_id in self.merge.gone_ids:
            store.pass_selections(self.unit, gone_id, self.into)
        new = renames([row.name for row in ours], [(row.id, row.name) for row in theirs], self.merge.gone_name)
        for row in theirs:
            self._take(row, new.get(row.id))
        counts = {
            "projects": len(theirs),
            "renamed": len(new),
            "rights_dissolved": dissolved,
            "rights_passed": passed,
        }
        self.unit.emit(
            "company_merge_applied", subject=self.merge.merge_id, data=self.merge.applied("projects", counts)
        )
        fail_point("projects.merge.end")

    def _rights(self) -> tuple[int, int]:
        """End the rights between the two, and take over those in projects of others."""
        both = {self.into, *self.merge.gone_ids}
        dissolved = passed = 0
        for right in store.rights_around(self.unit.connection, sorted(both)):
            if right.owner_id in both and right.company_id in both:
                store.drop_right(self.unit, right.project_id, right.company_id)
                self._tell_right("project_right_removed", right, self.into, [self.into])
                dissolved += 1
            elif right.company_id in self.merge.gone_ids:
                store.pass_right(self.unit, right.project_id, right.company_id, self.into)
                self._tell_right("project_right_passed", right, right.owner_id, [right.owner_id, self.into])
                passed += 1
        return dissolved, passed

    def _take(self, row: StoredProject, new_name: str | None) -> None:
        name = new_name or row.name
        store.pass_project(self.unit, row.id, self.into, name)
        data = {
            "project_id": row.id,
            "name": name,
            "state": row.state,
            "version": row.version + 1,
            "what": ["company"] if new_name is None else ["company", "name"],
            "old_company_id": row.company_id,
            **({} if new_name is None else {"old_name": row.name}),
        }
        self.unit.emit(
            "project_changed",
            subject=row.id,
            company_id=self.into,
            project_id=row.id,
            actor_id=self.actor_id,
            data=data,
        )

    def _tell_right(self, type: str, right: RightAround, owner_id: str, company_ids: list[str]) -> None:
        data = {
            "project_id": right.project_id,
            "name": right.name,
            "owner_company_id": owner_id,
            "guest_company_id": right.company_id if type == "project_right_removed" else self.into,
            **({} if type == "project_right_removed" else {"old_guest_company_id": right.company_id}),
        }
        for company_id in company_ids:
            self.unit.emit(
                type,
                subject=right.project_id,
                company_id=company_id,
                project_id=right.project_id,
                actor_id=self.actor_id if company_id == self.into else None,
                data=data,
            )
