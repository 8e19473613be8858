"""What these tests need of projects until its own double is used: projects of companies, rights and states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.errors import not_found
from services.chassis.ids import new_id
from services.projects.api import ERRORS, GUEST, OPEN, OWN, STAFF, powers_of


@dataclass
class Projects:
    """Projects in memory, as `ProjectsClient.get_access` tells them."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    rights: set[tuple[str, str]] = field(default_factory=set)
    asked: int = 0

    def create(self, company_id: str, name: str = "DEFAULT", state: str = OPEN) -> str:
        """Make a project; returns its id."""
        project_id = new_id()
        self.rows[project_id] = {"company_id": company_id, "name": name, "state": state}
        return project_id

    def get_access(self, call: Call, *, project_id: str) -> dict[str, Any]:
        """Tell what the caller is to a project."""
        self.asked += 1
        actor = Actor.of(call)
        row = self.rows.get(project_id)
        if row is None or actor.project_id not in (None, project_id):
            raise not_found("projects.not_found", ERRORS["projects.not_found"])
        if actor.owns(row["company_id"]):
            access, relations = OWN, ["own_admin" if actor.admin else "own_member"]
        elif any((project_id, company_id) in self.rights for company_id in actor.company_ids):
            access, relations = GUEST, ["guest"]
        elif actor.staff:
            access, relations = STAFF, ["staff"]
        else:
            raise not_found("projects.not_found", ERRORS["projects.not_found"])
        powers = list(powers_of(relations, actor.rights, row["state"]))
        return {"project_id": project_id, **row, "access": access, "powers": powers}
