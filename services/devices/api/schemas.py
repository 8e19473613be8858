"""Requests and answers of devices.

Words: `device_id` is one company's record of a device; the thing itself is its `hardware_id`, answered in one spelling
and accepted in all of DEV-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import ValidationError, fields, validate, validates_schema

from services.chassis.fields import AnswerSchema, EmptyAnswer, Flag, Id, ListRequest, Opaque, RequestSchema
from services.chassis.texts import Text
from services.devices.domain.hardware_ids import MAXIMUM_AT_ONCE

WARNINGS: Final = ("devices.in_other_company", "devices.several_users")
SORTS: Final = ("hardware_id", "-hardware_id", "type", "-type", "added_at", "-added_at", "comment", "-comment")
MAXIMUM_ORDER_DEVICES: Final = 1000
PROVEN: Final = "proven"
CLAIMED: Final = "claimed"
POSSESSIONS: Final = (PROVEN, CLAIMED)
"""Whether a company's possession of a device is proven, or was claimed by the id that is printed on it (DEV-15)."""
ORDER_NUMBER: Final = "order_number"
DEVICE_KEY: Final = "device_key"
STAFF: Final = "staff"
PROOFS: Final = (ORDER_NUMBER, DEVICE_KEY, STAFF)
"""What proves possession."""


class Warranty(AnswerSchema):
    """Warranty of a device: dates are days; `state` is running, ended or unknown (not shipped yet)."""

    starts_on = fields.Date(required=True, allow_none=True)
    ends_on = fields.Date(required=True, allow_none=True)
    state = fields.String(required=True, validate=validate.OneOf(["running", "ended", "unknown"]))
    extension_months = fields.Integer(required=True)


class DeviceAction(AnswerSchema):
    """One thing the caller could do with a device; where it is not allowed, the code why not and a sentence.

    `ways` stands where possession has to be proven first: by what that can be done. `right` is the account right that
    is missing, which the vendor grants; `power` what the owner of the project did not give the caller's company.
    """

    name = fields.String(required=True)
    allowed = fields.Boolean(required=True)
    reason = fields.String()
    detail = fields.String()
    right = fields.String()
    power = fields.String()
    ways = fields.List(fields.String(validate=validate.OneOf(PROOFS)))


class Device(AnswerSchema):
    """A company's record of a device."""

    id = Id(required=True)
    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    project_id = Id(required=True)
    company_id = Id(required=True)
    foreign = fields.Boolean(required=True)
    comment = fields.String(required=True)
    license_comment = fields.String(required=True)
    order_number = fields.String(required=True, allow_none=True)
    possession = fields.String(required=True, validate=validate.OneOf(POSSESSIONS))
    rma = fields.Boolean(required=True)
    warranty = fields.Nested(Warranty, required=True)
    ssa_ends_on = fields.Date(required=True, allow_none=True)
    added_at = fields.DateTime(required=True, format="iso")
    version = fields.Integer(required=True)


class DeviceWithActions(Device):
    """A device with what the caller may do with it."""

    actions = fields.List(fields.Nested(DeviceAction), required=True)


class DeviceList(AnswerSchema):
    """A page of devices."""

    items = fields.List(fields.Nested(Device), required=True)
    next = fields.String(required=True, allow_none=True)


class DeviceFacts(AnswerSchema):
    """What licensing needs to know about a device before it works on its licenses."""

    device_id = Id()
    hardware_id = fields.String()
    type = fields.String()
    company_id = Id()
    project_id = Id()
    rma = fields.Boolean()
    possession = fields.String(validate=validate.OneOf(POSSESSIONS))
    held_by_others = fields.Boolean()
    other_holders = fields.List(fields.String())
    access = fields.String(validate=validate.OneOf(["own", "guest", "staff"]))
    powers = fields.List(fields.String())
    comment = fields.String()
    license_comment = fields.String()


class HardwareRange(RequestSchema):
    """A range of MAC addresses, both ends included."""

    first = Opaque(required=True)
    last = Opaque(required=True)


