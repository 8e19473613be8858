"""Deleting a project (PRJ-4): a saga over licensing, devices and projects, whose row is here (L8).

First every room only counts, so that a refusal disturbs nobody. When nothing is in the way, each room closes the
project in the transaction that counts again; from then on nothing can be added. Then this room settles it, once, and
tells the others: by call, and if that fails or this process ends, by an event. What was begun and is driven by nobody
any more is settled as abandoned. The calls carry the caller's token; the event needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import structlog
from marshmallow import fields

from services.accounts.api import Actor, needs
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, unavailable
from services.chassis.faults import fail_point
from services.chassis.fields import AnswerSchema
from services.chassis.ids import new_id
from services.chassis.service.declare import command, handler
from services.chassis.service.running import run
from services.devices.api import DevicesClient
from services.licensing import access, api
from services.licensing.store import deletions, projects
from services.licensing.store.deletions import ABANDONED, CLOSING, COUNTING, DELETED, REFUSED, Deletion
from services.projects.api import CLOSED, ERRORS, MANAGE, OWN, ProjectAccess, ProjectsClient, no_project

ABANDONED_AFTER: Final = timedelta(seconds=60)
"""Far longer than a call may last: whoever still drives an attempt has given it up by then, and so has every room."""
TOLD_AFTER: Final = timedelta(seconds=15)
"""When what was settled is told by event, because whoever settled it has not told it by call."""
_KINDS: Final = ("devices", "activation_keys", "rights", "balance")
_NAMES: Final = {
    "devices": "devices",
    "activation_keys": "activation keys",
    "rights": "rights of other companies",
    "balance": "licenses in the balance",
}
_log = structlog.get_logger(__name__)


class _Begun(AnswerSchema):
    """What the command keeps for its repetition: the deletion that it began or joined."""

    deletion_id = fields.String(required=True)


@command(
    request=api.DeleteProjectRequest,
    needs=(needs.WRITE,),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.archived",
        "projects.not_empty",
        "projects.closed",
        "devices.project_closed",
    ),
    # To the rooms that its calls do not reach.
    emits=("project_deletion_settled",),
)
def delete_project(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient, projects: ProjectsClient
) -> None:
    """Delete an own project that has no devices, activation keys, rights and balance (PRJ-4).

    Whoever asks while it is being deleted joins in and gets the same answer.
    """
    actor = Actor.of(call)
    project_id = request["project_id"]
    company_id = _owner(database, call, actor, project_id, projects)

    rooms = _Rooms(database, call, devices, projects)
    rooms.tell_refusals(project_id)

    def begin(unit: Unit) -> Mapping[str, object]:
        joined = _under_way(unit, project_id)
        if joined is None and company_id is not None:
            deletions.begin(unit.connection, _new(unit, actor, project_id, company_id))
            joined = _under_way(unit, project_id)
        if joined is None:
            raise no_project()
        return {"deletion_id": joined.id}

    begun = run(database, call, request, begin, step=_Begun)
    fail_point("licensing.project_deletion.begun")
    row = rooms.drive(str(begun["deletion_id"]), is_there=company_id is not None)
    if row.state == REFUSED:
        raise _not_empty(row.blockers)


@handler(emits=("project_deletion_settled",))
def settle_abandoned(unit: Unit) -> int:
    """Settle deletions that nobody drives any more, and tell by event what was not told by call; returns how many."""
    rows = deletions.untold(unit.connection, unit.now - ABANDONED_AFTER, unit.now - TOLD_AFTER)
    for row in rows:
        if row.state in (COUNTING, CLOSING):
            _settle(unit, row, ABANDONED, {})
            row = deletions.get(unit.connection, row.id)
        if not row.told:
            _tell_by_event(unit, row)
    return len(rows)


def _owner(database: Database, call: Call, actor: Actor, project_id: str, projects: ProjectsClient) -> str | None:
    """Return the company whose project it is, None when that company has deleted it before.

    Raises: projects.not_found, access.power_needed.
    """
    try:
        found = ProjectAccess.of_answer(projects.get_access(call, project_id=project_id), actor)
    except ServiceError as error:
        if error.kind == "not_found" and database.read(
            lambda connection: deletions.is_deleted(connection, project_id, actor.company_ids)
        ):
            # The repetition of the deletion itself must get its first answer.
            return None
        raise
    # In a closed project nobody has a power any more, but its owner may join the deletion.
    if found.relation != OWN or found.project.state != CLOSED:
        found.require(MANAGE)
    access.keep_copy(database, found.project)
    return found.project.company_id


def _under_way(unit: Unit, project_id: str) -> Deletion | None:
    rows = deletions.unfinished(unit.connection, project_id)
    return next((row for row in rows if row.state in (COUNTING, CLOSING, DELETED)), None)


def _new(unit: Unit, actor: Actor, project_id: str, company_id: str) -> Deletion:
    return Deletion(
        id=new_id(),
        project_id=project_id,
        company_id=company_id,
        closing_id=new_id(),
        state=COUNTING,
        blockers={},
        created_by=actor.user_id,
        started_at=unit.now,
        settled_at=None,
        told=False,
    )


@dataclass(frozen=True, slots=True)
class _Rooms:
    """The three rooms, as one caller drives a deletion through them."""

    database: Database
    call: Call
    devices: DevicesClient
    projects: ProjectsClient

    def drive(self, deletion_id: str, *, is_there: bool) -> Deletion:
        """Take a deletion on from wherever it is until it is settled and told; returns its row."""
        row = self._get(deletion_id)
        if row.state == ABANDONED and is_there:
            row = self._revive(row)
        if row.state == COUNTING:
            row = self._count(row)
        if row.state == CLOSING:
            row = self._close(row)
        if not row.told:
            self._tell(row)
        if row.state in (DELETED, REFUSED):
            return row
        if not is_there:
            raise no_project()
        # Somebody took it for abandoned, or it is being driven by another one at this moment.
        raise unavailable()

    def tell_refusals(self, project_id: str) -> None:
        """Open the project in every room that has not learned yet that an earlier attempt was refused."""
        for row in self.database.read(lambda connection: deletions.unfinished(connection, project_id)):
            if row.state in (REFUSED, ABANDONED):
                self._tell(row)

    def _count(self, row: Deletion) -> Deletion:
        blockers = self._ask(row, dry_run=True)
        fail_point("licensing.project_deletion.counted")

        def work(unit: Unit) -> None:
            if any(blockers.values()):
                _settle(unit, row, REFUSED, blockers)
            else:
                deletions.change(unit.connection, row.closing_id, [COUNTING], state=CLOSING)

        self.database.write(work, call=self.call)
        return self._get(row.id)

    def _close(self, row: Deletion) -> Deletion:
        blockers = self._ask(row, dry_run=False)
        outcome = REFUSED if any(blockers.values()) else DELETED
        self.database.write(lambda unit: _settle(unit, row, outcome, blockers), call=self.call)
        fail_point("licensing.project_deletion.settled")
        return self._get(row.id)

    def _ask(self, row: Deletion, *, dry_run: bool) -> dict[str, int]:
        """Return what is in the way in all rooms; each one where nothing is closes it, unless it only counts."""
        try:
            return self._ask_all(row, dry_run=dry_run)
        except ServiceError as refusal:
            if refusal.is_final:
                self.database.write(lambda unit: _settle(unit, row, ABANDONED, {}), call=self.call)
                self.tell_refusals(row.project_id)
            raise

    def _ask_all(self, row: Deletion, *, dry_run: bool) -> dict[str, int]:
        step = "count" if dry_run else "close"
        if dry_run:
            own = self.database.read(lambda connection: deletions.blockers(connection, row.project_id))
        else:
            own = self.database.write(lambda unit: _close_here(unit, row), call=self.call)
            fail_point("licensing.project_deletion.closed_here")
        answer = self.devices.close_project(
            self._step(row, step), project_id=row.project_id, closing_id=row.closing_id, dry_run=dry_run
        )
        devices = int(answer["devices"])
        fail_point(f"licensing.project_deletion.{step}_devices")
        answer = self.projects.close_project(
            self._step(row, step), project_id=row.project_id, closing_id=row.closing_id, dry_run=dry_run
        )
        rights = int(answer["rights"])
        fail_point(f"licensing.project_deletion.{step}_projects")
        found = {**own, "devices": devices, "rights": rights}
        return {kind: found[kind] for kind in _KINDS}

    def _tell(self, row: Deletion) -> None:
        """Tell the rooms how an attempt was settled, by call if they answer, else by event."""
        if row.state in (COUNTING, CLOSING):
            return
        which = {"project_id": row.project_id, "closing_id": row.closing_id}
        try:
            if row.state == DELETED:
                self.projects.delete_closed_project(self._step(row, "delete"), **which)
            else:
                self.projects.reopen_project(self._step(row, "reopen"), **which)
                self.devices.reopen_project(self._step(row, "reopen"), **which)
        except ServiceError as error:
            # A project that is gone was told before. Whatever else it is, the event reaches the room sooner or later.
            if error.kind != "not_found":
                _log.warning("a settled deletion is told by event", project_id=row.project_id, error=error.code)
                self.database.write(lambda unit: _tell_by_event(unit, row), call=self.call)
                return
        fail_point("licensing.project_deletion.told")
        self.database.write(lambda unit: deletions.change(unit.connection, row.closing_id, [row.state], told=True))

    def _revive(self, row: Deletion) -> Deletion:
        """Begin a new attempt under a new name, so that no room takes it for the old one."""

        def work(unit: Unit) -> None:
            if _under_way(unit, row.project_id) is None:
                deletions.change(
                    unit.connection,
                    row.closing_id,
                    [ABANDONED],
                    state=COUNTING,
                    closing_id=new_id(),
                    started_at=unit.now,
                    settled_at=None,
                    told=False,
                )

        self.database.write(work, call=self.call)
        return self._get(row.id)

    def _get(self, deletion_id: str) -> Deletion:
        return self.database.read(lambda connection: deletions.get(connection, deletion_id))

    def _step(self, row: Deletion, step: str) -> Call:
        # From the attempt and not from the request: whoever joins repeats this very step.
        return replace(self.call, command_id=f"project-deletion:{row.closing_id}:{step}")


def _close_here(unit: Unit, row: Deletion) -> dict[str, int]:
    if not deletions.change(unit.connection, row.closing_id, [CLOSING], state=CLOSING):
        # Settled by whoever drives it beside us: closed now, the project would stay so for ever.
        raise unavailable()
    if not projects.begin_closing(unit.connection, row.project_id, row.closing_id):
        raise conflict("projects.closed", ERRORS["projects.closed"])
    found = deletions.blockers(unit.connection, row.project_id)
    if any(found.values()):
        projects.end_closing(unit.connection, row.closing_id)
    return found


def _settle(unit: Unit, row: Deletion, outcome: str, blockers: Mapping[str, int]) -> None:
    """Settle an attempt that is still in the state in which it was seen; a deleted project stays closed here for ever.

    Whoever has only counted settles nothing that another one is closing already: the rooms that it reopens might be
    closed after that.
    """
    changed = deletions.change(
        unit.connection,
        row.closing_id,
        [row.state],
        state=outcome,
        blockers=dict(blockers),
        settled_at=unit.now,
        # Where it was only counted nothing was closed, and nobody has to be told.
        told=row.state == COUNTING,
    )
    if changed and outcome != DELETED:
        projects.end_closing(unit.connection, row.closing_id)


def _tell_by_event(unit: Unit, row: Deletion) -> None:
    if not row.told and deletions.change(unit.connection, row.closing_id, [row.state], told=True):
        unit.emit(
            "project_deletion_settled",
            subject=row.project_id,
            data={"project_id": row.project_id, "closing_id": row.closing_id, "outcome": row.state},
            project_id=row.project_id,
            actor_id=row.created_by,
        )


def _not_empty(blockers: Mapping[str, int]) -> ServiceError:
    found = [f"{blockers[kind]} {_NAMES[kind]}" for kind in _KINDS if blockers[kind]]
    return conflict(
        "projects.not_empty",
        f"The project is not empty: there are {', '.join(found)}; move or end them first.",
        blockers=dict(blockers),
    )
