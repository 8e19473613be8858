"""Published contract of the licenses of a device: options, assignments, floating license. Files: `api.files`."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields, validate

from services.chassis.fields import AnswerSchema, Flag, Id, ListRequest, RequestSchema
from services.licensing.api.catalogue import Version
from services.licensing.api.keys import MAX_LINES, LicenseLine, NamedLine, ProjectRef

MAX_SOURCES: Final = 50
"""Most other projects that one assignment may draw from."""

COPY: Final = (
    "True where the same change is told to the project's owner too; who adds up quantities passes over copies."
)

RULES: Final[dict[str, str]] = {
    "one_unit": "A size is one unit: it is taken once per device.",
    "one_base": "A device holds one base size of a kind and version; a bigger one comes by an upgrade.",
    "upgrade_needs_base": "An upgrade from m to n needs the size m on the device.",
    "same_size_as_pbx": "Voicemail and Standby have the size of the PBX license.",
    "registrations_within_pbx": "There are at most as many registrations as the PBX license is large.",
    "maximum": "Installed and new licenses together stay within the maximum of the device type.",
    "floating_excludes_pbx": "A floating license and PBX licenses exclude each other on one device.",
    "floating_by_its_own_request": "A floating license is set by its own request.",
}
"""Rule name in `licensing.rule_violated` -> what it says (LIC-2, LIC-4)."""

WHY_NOT_RETURNED: Final[dict[str, str]] = {
    "downloaded_unencrypted": "An unencrypted file was downloaded, which ended the right to return it.",
    "gateway": "Gateway licenses stay with their device.",
    "not_on_device": "It is not on the device any more.",
    "not_returnable": "Licenses of this type cannot be returned.",
    "not_returnable_version": "Files up to version 7 are not signed, so licenses of these versions cannot be returned.",
    "possession_needed": "A company that has the device no longer paid for it: prove possession of the device "
    "(POST /v1/devices/{id}/possession).",
    "other_company": "Another company that also has the device paid for it; only that company can return it.",
    "warranty": "Warranty and support belong to the device and stay with it.",
}
"""Why a license cannot be returned (`reason`) -> what is told of it (LIC-5, LIC-8)."""

ERRORS: Final[dict[str, str]] = {
    "licensing.rule_violated": "The licenses do not go together on the device; `rule` names the rule, `allowed` what "
    "would fit.",
    "licensing.source_not_usable": "A project in `sources` is not an open project of your company; leave it out.",
    "licensing.line_not_found": "The device has no such license line; list its licenses.",
    "licensing.file_issued": "A license file was issued for this assignment, so it can no longer be taken back.",
    "licensing.line_not_yours": "The assignment was paid for by another company; only that company can take it back: "
    "ask it to do so.",
}


class DeviceRequest(RequestSchema):
    """A device record of one's company."""

    device_id = Id(required=True)


class ListDeviceLicensesRequest(DeviceRequest, ListRequest):
    """A page of what is on a device."""


class GetLicenseOptionsRequest(DeviceRequest, ListRequest):
    """The version to see license types of (LIC-1)."""

    version = Version(required=True)


class LicenseOption(AnswerSchema):
    """A license type that fits the device and is in stock.

    For a size, `installed` and `maximum` are sizes and `choices` are the ids of the same drop-down, ascending.
    `maximum` is null where the catalogue sets none.
    """

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    measure = fields.String(required=True, metadata={"enum": ["size", "count"]})
    project_balance = fields.Integer(required=True)
    company_balance = fields.Integer(required=True)
    installed = fields.Integer(required=True)
    maximum = fields.Integer(required=True, allow_none=True)
    choices = fields.List(fields.String())


class LicenseOptionList(AnswerSchema):
    """All license types that fit; there is one page."""

    items = fields.List(fields.Nested(LicenseOption), required=True)
    next = fields.String(required=True, allow_none=True)