class AcceptedWarning(RequestSchema):
    """The explicit yes to one warning about one device."""

    hardware_id = Opaque(required=True)
    code = fields.String(required=True, validate=validate.OneOf(WARNINGS))


class AddDevicesRequest(RequestSchema):
    """Devices to add, given in exactly one of four ways."""

    project_id = Id(required=True)
    hardware_ids = fields.List(Opaque())
    range = fields.Nested(HardwareRange)
    text = Opaque()
    order_number = Opaque()
    accept_warnings = fields.List(
        fields.Nested(AcceptedWarning),
        load_default=list,
        validate=validate.Length(max=MAXIMUM_ORDER_DEVICES),
    )
    dry_run = Flag(load_default=False)

    @validates_schema
    def _one_source(self, data: Mapping[str, Any], **_: Any) -> None:
        given = [name for name in ("hardware_ids", "range", "text", "order_number") if name in data]
        if len(given) != 1:
            raise ValidationError("Give exactly one of hardware_ids, range, text and order_number.")
        if not data[given[0]] or (given[0] == "text" and not data["text"].strip()):
            raise ValidationError("Must hold at least one device.", given[0])


class AddedLine(AnswerSchema):
    """The result for one line of the input."""

    input = fields.String(required=True)
    hardware_id = fields.String(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True)
    result = fields.String(required=True, validate=validate.OneOf(["ok", "warning", "error", "added", "refused"]))
    code = fields.String(required=True, allow_none=True)
    detail = fields.String(required=True, allow_none=True)
    device_id = Id(required=True, allow_none=True)


class AddDevicesAnswer(AnswerSchema):
    """Counts by result, and the result of every line in the order of the input."""

    summary = fields.Dict(required=True, keys=fields.String(), values=fields.Integer())
    items = fields.List(fields.Nested(AddedLine), required=True)


class ListDevicesRequest(ListRequest):
    """Filter, order and page of a device list; without a project all own projects."""

    project = Id(load_default=None, allow_none=True)
    filter = Text(0, 100, load_default="")
    type = Text(0, 40, load_default="")
    sort = fields.String(load_default="hardware_id", validate=validate.OneOf(SORTS))


class DeviceRequest(RequestSchema):
    """One device record. Anything that is no id of this company answers alike: not found."""

    device_id = Text(1, 64, required=True)


class DeleteDeviceRequest(DeviceRequest):
    """A device record to delete. `if_version` refuses the deletion of what was not read as it is (412)."""

    if_version = fields.Integer(strict=True, load_default=None, allow_none=True)


class ProvePossessionRequest(DeviceRequest):
    """A record and the number of the order with which the device came."""

    order_number = Opaque(required=True)


class PossessionAnswer(AnswerSchema):
    """A company's record of a device, and whether its possession is proven."""

    device_id = Id(required=True)
    hardware_id = fields.String(required=True)
    possession = fields.String(required=True, validate=validate.OneOf(POSSESSIONS))


class ClosingRequest(RequestSchema):
    """A project and the deletion that closed it: licensing's name for one attempt."""

    project_id = Id(required=True)
    closing_id = Id(required=True)


class CloseProjectRequest(ClosingRequest):
    """A project to close for a deletion; a rehearsal only counts what is in the way."""

    dry_run = Flag(load_default=False)


class ClosedProject(AnswerSchema):
    """How many devices a project has; it was closed if there are none."""

    devices = fields.Integer()


class UpdateDeviceRequest(DeviceRequest):
    """New comments; what is absent stays. `if_version` refuses a change of what was not read (412)."""

    comment = Text(0, 500, lines=True)
    license_comment = Text(0, 500, lines=True)
    if_version = fields.Integer(strict=True, load_default=None, allow_none=True)


class MoveDevicesRequest(RequestSchema):
    """Devices to take to another project of the same company."""

    device_ids = fields.List(Text(1, 64), required=True, validate=validate.Length(min=1, max=MAXIMUM_AT_ONCE))
    project_id = Id(required=True)
    dry_run = Flag(load_default=False)


