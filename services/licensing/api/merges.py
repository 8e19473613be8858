"""The import of a company as licensing tells of it (ACC-6)."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields

from services.accounts.api import CompanyMergeApplied
from services.chassis.fields import AnswerSchema


class MovingBalanceItem(AnswerSchema):
    """What an import would move of one license type."""

    license_type = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True, allow_none=True)
    quantity = fields.Integer(required=True)


class MovingBalance(AnswerSchema):
    """The whole balance that an import would move."""

    items = fields.List(fields.Nested(MovingBalanceItem), required=True)


class MovingKeys(AnswerSchema):
    """The activation keys that an import would move: added to projects, and created from balances."""

    added = fields.Integer(required=True)
    created = fields.Integer(required=True)


class MergeRehearsed(AnswerSchema):
    """What an import would do to balance and keys."""

    balance = fields.Nested(MovingBalance, required=True)
    activation_keys = fields.Nested(MovingKeys, required=True)


EVENTS: Final[dict[str, type[Schema]]] = {"company_merge_applied": CompanyMergeApplied}