class InstalledLine(NamedLine):
    """A license on the device. `reason` tells by a code why it is not returnable, `detail` by a sentence; else null."""

    id = fields.String(required=True)
    version = fields.Integer(required=True, allow_none=True)
    kind = fields.String(required=True)
    assigned_at = fields.String(required=True)
    file_issued = fields.String(required=True, metadata={"enum": ["none", "encrypted", "plain"]})
    returnable = fields.Boolean(required=True)
    reason = fields.String(required=True, allow_none=True)
    detail = fields.String(allow_none=True)
    can_take_back = fields.Boolean(required=True)


class FileState(AnswerSchema):
    """Whether the newest license file tells what is installed, and when the device fetched it."""

    state = fields.String(required=True, metadata={"enum": ["none", "current", "outdated"]})
    serial = fields.String(allow_none=True)
    fetched_at = fields.String(required=True, allow_none=True)


class DeviceLicenses(AnswerSchema):
    """All licenses of a device; they belong to the device, whoever assigned them (DEV-5)."""

    items = fields.List(fields.Nested(InstalledLine), required=True)
    next = fields.String(required=True, allow_none=True)
    floating = fields.Nested(InstalledLine, required=True, allow_none=True)
    file = fields.Nested(FileState, required=True)


class AssignLicensesRequest(DeviceRequest):
    """Licenses for a device; drawn from its project first, then from `sources` as listed, from nowhere else (LIC-3)."""

    licenses = fields.List(fields.Nested(LicenseLine), required=True, validate=validate.Length(1, MAX_LINES))
    sources = fields.List(Id(), load_default=list, validate=validate.Length(max=MAX_SOURCES))
    dry_run = Flag(load_default=False)


class Drawn(ProjectRef):
    """What was taken from one project."""

    license_type = fields.String(required=True)
    quantity = fields.Integer(required=True)


class AssignedLine(NamedLine):
    """A new license on the device; `id` is null in a rehearsal."""

    id = fields.String(required=True, allow_none=True)


class AssignedLicenses(AnswerSchema):
    """The new lines and the projects that paid."""

    licenses = fields.List(fields.Nested(AssignedLine), required=True)
    drawn = fields.List(fields.Nested(Drawn), required=True)


class LineRequest(DeviceRequest):
    """A license line of a device."""

    line_id = Id(required=True)


class TakenBack(AnswerSchema):
    """What was taken back, and the projects that have it again."""

    licenses = fields.List(fields.Nested(AssignedLine), required=True)
    credited = fields.List(fields.Nested(Drawn), required=True)


class SetFloatingRequest(DeviceRequest):
    """The version of the floating license `PBX7#0` (LIC-4)."""

    version = Version(required=True)


class LicensesAssigned(Schema):
    """Event data: licenses were put on a device; subject is the device's hardware id."""

    project = fields.Nested(ProjectRef, required=True)
    licenses = fields.List(fields.Nested(AssignedLine), required=True)
    drawn = fields.List(fields.Nested(Drawn), required=True)
    copy = fields.Boolean(required=True, metadata={"description": COPY})


class LicensesTakenBack(Schema):
    """Event data: an assignment was taken back; subject is the device's hardware id."""

    project = fields.Nested(ProjectRef, required=True)
    licenses = fields.List(fields.Nested(AssignedLine), required=True)
    credited = fields.List(fields.Nested(Drawn), required=True)
    copy = fields.Boolean(required=True, metadata={"description": COPY})


class FloatingLicense(Schema):
    """Event data: a floating license was set on a device or taken off; subject is its hardware id."""

    project = fields.Nested(ProjectRef, required=True)
    licenses = fields.List(fields.Nested(AssignedLine), required=True)
    copy = fields.Boolean(required=True, metadata={"description": COPY})


EVENTS: Final[dict[str, type[Schema]]] = {
    "licenses_assigned": LicensesAssigned,
    "licenses_taken_back": LicensesTakenBack,
    "floating_license_set": FloatingLicense,
    "floating_license_removed": FloatingLicense,
}
