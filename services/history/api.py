"""The published contract of history: what may be asked, what is answered, which errors there are.

History owns no business data: its lines come from the events of the other rooms. What they mean is
documented with those rooms' own event schemas, not here.
"""

from __future__ import annotations

from typing import Any, Protocol

from marshmallow import Schema, fields, validate

from services.accounts.api import CompanyMergeApplied
from services.chassis.context import Call
from services.chassis.fields import AnswerSchema, Cursor, Id, Limit, Moment, RequestSchema
from services.chassis.texts import Text

CONTEXTS = ("company", "user", "device")
PERIODS = ("day", "week", "month", "year", "all")

ERRORS: dict[str, str] = {
    "history.id_needed": "`context` asks about one object, but no `id` was given; name the device in `id`.",
    "history.device_not_found": "None of your lines is about this device; check the id, it must be the one from "
    "`/devices`.",
    "history.user_not_found": "None of your company's lines is about this user; check the id in the user list.",
    "history.company_not_found": "This is not a company you may read; leave `id` out to read your own.",
    "history.project_not_found": "This is not a project you may read; check the id in the project list.",
    "history.admin_needed": "Only administrators of the company may read what other users did; ask one of them.",
}


class ListHistoryRequest(RequestSchema):
    """Ask for lines, newest first; every filter given must hold.

    `period` counts back from now; `from` (inclusive) and `to` (exclusive) narrow it further. `id` defaults
    to oneself for `user`, to the own company for `company`, and is needed for `device`: the company's record
    (`device_id`) or the hardware id as the trade writes it.
    """

    context = fields.String(load_default="company", validate=validate.OneOf(CONTEXTS))
    id = Text(1, 64, load_default=None, allow_none=True)
    project = Id(load_default=None, allow_none=True)
    period = fields.String(load_default="all", validate=validate.OneOf(PERIODS))
    from_ = Moment(data_key="from", load_default=None, allow_none=True)
    to = Moment(load_default=None, allow_none=True)
    action = Text(1, 64, load_default=None, allow_none=True)
    limit = Limit()
    cursor = Cursor()


class HistoryActor(AnswerSchema):
    """The person behind a line: the id is in the line for ever, the name is looked up at reading."""

    id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)


class HistoryLine(AnswerSchema):
    """One action on one object, as its source told it; `id` is the event's id."""

    id = fields.String(required=True)
    at = fields.String(required=True)
    action = fields.String(required=True)
    actor = fields.Nested(HistoryActor, required=True, allow_none=True)
    company_id = fields.String(required=True, allow_none=True)
    project_id = fields.String(required=True, allow_none=True)
    device_id = fields.String(required=True, allow_none=True)
    hardware_id = fields.String(required=True, allow_none=True)
    subject = fields.String(required=True)
    data = fields.Dict(required=True)
    request_id = fields.String(required=True, allow_none=True)


class MovingLines(AnswerSchema):
    """The lines that an import would bring."""

    lines = fields.Integer(required=True)


class MergeRehearsed(AnswerSchema):
    """What an import would do to histories; lines are never rewritten, they are read together from then on."""

    history = fields.Nested(MovingLines, required=True)


class DeviceNotice(Schema):
    """Event data: a line that its company may want a mail about; `action` is the line's."""

    action = fields.String(required=True)


EVENTS: dict[str, type[Schema]] = {"company_merge_applied": CompanyMergeApplied, "device_notice": DeviceNotice}
"""Event type -> schema of its data."""


class ListHistoryAnswer(AnswerSchema):
    """A page of lines and the cursor of the next one, null on the last page."""

    items = fields.List(fields.Nested(HistoryLine), required=True)
    next = fields.String(required=True, allow_none=True)


class HistoryClient(Protocol):
    """What the gateway calls."""

    def list_history(self, call: Call, **request: Any) -> dict[str, Any]:
        """Answer one page of history lines, newest first."""
        ...
