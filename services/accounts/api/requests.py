"""What accounts accepts: one schema per RPC. The request is the HTTP body, path and query together.

`client_address` and `user_agent` are filled by the gateway alone (GATEWAY_FIELDS): a body with them is refused there.
"""

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from services.accounts.api.actor import ACCOUNT_RIGHTS, ROLES, TOKEN_SCOPES
from services.chassis.fields import Flag, Id, ListRequest, Moment, Opaque, RequestSchema
from services.chassis.texts import Text

LANGUAGES: Final = ("en", "de")
GATEWAY_FIELDS: Final = ("client_address", "user_agent")
PASSWORD_LENGTHS: Final = (8, 128)
"""Shortest and longest password in characters (S1); nothing is cut off."""
LOCAL_PART_AT_MOST: Final = 64
"""Characters before the @ (RFC 5321, 4.5.3.1.1)."""
UNDELIVERABLE: Final = (
    f"Not a valid email address: up to {LOCAL_PART_AT_MOST} ASCII characters, @ and a name; write other letters of the "
    "name in its xn-- form."
)


class EmailAddress(fields.Email):
    """An e-mail address of at most 254 characters; outer blanks are taken off."""

    def __init__(self, **kwargs: Any) -> None:
        """Build the field; `kwargs` are those of a marshmallow field."""
        super().__init__(validate=validate.Length(max=254), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value.strip() if isinstance(value, str) else value, attr, data, **kwargs)
        return str(text)


class NewEmailAddress(EmailAddress):
    """An address that mails will go to: every server on the way takes it as it is written (RFC 5321, RFC 2047).

    Addresses that are only looked up may be older than this rule.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        local, _, domain = text.rpartition("@")
        if not text.isascii() or len(local) > LOCAL_PART_AT_MOST or domain.startswith("["):
            raise ValidationError(UNDELIVERABLE)
        return text


class Password(fields.String):
    """A password to be set: 8 to 128 characters, taken as they are."""

    def __init__(self, **kwargs: Any) -> None:
        """Build the field; `kwargs` are those of a marshmallow field."""
        super().__init__(validate=validate.Length(*PASSWORD_LENGTHS), **kwargs)


def _secret() -> Opaque:
    """Return a field for a secret that is compared, never stored: a password to log in, a link or a refresh token."""
    return Opaque(required=True, validate=validate.Length(1, 512))


def _otp() -> Opaque:
    """Return a field for a six-digit code or a recovery code."""
    return Opaque(load_default=None, allow_none=True, validate=validate.Length(6, 32))


class PublicRequest(RequestSchema):
    """A request without a login; the gateway tells where it came from for the throttles (S3)."""

    client_address = Opaque(load_default=None, allow_none=True, validate=validate.Length(max=64))
    user_agent = Opaque(load_default=None, allow_none=True, validate=validate.Length(max=300))


class RegisterRequest(PublicRequest):
    """Data of a new account (ACC-1)."""

    email = NewEmailAddress(required=True)
    password = Password(required=True)
    forename = Text(1, 64, required=True)
    surname = Text(1, 64, required=True)
    language = fields.String(required=True, validate=validate.OneOf(LANGUAGES))
    vendor_customer_number = Text(1, 32, load_default=None, allow_none=True)
    accept_terms = Flag(required=True)


class ConfirmRequest(PublicRequest):
    """The token of a mail link."""

    token = _secret()


class ConfirmRegistrationRequest(ConfirmRequest):
    """The token of an activation mail; a password where several registrations of the address were open."""

    password = Password(load_default=None, allow_none=True)


class EmailRequest(PublicRequest):
    """An e-mail address to which a mail is sent if an account is there."""

    email = EmailAddress(required=True)


class ConfirmPasswordResetRequest(ConfirmRequest):
    """The token of a reset mail and the new password."""

    password = Password(required=True)


class CreateSessionRequest(PublicRequest):
    """A login."""

    email = EmailAddress(required=True)
    password = _secret()
    otp = _otp()
    company_id = Id(load_default=None, allow_none=True)


class ConfirmSessionRequest(PublicRequest):
    """The password once more, and a code of the second factor where there is one (ACC-13)."""

    password = _secret()
    otp = _otp()


class RefreshSessionRequest(PublicRequest):
    """A refresh token, and the company to switch to."""

    refresh_token = _secret()
    company_id = Id(load_default=None, allow_none=True)


class RenewTokenRequest(RequestSchema):
    """The company that a fresh access token is wanted for; absent it is that of the token in hand."""

    company_id = Id(load_default=None, allow_none=True)


class CreateDeviceSessionRequest(PublicRequest):
    """HTTP Basic of the device door: account and password, or an API token of scope `device` as password (LIC-7)."""

    login = Opaque(required=True, validate=validate.Length(1, 254))
    password = _secret()


class ExchangeTokenRequest(PublicRequest):
    """An API token that the gateway turns into a short access token (S5)."""

    token = _secret()


class ListRevocationsRequest(RequestSchema):
    """From when on revocations are wanted; absent all that still matter."""

    since = Moment(load_default=None, allow_none=True, format="iso")


class SessionRequest(RequestSchema):
    """One of the caller's sessions, `current` being the one in use."""

    session_id = Opaque(required=True, validate=validate.Length(1, 64))


