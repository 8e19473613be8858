"""Projects in memory, for the tests of other rooms; `tests/test_contract.py` holds it true to the service."""

from typing import Any

from services.accounts.api import Actor
from services.chassis.answers import dump
from services.chassis.context import Call
from services.chassis.errors import conflict
from services.chassis.ids import new_id
from services.projects.api import Access, ProjectAccess, ProjectCopy, no_project, power_needed, require_power
from services.projects.domain import (
    ARCHIVED,
    CLOSED,
    DEFAULT_NAME,
    GUEST,
    MANAGE,
    OPEN,
    OWN,
    STAFF,
)


class FakeProjects:
    """Implements `ProjectsClient`: `add` makes a project, `let` gives another company a right in it."""

    def __init__(self) -> None:
        """Start without projects."""
        self.projects: dict[str, dict[str, Any]] = {}
        self.rights: set[tuple[str, str]] = set()
        self.closings: dict[str, str] = {}

    def add(
        self, company_id: str, name: str = DEFAULT_NAME, *, project_id: str | None = None, state: str = OPEN
    ) -> str:
        """Make a project of a company and return its id."""
        identifier = project_id or new_id()
        self.projects[identifier] = {"company_id": company_id, "name": name, "state": state, "version": 1}
        return identifier

    def let(self, project_id: str, company_id: str) -> None:
        """Let another company work in a project."""
        self.rights.add((project_id, company_id))

    def get_access(self, call: Call, *, project_id: str) -> dict[str, Any]:
        """Return what the caller is to a project and may do in it.

        Raises: projects.not_found.
        """
        actor = Actor.of(call)
        project = self.projects.get(project_id)
        relation = self._relation(actor, project_id)
        if project is None or relation is None or actor.project_id not in (None, project_id):
            raise no_project()
        state = CLOSED if project_id in self.closings else project["state"]
        copy = ProjectCopy(project_id, project["company_id"], project["name"], state, project["version"])
        return dump(Access, ProjectAccess.of_relation(copy, relation, actor).answer())

    def ensure_default(self, call: Call) -> dict[str, Any]:
        """Return the first project of the caller's company, making it when there is none."""
        company_id = Actor.of(call).require_company()
        own = [key for key, project in self.projects.items() if project["company_id"] == company_id]
        return self._answer(call, own[0] if own else self.add(company_id))

    def list_projects(
        self, call: Call, *, archived: bool = False, limit: int = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """Return the caller's own projects and foreign ones with a right, all on one page."""
        actor = Actor.of(call)
        actor.require_company()
        seen = [key for key in self.projects if self._relation(actor, key) in (OWN, GUEST)]
        items = [self._answer(call, key) for key in seen if archived or self.projects[key]["state"] != ARCHIVED]
        items.sort(key=lambda item: (item["foreign"], item["name"].casefold(), item["id"]))
        return {"items": items[:limit], "next": None, "selected": None}

    def update_project(self, call: Call, *, project_id: str, **changes: Any) -> dict[str, Any]:
        """Rename, archive or reopen a project; the double does not look at versions and names taken."""
        access = self.get_access(call, project_id=project_id)
        require_power(access["powers"], MANAGE)
        project = self.projects[project_id]
        before = dict(project)
        project["name"] = changes.get("name", project["name"])
        if "archived" in changes:
            project["state"] = ARCHIVED if changes["archived"] else OPEN
        project["version"] += project != before
        return self._answer(call, project_id)

    def close_project(self, call: Call, *, project_id: str, closing_id: str, dry_run: bool = False) -> dict[str, Any]:
        """Close an own project for a deletion, unless companies have rights in it."""
        access = self.get_access(call, project_id=project_id)
        closed_for = self.closings.get(project_id)
        if access["access"] != OWN or (MANAGE not in access["powers"] and closed_for is None):
            raise power_needed(MANAGE)
        if closed_for not in (None, closing_id) and not dry_run:
            raise conflict("projects.closed", "The project is being deleted: use another one.")
        rights = sum(1 for key, _ in self.rights if key == project_id)
        if not rights and not dry_run:
            self.closings[project_id] = closing_id
        return {"rights": rights}

    def reopen_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Open a project again that this deletion closed."""
        self._own(call, project_id)
        if self.closings.get(project_id) == closing_id:
            del self.closings[project_id]
        return {}

    def delete_closed_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Delete a project that this deletion closed."""
        self._own(call, project_id)
        if self.closings.get(project_id) != closing_id:
            raise conflict("projects.not_empty", "The project was not closed for this deletion.")
        del self.projects[project_id], self.closings[project_id]
        return {}

    def _own(self, call: Call, project_id: str) -> None:
        project = self.projects.get(project_id)
        if project is None or not Actor.of(call).owns(project["company_id"]):
            raise no_project()

    def _relation(self, actor: Actor, project_id: str) -> str | None:
        project = self.projects.get(project_id)
        if project is None:
            return None
        if actor.owns(project["company_id"]):
            return OWN
        if any((project_id, company_id) in self.rights for company_id in actor.company_ids):
            return GUEST
        return STAFF if actor.staff else None

    def _answer(self, call: Call, project_id: str) -> dict[str, Any]:
        access = self.get_access(call, project_id=project_id)
        return {
            "id": project_id,
            "name": access["name"],
            "description": "",
            "foreign": access["access"] != OWN,
            "state": access["state"],
            "powers": access["powers"],
            "company": {"id": access["company_id"], "name": access["company_id"]},
            "created_at": "2026-01-01T00:00:00.000Z",
            "version": access["version"],
        }
