"""What accounts accepts and answers about service accounts: the vendor's programs, which have tokens and no login."""

from typing import Final

from marshmallow import fields, validate

from services.accounts.api.actor import SERVICE_SCOPES
from services.chassis.fields import AnswerSchema, Id, ListRequest, Moment, RequestSchema
from services.chassis.texts import Text


class CreateServiceAccountRequest(RequestSchema):
    """A new service account: what it is called, and what its tokens may reach."""

    name = Text(1, 64, required=True)
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SERVICE_SCOPES)),
        required=True,
        validate=validate.Length(1, len(SERVICE_SCOPES)),
    )


class ServiceAccountRequest(RequestSchema):
    """One service account."""

    account_id = Id(required=True)


class ListServiceTokensRequest(ListRequest):
    """A page of the tokens of a service account."""

    account_id = Id(required=True)


class CreateServiceTokenRequest(ServiceAccountRequest):
    """A new token of a service account; without a time it lives for 90 days."""

    expires_at = Moment(load_default=None, allow_none=True, format="iso")


class ServiceTokenRequest(ServiceAccountRequest):
    """One token of a service account."""

    token_id = Id(required=True)


class ServiceAccountItem(AnswerSchema):
    """A service account."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)
    created_by = fields.String(required=True, metadata={"description": "id of the staff member who made it"})
    created_at = fields.String(required=True)


class ServiceAccountList(AnswerSchema):
    """A page of service accounts."""

    items = fields.List(fields.Nested(ServiceAccountItem), required=True)
    next = fields.String(required=True, allow_none=True)


class ServiceTokenItem(AnswerSchema):
    """A token of a service account without its secret."""

    id = fields.String(required=True)
    created_by = fields.String(required=True)
    created_at = fields.String(required=True)
    expires_at = fields.String(required=True)
    last_used_at = fields.String(required=True, allow_none=True)


class ServiceTokenList(AnswerSchema):
    """A page of the tokens of a service account."""

    items = fields.List(fields.Nested(ServiceTokenItem), required=True)
    next = fields.String(required=True, allow_none=True)


class NewServiceToken(AnswerSchema):
    """A new token of a service account; the secret is shown only once."""

    id = fields.String(required=True)
    token = fields.String(required=True)
    expires_at = fields.String(required=True)


__all__: Final = [
    "CreateServiceAccountRequest",
    "CreateServiceTokenRequest",
    "ListServiceTokensRequest",
    "NewServiceToken",
    "ServiceAccountItem",
    "ServiceAccountList",
    "ServiceAccountRequest",
    "ServiceTokenItem",
    "ServiceTokenList",
    "ServiceTokenRequest",
]
