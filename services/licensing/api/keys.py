"""Published contract of orders, activation keys and balances: requests, answers, events, codes."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import Schema, fields, validate

from services.chassis.fields import (
    MAX_QUANTITY,
    AnswerSchema,
    Flag,
    Id,
    ListRequest,
    Quantity,
    RequestSchema,
)
from services.chassis.texts import Text
from services.licensing.api.catalogue import LicenseTypeId

MAX_LINES: Final = 50
"""Most license lines in one request."""
MAX_ORDER_DEVICES: Final = 500
"""Most devices in one order."""

ERRORS: Final[dict[str, str]] = {
    "licensing.key_mistyped": "This is not an activation key: a character is wrong or missing; compare it with the "
    "paper.",
    "licensing.key_unknown": "The key is well-formed but was never given out; ask whoever gave it to you.",
    "licensing.key_used": "The key has been added already; see the list of added keys.",
    "licensing.key_cancelled": "The key was canceled by its owner; ask for a new one.",
    "licensing.key_expired": "The key has expired; ask its owner for a new one.",
    "licensing.too_many_keys_tried": "Too many wrong keys were entered; wait as long as `Retry-After` says.",
    "licensing.order_exists": "An order with this number and other contents exists; use another number.",
    "licensing.order_empty": "The order names neither a device nor a license; add at least one.",
    "licensing.order_not_found": "There is no order with this number; list the orders.",
    "licensing.insufficient_balance": "There are too few licenses; `shortages` says what is missing and where there "
    "are some: take fewer, or choose `sources`.",
}


class QuantityChange(fields.Integer):
    """A correction in licenses: -1,000,000 to 1,000,000 and not 0; booleans and numbers in quotes are refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            strict=True,
            validate=[
                validate.Range(-MAX_QUANTITY, MAX_QUANTITY),
                validate.NoneOf([0], error="Must not be 0."),
            ],
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class LicenseLine(RequestSchema):
    """A license type and how many of it; a size such as `pbx7-100` is one unit."""

    license_type = LicenseTypeId(required=True)
    quantity = Quantity(required=True)


class NamedLine(AnswerSchema):
    """A license type by id and trade name, and how many of it."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)


class ProjectRef(AnswerSchema):
    """A project by id and name."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class OrderDevice(RequestSchema):
    """A device that leaves the factory with the order."""

    hardware_id = Text(1, 40, required=True)
    type = Text(1, 40, required=True)
    shipped_on = fields.Date(required=True)


class EnterOrderRequest(RequestSchema):
    """An order of the vendor: devices for production data, licenses for a new activation key."""

    number = Text(1, 64, required=True)
    customer_name = Text(0, 200, load_default="")
    customer_reference = Text(0, 200, load_default="")
    devices = fields.List(
        fields.Nested(OrderDevice), load_default=list, validate=validate.Length(max=MAX_ORDER_DEVICES)
    )
    licenses = fields.List(fields.Nested(LicenseLine), load_default=list, validate=validate.Length(max=MAX_LINES))


class OrderRequest(RequestSchema):
    """An order by its number."""

    number = Text(1, 64, required=True)


class ListOrdersRequest(ListRequest):
    """A page of orders, newest first."""


class OrderedDevice(AnswerSchema):
    """A device of an order, its id in canonical form."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    shipped_on = fields.String(required=True)


class Order(AnswerSchema):
    """An order as entered; `activation_key` is there in the answer to its entry only."""

    number = fields.String(required=True)
    customer_name = fields.String(required=True)
    customer_reference = fields.String(required=True)
    devices = fields.List(fields.Nested(OrderedDevice), required=True)
    licenses = fields.List(fields.Nested(NamedLine), required=True)
    state = fields.String(required=True, metadata={"enum": ["entered", "done"]})
    activation_key = fields.String(allow_none=True)
    activation_key_state = fields.String(allow_none=True, metadata={"enum": ["open", "used", "cancelled", "expired"]})
    created_at = fields.String(required=True)


class OrderList(AnswerSchema):
    """A page of orders, newest first."""

    items = fields.List(fields.Nested(Order), required=True)
    next = fields.String(required=True, allow_none=True)


class ActivateKeyRequest(RequestSchema):
    """An activation key for a project (BAL-2), in any spelling: case, blanks, dashes, O for 0, I or L for 1."""

    project_id = Id(required=True)
    key = Text(1, 100, required=True)
    comment = Text(0, 500, lines=True, load_default="")
    dry_run = Flag(load_default=False)


class Activation(AnswerSchema):
    """What a key contains; `id` is the key's, null in a rehearsal."""

    id = fields.String(required=True, allow_none=True)
    licenses = fields.List(fields.Nested(NamedLine), required=True)


