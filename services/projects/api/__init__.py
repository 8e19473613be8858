"""The published contract of projects: all that other rooms may import. How projects decides does not belong here."""

from typing import Any, Final, Protocol

from marshmallow import Schema, fields

from services.accounts.api import CompanyMergeApplied
from services.chassis.context import Call
from services.chassis.fields import AnswerSchema, Flag, Id, ListRequest, RequestSchema
from services.chassis.texts import Text
from services.projects.api.access import (
    ProjectAccess,
    ProjectCopy,
    no_project,
    power_needed,
    powers_in,
    require_power,
)
from services.projects.api.errors import ERRORS
from services.projects.domain import (
    ADD,
    ARCHIVED,
    CLOSED,
    CORRECT,
    DRAW,
    FILES,
    GUEST,
    MANAGE,
    MANAGE_COMPANY,
    MANAGE_DEVICES,
    MOVE_LICENSES,
    NAME_MAXIMUM,
    OPEN,
    OWN,
    POWERS,
    REQUEST_CERTIFICATE,
    SEE,
    STAFF,
    Power,
    may_have,
    powers_of,
    roles_of,
)

__all__ = [
    "ADD",
    "ARCHIVED",
    "CLOSED",
    "CORRECT",
    "DRAW",
    "ERRORS",
    "EVENTS",
    "FILES",
    "GUEST",
    "MANAGE",
    "MANAGE_COMPANY",
    "MANAGE_DEVICES",
    "MOVE_LICENSES",
    "OPEN",
    "OWN",
    "POWERS",
    "REQUEST_CERTIFICATE",
    "SEE",
    "STAFF",
    "Access",
    "AddRightRequest",
    "CloseProjectRequest",
    "ClosingRequest",
    "CreateProjectRequest",
    "ListProjectsRequest",
    "ListRightsRequest",
    "MergeRehearsed",
    "MovingProjects",
    "MovingRights",
    "Power",
    "Project",
    "ProjectAccess",
    "ProjectClosing",
    "ProjectCopy",
    "ProjectList",
    "ProjectRequest",
    "ProjectsClient",
    "RemoveRightRequest",
    "Right",
    "RightList",
    "SelectProjectRequest",
    "SelectedProject",
    "UpdateProjectRequest",
    "may_have",
    "no_project",
    "power_needed",
    "powers_in",
    "powers_of",
    "require_power",
    "roles_of",
]


class CreateProjectRequest(RequestSchema):
    """A new project (PRJ-1)."""

    name = Text(1, NAME_MAXIMUM, required=True)
    description = Text(0, 2000, lines=True, load_default="")


class ProjectRequest(RequestSchema):
    """A project that the caller sees."""

    project_id = Id(required=True)


class ListProjectsRequest(ListRequest):
    """A page of projects; archived ones are among them when asked for."""

    archived = Flag(load_default=False)


class UpdateProjectRequest(ProjectRequest):
    """New data of a project; what is absent stays. `if_version` refuses a change of what was not read (412)."""

    name = Text(1, NAME_MAXIMUM)
    description = Text(0, 2000, lines=True)
    archived = Flag()
    if_version = fields.Integer(load_default=None, allow_none=True, strict=True)


class SelectProjectRequest(RequestSchema):
    """The project chosen for all pages, null for all own projects (PRJ-2)."""

    project_id = Id(required=True, allow_none=True)


class AddRightRequest(ProjectRequest):
    """The e-mail of a user whose company may work in the project (PRJ-3)."""

    email = fields.Email(required=True)
    company_id = Id(load_default=None, allow_none=True)


class ListRightsRequest(ListRequest):
    """A page of the companies that may work in a project."""

    project_id = Id(required=True)


class RemoveRightRequest(ProjectRequest):
    """The company whose right ends."""

    company_id = Id(required=True)


class ClosingRequest(ProjectRequest):
    """The deletion of a project that closed it: licensing's name for one attempt."""

    closing_id = Id(required=True)


class CloseProjectRequest(ClosingRequest):
    """A project to close for a deletion; a rehearsal only counts what is in the way."""

    dry_run = Flag(load_default=False)


class CompanyName(AnswerSchema):
    """A company by id and name."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class Project(AnswerSchema):
    """A project as the caller sees it; `company` is its owner."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    foreign = fields.Boolean(required=True)
    state = fields.String(required=True, metadata={"enum": [OPEN, ARCHIVED, CLOSED]})
    powers = fields.List(fields.String(), required=True)
    company = fields.Nested(CompanyName, required=True, allow_none=True)
    created_at = fields.String(required=True)
    version = fields.Integer(required=True)