class MovedLine(AnswerSchema):
    """The result for one device of a move."""

    device_id = fields.String(required=True)
    hardware_id = fields.String(required=True, allow_none=True)
    result = fields.String(required=True, validate=validate.OneOf(["ok", "error", "moved", "refused"]))
    code = fields.String(required=True, allow_none=True)
    detail = fields.String(required=True, allow_none=True)


class MoveDevicesAnswer(AnswerSchema):
    """Counts by result, and the result of every device in the order of the input."""

    summary = fields.Dict(required=True, keys=fields.String(), values=fields.Integer())
    items = fields.List(fields.Nested(MovedLine), required=True)


class HardwareRequest(RequestSchema):
    """One device by its hardware id, in any spelling."""

    hardware_id = Opaque(required=True)


class WarrantyAnswer(AnswerSchema):
    """The fixed minimum that anybody may learn about a device (DEV-7, S9): never who has it."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    warranty = fields.Nested(Warranty, required=True)
    ssa_ends_on = fields.Date(required=True, allow_none=True)
    rma = fields.Boolean(required=True)


class ListOrderDevicesRequest(ListRequest):
    """An order number; to know it is to be allowed to see its devices."""

    number = Opaque(required=True)


class OrderDevice(AnswerSchema):
    """A device of an order."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    shipped_on = fields.Date(required=True, allow_none=True)


class OrderDevices(AnswerSchema):
    """A page of the devices of an order."""

    number = fields.String(required=True)
    items = fields.List(fields.Nested(OrderDevice), required=True)
    next = fields.String(required=True, allow_none=True)


class RegisteredOrder(AnswerSchema):
    """An order and all its devices, as they were registered."""

    number = fields.String(required=True)
    items = fields.List(fields.Nested(OrderDevice), required=True)


class ProducedDevice(RequestSchema):
    """A built device as the vendor's order names it."""

    hardware_id = Opaque(required=True)
    type = Text(1, 40, required=True)
    shipped_on = fields.Date(required=True, allow_none=True)
    warranty_months = fields.Integer(strict=True, validate=validate.Range(0, 120))


class RegisterProductionRequest(RequestSchema):
    """The devices of one order, entered by staff through licensing."""

    order_number = Opaque(required=True)
    devices = fields.List(
        fields.Nested(ProducedDevice), required=True, validate=validate.Length(max=MAXIMUM_ORDER_DEVICES)
    )
    dry_run = Flag(load_default=False)


class UpdateProductionStaffRequest(HardwareRequest):
    """Set the RMA mark of a device or remove it, or vouch for the possession of the company that is named."""

    rma = Flag()
    proven_company_id = Id()

    @validates_schema
    def _something(self, data: Mapping[str, Any], **_: Any) -> None:
        if "rma" not in data and "proven_company_id" not in data:
            raise ValidationError("Give rma, proven_company_id or both.")


class ProductionDevice(AnswerSchema):
    """What staff sees of a built device."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    order_number = fields.String(required=True)
    shipped_on = fields.Date(required=True, allow_none=True)
    rma = fields.Boolean(required=True)
    warranty = fields.Nested(Warranty, required=True)


class FindDevicesAnswer(AnswerSchema):
    """All records of a device that the caller may see."""

    items = fields.List(fields.Nested(DeviceFacts))


# Answers without a schema of their own, named so that a route can refer to them.
DeleteDeviceAnswer = EmptyAnswer
ReopenedProject = EmptyAnswer


class MovingDevices(AnswerSchema):
    """The devices that an import would move; at most 200 of those that both companies have are named."""

    count = fields.Integer(required=True)
    held_by_both_count = fields.Integer(required=True)
    held_by_both = fields.List(fields.String(), required=True)


class MergeRehearsed(AnswerSchema):
    """What an import would do to devices."""

    devices = fields.Nested(MovingDevices, required=True)
