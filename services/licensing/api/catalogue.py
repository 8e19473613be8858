"""Published contract of the catalogue: device types with their maxima, and license types."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import fields, validate

from services.chassis.fields import AnswerSchema, ListRequest
from services.chassis.texts import Text

ERRORS: Final[dict[str, str]] = {
    "licensing.license_type_unknown": "The catalogue has no such license type; list `/catalogue/license-types`.",
    "licensing.device_type_unknown": "The catalogue has no such device type; list `/catalogue/device-types`.",
    "licensing.version_unknown": "The catalogue has no such version; list `/catalogue/license-types`.",
    "licensing.version_not_offered": "Licenses of this version are not offered at present; choose another version.",
}


class LicenseTypeId(Text):
    """URL-safe id of a license type, such as `pbx7-100-from-50`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, 40, **kwargs)


class Version(fields.Integer):
    """A firmware generation that licenses are made for: 5, 6, 7 or 8."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(1, 99), **kwargs)


class ListDeviceTypesRequest(ListRequest):
    """All device types of the catalogue."""


class ListLicenseTypesRequest(ListRequest):
    """License types of one version, or all; those without a version (warranty, SSA) are listed without one only."""

    version = Version(load_default=None, allow_none=True)


class Maxima(AnswerSchema):
    """Most licenses of each limit on a device of the type; `pbx` is a size, the others are counts."""

    pbx = fields.Integer(required=True)
    channels = fields.Integer(required=True)
    bris = fields.Integer(required=True)
    pris = fields.Integer(required=True)
    gatekeeper = fields.Integer(required=True)
    warranty = fields.Integer(required=True)
    ssa = fields.Integer(required=True)


class DeviceType(AnswerSchema):
    """A model. `origin` is `default` while the maxima are the product's own guess, `staff` once edited."""

    device_type = fields.String(required=True)
    category = fields.String(required=True, metadata={"enum": ["gateway", "phone", "handset", "base_station"]})
    warranty_months = fields.Integer(required=True)
    maxima = fields.Nested(Maxima, required=True)
    origin = fields.String(required=True, metadata={"enum": ["default", "staff"]})


class DeviceTypeList(AnswerSchema):
    """All device types by name; there is one page."""

    items = fields.List(fields.Nested(DeviceType), required=True)
    next = fields.String(required=True, allow_none=True)


class LicenseType(AnswerSchema):
    """A license type. `kind` groups sizes of the same thing, `size` and `from_size` are those of `PBX7#n@m`."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True, allow_none=True)
    kind = fields.String(required=True)
    measure = fields.String(required=True, metadata={"enum": ["size", "count"]})
    category = fields.String(required=True, metadata={"enum": ["pbx", "gateway", "device"]})
    size = fields.Integer(required=True, allow_none=True)
    from_size = fields.Integer(required=True, allow_none=True)
    returnable = fields.Boolean(required=True)
    movable = fields.Boolean(required=True)
    offered = fields.Boolean(required=True)


class LicenseTypeList(AnswerSchema):
    """License types by version and kind, sizes ascending; there is one page."""

    items = fields.List(fields.Nested(LicenseType), required=True)
    next = fields.String(required=True, allow_none=True)
