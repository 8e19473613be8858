"""Who may do what with which device: own companies by the token, other people's projects by asking projects.

Nothing here runs inside a transaction, because it may call another room (rule D3).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, conflict, forbidden, not_found
from services.devices import store
from services.devices.api import ERRORS, MEANINGS
from services.devices.store import AnyRow, ProjectOfRecord
from services.projects.api import CLOSED, OPEN, OWN, ProjectsClient, powers_of, roles_of


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """A project and what the caller is to it.

    Args:
        project_id, company_id, name, state, version: of the project; `company_id` is its owner.
        access: `own`, `guest` or `staff`.
        powers: names of the caller's powers in it.
        group: the owner's companies as far as the caller knows them: all of their own, or the one owner.
    """

    project_id: str
    company_id: str
    name: str
    state: str
    version: int
    access: str
    powers: tuple[str, ...]
    group: tuple[str, ...]

    @property
    def copy(self) -> dict[str, Any]:
        """Return what this room keeps of the project."""
        return {
            "id": self.project_id,
            "company_id": self.company_id,
            "name": self.name,
            "state": self.state,
            "version": self.version,
        }

    def require(self, power: str) -> None:
        """Refuse a caller without the power.

        Raises: access.power_needed.
        """
        if power not in self.powers:
            raise forbidden("access.power_needed", MEANINGS["access.power_needed"], power=power)

    def require_open(self) -> None:
        """Refuse an archived project and one that is being deleted.

        Raises: devices.project_closed.
        """
        refuse_closed(self.state)


def refuse_closed(state: str) -> None:
    """Refuse a project that is not open.

    Raises: devices.project_closed.
    """
    if state != OPEN:
        raise conflict("devices.project_closed", ERRORS["devices.project_closed"])


def device_not_found() -> ServiceError:
    """Make the one error for unknown, deleted and foreign devices alike (rule S8d)."""
    return not_found("devices.device_not_found", ERRORS["devices.device_not_found"])


def require_reader(actor: Actor) -> None:
    """Refuse a token that does nothing with devices; what else a caller needs is checked where the facts are used.

    Raises: accounts.scope_needed.
    """
    # Who may write only must still be told apart from strangers.
    if not actor.scopes & {"device", "write"}:
        actor.require_scope("read")


def own_powers(actor: Actor, state: str) -> tuple[str, ...]:
    """Return the caller's powers in a project of their own company."""
    return powers_of(roles_of(OWN, admin=actor.admin, staff=actor.staff), actor.rights, state)


def project_access(
    database: Database,
    call: Call,
    actor: Actor,
    project_id: str,
    projects: ProjectsClient,
    *,
    gone: bool = False,
    copy: ProjectOfRecord | None = None,
) -> ProjectAccess:
    """Return what the caller is to a project: from this room's copy for own ones, else by asking projects.

    Args:
        gone: take the copy also of a project that was deleted, for what was in it.
        copy: this room's copy, where it has just been read.

    Raises: projects.not_found for strangers and unknown ids alike.
    """
    row = copy or database.read(lambda connection: store.find_project(connection, project_id))
    # Only projects can tell one that is being deleted from one that is not there any more.
    told = row is not None and (row.state != CLOSED or gone)
    if row is not None and told and actor.owns(row.company_id) and actor.project_id in (None, project_id):
        # Nothing living is in a closed project; the repetition of an old command shall get its first answer.
        powers = own_powers(actor, OPEN if row.state == CLOSED else row.state)
        return ProjectAccess(row.id, row.company_id, row.name, row.state, row.version, OWN, powers, actor.company_ids)
    answer = projects.get_access(call, project_id=project_id)
    return _from_answer(answer, actor)


def device_access(
    database: Database,
    call: Call,
    actor: Actor,
    row: AnyRow | None,
    projects: ProjectsClient,
    copy: ProjectOfRecord | None = None,
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


def _from_answer(answer: dict[str, Any], actor: Actor) -> ProjectAccess:
    company_id = str(answer["company_id"])
    group: Collection[str] = actor.company_ids if answer["access"] == OWN else (company_id,)
    return ProjectAccess(
        project_id=str(answer["project_id"]),
        company_id=company_id,
        name=str(answer["name"]),
        state=str(answer["state"]),
        version=int(answer["version"]),
        access=str(answer["access"]),
        powers=tuple(answer["powers"]),
        group=tuple(group) if company_id in group else (company_id,),
    )
