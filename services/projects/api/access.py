"""What a caller may do in a project, decided alike in every room: copy and token give the powers (rules S8, PRJ-3).

Pure: whoever asks has read the copy or the answer of projects before. SQL and calls do not belong here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from services.accounts.api import Actor
from services.chassis.answers import Shown, shown
from services.chassis.errors import ServiceError, conflict, forbidden, not_found
from services.projects.api.errors import ERRORS
from services.projects.domain import ARCHIVED, CLOSED, OPEN, OWN, powers_of, roles_of


@dataclass(frozen=True, slots=True)
class ProjectCopy:
    """A project as a room last heard of it; `company_id` is its owner."""

    id: str
    company_id: str
    name: str
    state: str
    version: int = 0

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Return the copy that an `Access` makes."""
        return cls(
            str(answer["project_id"]),
            str(answer["company_id"]),
            str(answer["name"]),
            str(answer["state"]),
            int(answer["version"]),
        )

    def ref(self) -> dict[str, str]:
        """Return id and name, as answers and events carry them."""
        return {"id": self.id, "name": self.name}

    def require_open(self) -> None:
        """Refuse what a project takes no more that is archived or being deleted.

        Raises: projects.archived, projects.closed.
        """
        if self.state == ARCHIVED:
            raise conflict(
                "projects.archived", f"The project {self.name} is archived: take it out of the archive first."
            )
        if self.state != OPEN:
            raise conflict("projects.closed", f"The project {self.name} is being deleted: use another one.")


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """A project and what the caller is to it.

    Args:
        project: as its room tells it.
        relation: `own`, `guest` or `staff`.
        powers: names of the caller's powers in it.
        group: the owner's companies as far as the caller knows them: all of their own, or the one owner.
    """

    project: ProjectCopy
    relation: str
    powers: tuple[str, ...]
    group: tuple[str, ...]

    @classmethod
    def of_copy(cls, copy: ProjectCopy | None, actor: Actor, *, gone: bool = False) -> Self | None:
        """Return the access that a copy and a token prove by themselves, None where projects has to be asked.

        Args:
            copy: what the room has heard of the project.
            actor: who asks.
            gone: take the copy also of a project that was deleted, for what was in it.
        """
        # Only projects can tell one that is being deleted from one that is not there any more.
        if copy is None or (copy.state == CLOSED and not gone):
            return None
        if not actor.owns(copy.company_id) or actor.project_id not in (None, copy.id):
            return None
        # Nothing living is in a closed project; the repetition of an old command shall get its first answer.
        powers = powers_in(OWN, actor, OPEN if copy.state == CLOSED else copy.state)
        return cls(copy, OWN, powers, actor.company_ids)

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any], actor: Actor) -> Self:
        """Return the access that projects told as an `Access`."""
        project = ProjectCopy.of_answer(answer)
        return cls(project, str(answer["access"]), tuple(answer["powers"]), _group(project, answer["access"], actor))

    @classmethod
    def of_relation(cls, project: ProjectCopy, relation: str, actor: Actor) -> Self:
        """Return the access of someone who is known to stand in this relation to a project.

        Args:
            project: as it is now.
            relation: `own`, `guest` or `staff`.
            actor: who asks.
        """
        return cls(project, relation, powers_in(relation, actor, project.state), _group(project, relation, actor))

    def answer(self) -> Shown:
        """Return the access as an `Access`."""
        return shown(self.project, project_id=self.project.id, access=self.relation, powers=list(self.powers))

    def require(self, power: str) -> None:
        """Refuse a caller without the power.

        Raises: access.power_needed.
        """
        require_power(self.powers, power)

    def require_in_state(self, actor: Actor, power: str) -> None:
        """Refuse a caller without the power, by the state where that alone takes it away.

        Args:
            actor: whose access it is.
            power: of the published table.

        Raises: access.power_needed, projects.archived, projects.closed.
        """
        if power not in self.powers and power in powers_in(self.relation, actor):
            self.project.require_open()
        self.require(power)


def powers_in(relation: str, actor: Actor, state: str = OPEN) -> tuple[str, ...]:
    """Return the names of the powers that someone has in a project.

    Args:
        relation: what they are to it: `own`, `guest` or `staff`.
        actor: who asks.
        state: of the project.
    """
    return powers_of(roles_of(relation, admin=actor.admin, staff=actor.staff), actor.rights, state)


def require_power(powers: Collection[str], power: str) -> None:
    """Refuse a caller without a power in a project.

    Raises: access.power_needed.
    """
    if power not in powers:
        raise power_needed(power)


def power_needed(power: str) -> ServiceError:
    """Return the one refusal of what the caller sees and may not do (api.md, one code for one meaning)."""
    return forbidden(
        "access.power_needed",
        f"You may see this project, but not do this in it ({power}): ask a user of the company it belongs to.",
        power=power,
    )


def no_project() -> ServiceError:
    """Return the one refusal for unknown ids and for projects of strangers (rule S8d)."""
    return not_found("projects.not_found", ERRORS["projects.not_found"])


def _group(project: ProjectCopy, relation: str, actor: Actor) -> tuple[str, ...]:
    return actor.company_ids if relation == OWN and actor.owns(project.company_id) else (project.company_id,)
