"""The published contract of possession of devices (mission DEV-15): proofs, and what a claim does not do yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from services.chassis.fields import AnswerSchema, Opaque, RequestSchema
from services.chassis.texts import Text

ERRORS: dict[str, str] = {
    "licensing.possession_proof_invalid": "The proof is not signed by the device's present key for this record of "
    "yours; let the device make a new one for the record's id.",
    "licensing.possession_proof_expired": "The proof was made more than 24 hours ago, or in the future; set the"
    " device's clock, let it make a new one, and send that at once.",
    "licensing.possession_key_claimed": "The device's present key was certified on a claim, so it proves nothing: "
    "prove possession by the order number, or ask the vendor.",
    "licensing.paid_by_holder": "The device holds licenses of another company that has it too, and an unencrypted "
    "file would end that company's right to return them: take an encrypted file, or let that company take the device "
    "out of its list.",
}


class ProvePossessionRequest(RequestSchema):
    """Prove possession of a device: by its order's number, or by what its certified key signed."""

    device_id = Text(1, 64, required=True)
    order_number = Opaque(load_default=None, allow_none=True)
    proof = Opaque(load_default=None, allow_none=True, validate=validate.Length(1, 5000))

    @validates_schema
    def _one_proof(self, data: Mapping[str, Any], **_: Any) -> None:
        if (data["order_number"] is None) == (data["proof"] is None):
            raise ValidationError("Give exactly one of order_number and proof.")


class GetPossessionRequest(RequestSchema):
    """Ask what the possession of a device allows."""

    device_id = Text(1, 64, required=True)


class PossessionLimits(AnswerSchema):
    """Actions with a device that need a proof of possession first, by their names, and the ways to prove it."""

    limited = fields.List(fields.String())
    ways = fields.List(fields.String(validate=validate.OneOf(("order_number", "device_key", "staff"))))


REQUESTS: dict[str, type[RequestSchema]] = {
    "prove_possession": ProvePossessionRequest,
    "get_possession": GetPossessionRequest,
}