class ProjectList(AnswerSchema):
    """A page of projects, own ones first; `selected` is the one chosen for all pages, null for all own ones."""

    items = fields.List(fields.Nested(Project), required=True)
    next = fields.String(required=True, allow_none=True)
    selected = fields.String(required=True, allow_none=True)


class SelectedProject(AnswerSchema):
    """The project chosen for all pages."""

    project_id = fields.String(required=True, allow_none=True)


class Access(AnswerSchema):
    """What the caller is to a project and may do in it."""

    project_id = fields.String(required=True)
    company_id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": [OPEN, ARCHIVED, CLOSED]})
    version = fields.Integer(required=True)
    access = fields.String(required=True, metadata={"enum": [OWN, GUEST, STAFF]})
    powers = fields.List(fields.String(), required=True)


class ProjectClosing(AnswerSchema):
    """How many companies have a right in a project that a deletion is to close; with any of them it stays open."""

    rights = fields.Integer(required=True)


class Right(AnswerSchema):
    """A company that may work in a project."""

    company_id = fields.String(required=True)
    company_name = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True)


class RightList(AnswerSchema):
    """A page of rights."""

    items = fields.List(fields.Nested(Right), required=True)
    next = fields.String(required=True, allow_none=True)


class RenamedProject(AnswerSchema):
    """A project that gets another name by an import, because the importing company has one of its name."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    new_name = fields.String(required=True)


class MovingProjects(AnswerSchema):
    """The projects that an import would move; at most 200 of those that are renamed are named."""

    count = fields.Integer(required=True)
    renamed_count = fields.Integer(required=True)
    renamed = fields.List(fields.Nested(RenamedProject), required=True)


class MovingRights(AnswerSchema):
    """The rights that an import concerns: given in the projects that move, received in those of others, ended."""

    granted = fields.Integer(required=True)
    received = fields.Integer(required=True)
    dissolved = fields.Integer(required=True, metadata={"description": "of them, rights between the two companies"})


class MergeRehearsed(AnswerSchema):
    """What an import would do to projects and rights."""

    projects = fields.Nested(MovingProjects, required=True)
    rights = fields.Nested(MovingRights, required=True)


class ProjectData(Schema):
    """Event data: a project as it is now; subject is its id, companyid its owner."""

    project_id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": [OPEN, ARCHIVED, "deleted"]})
    version = fields.Integer(required=True, metadata={"description": "counts the changes of the project"})


class ProjectChanged(ProjectData):
    """Event data: what was changed."""

    what = fields.List(fields.String(), required=True)
    old_name = fields.String()
    old_company_id = fields.String(metadata={"description": "the company that was imported into this one"})


class RightData(Schema):
    """Event data: a right in a project; one event for the owner and one for the guest company."""

    project_id = fields.String(required=True)
    name = fields.String(required=True)
    owner_company_id = fields.String(required=True)
    guest_company_id = fields.String(required=True)


class RightPassed(RightData):
    """Event data: the right of a company that was imported by another one is that one's now; told to both."""

    old_guest_company_id = fields.String(required=True)


EVENTS: Final[dict[str, type[Schema]]] = {
    "project_created": ProjectData,
    "project_changed": ProjectChanged,
    "project_deleted": ProjectData,
    "project_right_granted": RightData,
    "project_right_removed": RightData,
    "project_right_passed": RightPassed,
    "company_merge_applied": CompanyMergeApplied,
}
"""Event type -> schema of its data."""


class ProjectsClient(Protocol):
    """The calls that devices, licensing and the gateway make; `services.projects.fake` implements them in memory."""

    def get_access(self, call: Call, *, project_id: str) -> dict[str, Any]:
        """Return an `Access`.

        Raises: projects.not_found for strangers and unknown ids alike.
        """
        ...

    def ensure_default(self, call: Call) -> dict[str, Any]:
        """Return the first project of the caller's company, making `DEFAULT` when there is none."""
        ...

    def list_projects(
        self, call: Call, *, archived: bool = False, limit: int = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """Return a `ProjectList`."""
        ...

    def update_project(self, call: Call, *, project_id: str, **changes: Any) -> dict[str, Any]:
        """Change a project as `UpdateProjectRequest` says and return it as a `Project`."""
        ...

    def close_project(self, call: Call, *, project_id: str, closing_id: str, dry_run: bool = False) -> dict[str, Any]:
        """Close an own project for a deletion and return `{"rights": n}`; with n > 0 it stays open.

        Raises: projects.closed while another deletion has it.
        """
        ...

    def reopen_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Open a project again that this deletion closed, because another room refused it."""
        ...

    def delete_closed_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Delete a project that this deletion closed for good; a repetition answers the same."""
        ...