class UpdateMeRequest(RequestSchema):
    """New personal data; what is absent stays."""

    forename = Text(1, 64)
    surname = Text(1, 64)
    language = fields.String(validate=validate.OneOf(LANGUAGES))
    vendor_customer_number = Text(1, 32, allow_none=True)
    if_version = fields.Integer(load_default=None, allow_none=True, strict=True)


class ChangePasswordRequest(RequestSchema):
    """Old and new password."""

    old_password = _secret()
    password = Password(required=True)
    keep_tokens = Flag(load_default=False)


class ChangeEmailRequest(RequestSchema):
    """New e-mail address, with the password once more (S19)."""

    email = NewEmailAddress(required=True)
    password = _secret()


class ConfirmEmailRequest(RequestSchema):
    """The token of the mail to the new address."""

    token = _secret()


class CreateApiTokenRequest(RequestSchema):
    """A personal API token (ACC-11)."""

    name = Text(1, 64, required=True)
    scopes = fields.List(
        fields.String(validate=validate.OneOf(TOKEN_SCOPES)), required=True, validate=validate.Length(1, 4)
    )
    project_id = Id(load_default=None, allow_none=True)
    expires_at = Moment(load_default=None, allow_none=True, format="iso")


class TokenIdRequest(RequestSchema):
    """One of the caller's API tokens."""

    token_id = Id(required=True)


class OtpRequest(RequestSchema):
    """A code of the authenticator app."""

    otp = Opaque(required=True, validate=validate.Length(6, 32))


class PasswordRequest(RequestSchema):
    """The password once more, for an act that needs it."""

    password = _secret()


class CreateCompanyRequest(RequestSchema):
    """A new company (ACC-3)."""

    name = Text(1, 128, required=True)
    vendor_customer_number = Text(1, 32, load_default=None, allow_none=True)


class UpdateCompanyRequest(RequestSchema):
    """New data of the company; what is absent stays.

    `device_notices`: a mail to its administrators, at most one an hour, when others do something with its devices.
    `otp_demanded`: from their next login on its users need a second factor; needs a recent login.
    """

    name = Text(1, 128)
    vendor_customer_number = Text(1, 32, allow_none=True)
    device_notices = Flag()
    otp_demanded = Flag()
    if_version = fields.Integer(load_default=None, allow_none=True, strict=True)


class SearchRequest(ListRequest):
    """A page of a list that holds a text."""

    q = Text(0, 254, load_default=None, allow_none=True)


class AddCompanyUserRequest(RequestSchema):
    """The address of somebody to invite."""

    email = NewEmailAddress(required=True)


class CompanyUserRequest(RequestSchema):
    """A user of the caller's company."""

    user_id = Id(required=True)


class UpdateCompanyUserRequest(CompanyUserRequest):
    """New role or lock; what is absent stays."""

    role = fields.String(validate=validate.OneOf(ROLES))
    locked = Flag()


class ListOfUserRequest(ListRequest):
    """A page of what a user of the caller's company has."""

    user_id = Id(required=True)


class UserSessionRequest(CompanyUserRequest):
    """A session of a user of the caller's company."""

    session_id = Id(required=True)


class UserTokenRequest(CompanyUserRequest):
    """An API token of a user of the caller's company."""

    token_id = Id(required=True)


class AcceptInvitationRequest(RequestSchema):
    """The token of an invitation mail."""

    token = _secret()


class InvitationRequest(RequestSchema):
    """One of the open invitations to the caller's address."""

    invitation_id = Id(required=True)


class UpdateUserStaffRequest(RequestSchema):
    """What staff change at a user (ACC-9, ACC-10); what is absent stays."""

    user_id = Id(required=True)
    locked = Flag()
    staff = Flag()
    account_rights = fields.List(
        fields.String(validate=validate.OneOf(ACCOUNT_RIGHTS)), validate=validate.Length(max=len(ACCOUNT_RIGHTS))
    )


class CompanyIdRequest(RequestSchema):
    """A company, for staff."""

    company_id = Id(required=True)


class UpdateCompanyStaffRequest(UpdateCompanyRequest):
    """New data of any company, by staff; what is absent stays."""

    company_id = Id(required=True)


class ListCompanyUsersStaffRequest(ListRequest):
    """A page of the users of any company, for staff."""

    company_id = Id(required=True)


class CompanyUserStaffRequest(CompanyUserRequest):
    """A user of any company, for staff."""

    company_id = Id(required=True)


class UpdateCompanyUserStaffRequest(UpdateCompanyUserRequest):
    """New role or lock of a user in any company, by staff; what is absent stays."""

    company_id = Id(required=True)


class ImportCompanyRequest(PublicRequest):
    """The login of an administrator of another company, which the caller's company is to absorb (ACC-6)."""

    email = EmailAddress(required=True)
    password = _secret()
    otp = _otp()
    company_id = Id(load_default=None, allow_none=True)
    dry_run = Flag(load_default=False)


class JobRequest(RequestSchema):
    """A job that was started for the caller's company."""

    job_id = Id(required=True)


class FindCompaniesRequest(RequestSchema):
    """The address of a user whose companies are looked for (PRJ-3)."""

    email = EmailAddress(required=True)


class GetNamesRequest(RequestSchema):
    """Ids whose names are wanted, at most 200 of each kind."""

    user_ids = fields.List(Id(), load_default=list, validate=validate.Length(max=200))
    company_ids = fields.List(Id(), load_default=list, validate=validate.Length(max=200))
