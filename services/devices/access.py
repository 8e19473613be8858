"""Who may do what with which device: own companies by the token, other people's projects by asking projects.

Nothing here runs inside a transaction, because it may call another room (rule D3).
"""

from __future__ import annotations

from typing import Final

from services.accounts.api import SCOPE_DEVICE, SCOPE_READ, SCOPE_WRITE, Actor, needs
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, conflict, not_found
from services.devices import store
from services.devices.api import ERRORS
from services.devices.store import StoredRecord
from services.projects.api import OPEN, ProjectAccess, ProjectCopy, ProjectsClient


def refuse_closed(state: str) -> None:
    """Refuse a project that is not open.

    Raises: devices.project_closed.
    """
    if state != OPEN:
        raise conflict("devices.project_closed", ERRORS["devices.project_closed"])


def device_not_found() -> ServiceError:
    """Make the one error for unknown, deleted and foreign devices alike (rule S8d)."""
    return not_found("devices.device_not_found", ERRORS["devices.device_not_found"])


def _require_reader(call: Call) -> None:
    # Who may write only must still be told apart from strangers.
    actor = Actor.of(call)
    if not actor.scopes & {SCOPE_DEVICE, SCOPE_WRITE}:
        actor.require_scope(SCOPE_READ)


READER: Final = needs.Needed(needs.READ.raises, _require_reader)
"""A token that does anything with devices; what else a caller needs is checked where the facts are used."""


def project_access(
    database: Database,
    call: Call,
    actor: Actor,
    project_id: str,
    projects: ProjectsClient,
    *,
    gone: bool = False,
    copy: ProjectCopy | None = None,
) -> ProjectAccess:
    """Return what the caller is to a project: from this room's copy for own ones, else by asking projects.

    Args:
        gone: take the copy also of a project that was deleted, for what was in it.
        copy: this room's copy, where it has just been read.

    Raises: projects.not_found for strangers and unknown ids alike.
    """
    known = copy or database.read(lambda connection: store.find_project(connection, project_id))
    access = ProjectAccess.of_copy(known, actor, gone=gone)
    return access or ProjectAccess.of_answer(projects.get_access(call, project_id=project_id), actor)


def device_access(
    database: Database,
    call: Call,
    actor: Actor,
    row: StoredRecord | None,
    projects: ProjectsClient,
    copy: ProjectCopy | None = None,
) -> ProjectAccess:
    """Return what the caller is to a device's project.

    Raises: devices.device_not_found for strangers, and where there is no record.
    """
    if row is None:
        raise device_not_found()
    try:
        return project_access(database, call, actor, row.project_id, projects, gone=True, copy=copy)
    except ServiceError as error:
        if error.kind in ("not_found", "forbidden"):
            raise device_not_found() from error
        raise
