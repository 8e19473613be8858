"""Published contract of the deletion of projects, which this room drives (PRJ-4)."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields

from services.chassis.fields import Id, RequestSchema

OUTCOMES: Final = ("deleted", "refused", "abandoned")


class DeleteProjectRequest(RequestSchema):
    """A project to delete; only an empty one is."""

    project_id = Id(required=True)


class ProjectDeletionSettled(Schema):
    """Event data: how a deletion ended, for rooms that its calls did not reach; told to no company.

    Rooms that closed the project as `closing_id` delete it or open it again; whoever did so already does nothing.
    """

    project_id = fields.String(required=True)
    closing_id = fields.String(required=True)
    outcome = fields.String(required=True, metadata={"enum": list(OUTCOMES)})


EVENTS: Final[dict[str, type[Schema]]] = {"project_deletion_settled": ProjectDeletionSettled}