class ListActivationsRequest(ListRequest):
    """A page of the keys added to a project, or to all own projects (BAL-3)."""

    project = Id(load_default=None, allow_none=True)


class PersonRef(AnswerSchema):
    """A person by id; the name is looked up when the list is read and absent when nobody knows it any more."""

    id = fields.String(required=True)
    name = fields.String(allow_none=True)


class AddedKey(AnswerSchema):
    """A key that was added to a project; the key itself is masked up to its last group."""

    id = fields.String(required=True)
    key = fields.String(required=True)
    project = fields.Nested(ProjectRef, required=True)
    comment = fields.String(required=True)
    licenses = fields.List(fields.Nested(NamedLine), required=True)
    added_by = fields.Nested(PersonRef, required=True)
    added_at = fields.String(required=True)


class AddedKeyList(AnswerSchema):
    """A page of added keys, newest first."""

    items = fields.List(fields.Nested(AddedKey), required=True)
    next = fields.String(required=True, allow_none=True)


class GetBalanceRequest(ListRequest):
    """The balance of one project, or of all own projects together (BAL-1)."""

    project = Id(load_default=None, allow_none=True)


class ProjectShare(ProjectRef):
    """What one project holds of a license type."""

    quantity = fields.Integer(required=True)


class BalanceItem(AnswerSchema):
    """What is in stock of one license type, and where."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True, allow_none=True)
    quantity = fields.Integer(required=True)
    projects = fields.List(fields.Nested(ProjectShare), required=True)


class Balance(AnswerSchema):
    """Every license type in stock; there is one page."""

    items = fields.List(fields.Nested(BalanceItem), required=True)
    next = fields.String(required=True, allow_none=True)


class CorrectBalanceRequest(RequestSchema):
    """A posting by staff that puts licenses into a project or takes them out, with its reason (ACC-10)."""

    project_id = Id(required=True)
    license_type = LicenseTypeId(required=True)
    quantity = QuantityChange(required=True)
    reason = Text(3, 500, required=True)


class BalanceCorrection(AnswerSchema):
    """The posting and the project's new stock of the license type."""

    id = fields.String(required=True)
    project_id = fields.String(required=True)
    license_type = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    balance = fields.Integer(required=True)
    reason = fields.String(required=True)


class OrderEntered(Schema):
    """Event data: an order of the vendor; subject is its number. The activation key is not in it."""

    number = fields.String(required=True)
    devices = fields.List(fields.String(), required=True, metadata={"description": "hardware ids"})
    licenses = fields.List(fields.Nested(NamedLine), required=True)
    activation_key_id = fields.String(required=True, allow_none=True)


class ResumedDevice(Schema):
    """A device of an order that devices is to register."""

    hardware_id = fields.String(required=True)
    type = fields.String(required=True)
    shipped_on = fields.Date(required=True)
    warranty_months = fields.Integer(required=True)


class OrderResumed(Schema):
    """Event data: an order that was left half-way goes on, and devices is asked to register its devices."""

    number = fields.String(required=True)
    fingerprint = fields.String(required=True, metadata={"description": "of the order's contents"})
    devices = fields.List(fields.Nested(ResumedDevice), required=True)


class OrderRefused(Schema):
    """Event data: an order that was left half-way is forgotten, since devices refused its devices by this code."""

    number = fields.String(required=True)
    code = fields.String(required=True)


class ActivationKeyRedeemed(Schema):
    """Event data: a key was added to a project; subject is the key's id."""

    project = fields.Nested(ProjectRef, required=True)
    key = fields.String(required=True, metadata={"description": "masked"})
    comment = fields.String(required=True)
    licenses = fields.List(fields.Nested(NamedLine), required=True)


class BalanceCorrected(Schema):
    """Event data: staff corrected a project's balance; subject is the posting's id."""

    project = fields.Nested(ProjectRef, required=True)
    licenses = fields.List(fields.Nested(NamedLine), required=True)
    reason = fields.String(required=True)


EVENTS: Final[dict[str, type[Schema]]] = {
    "order_entered": OrderEntered,
    "order_resumed": OrderResumed,
    "order_refused": OrderRefused,
    "activation_key_redeemed": ActivationKeyRedeemed,
    "balance_corrected": BalanceCorrected,
}
