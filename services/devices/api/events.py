"""Events of devices: the schema of each type's data. Object names are those of that time; persons appear by id only."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields

from services.accounts.api import CompanyMergeApplied


class DeviceData(Schema):
    """Event data: the device that it is about; subject is the company's record, or the hardware id without one."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)


class DeviceInProject(DeviceData):
    """Event data: a device of a project."""

    project_name = fields.String(required=True)


class DeviceAdded(DeviceInProject):
    """Event data: a device was added; `accepted_warning` is the code to which the user said yes."""

    accepted_warning = fields.String(required=True, allow_none=True)
    # Events of old have none; then the record was claimed.
    possession = fields.String(metadata={"enum": ["proven", "claimed"]})


class PossessionProven(DeviceData):
    """Event data: a company proved that it possesses a device; subject is its record."""

    by = fields.String(required=True, metadata={"enum": ["order_number", "device_key", "staff"]})


class DeviceMoved(DeviceInProject):
    """Event data: a device went to another project of the same company."""

    from_project_id = fields.String(required=True)
    from_project_name = fields.String(required=True)


class Change(Schema):
    """The text before and after."""

    old = fields.String(required=True)
    new = fields.String(required=True)


class DeviceChanged(DeviceInProject):
    """Event data: comments of a device were changed."""

    changes = fields.Dict(keys=fields.String(), values=fields.Nested(Change), required=True)


class DeviceDeleted(DeviceInProject):
    """Event data: a device was taken out of the company; its licenses stay with it."""

    comment = fields.String(required=True)


class DeviceMerged(DeviceInProject):
    """Event data: an import joined two records of one device; subject is the one that is gone, with its comments."""

    merged_device_id = fields.String(required=True)
    merged_project_id = fields.String(required=True)
    comment = fields.String(required=True)
    license_comment = fields.String(required=True)


class ProductionRegistered(DeviceData):
    """Event data: staff registered a built device under an order; told to no company."""

    order_number = fields.String(required=True)
    shipped_on = fields.Date(required=True, allow_none=True)
    # Events of old have none.
    warranty_months = fields.Integer()


class OrderDevicesSettled(Schema):
    """Event data: the devices of an order that licensing resumed are registered, or refused by this code."""

    number = fields.String(required=True)
    fingerprint = fields.String(required=True)
    refusal = fields.String(required=True, allow_none=True)


EVENTS: Final[dict[str, type[Schema]]] = {
    "device_added": DeviceAdded,
    # Another company added a device that this company has too (S9); never says who.
    "device_added_elsewhere": DeviceData,
    # Possession proven after the addition; one by an order's number says so in `device_added`.
    "device_possession_proven": PossessionProven,
    "device_moved": DeviceMoved,
    "device_changed": DeviceChanged,
    "device_deleted": DeviceDeleted,
    "device_merged": DeviceMerged,
    "company_merge_applied": CompanyMergeApplied,
    # To every company that has the device, and once to none.
    "device_marked_rma": DeviceData,
    "device_unmarked_rma": DeviceData,
    "warranty_checked": DeviceData,
    # Somebody looked up a device that this company has (S9); never says who.
    "warranty_checked_elsewhere": DeviceData,
    "production_registered": ProductionRegistered,
    "order_devices_settled": OrderDevicesSettled,
}
"""Event type -> schema of its data."""
