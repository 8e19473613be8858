"""What accounts answers: one schema per shape, for the OpenAPI document and the contract tests."""

from marshmallow import fields

from services.chassis.fields import AnswerSchema


class CompanyRef(AnswerSchema):
    """A company and the caller's role in it."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": ["admin", "member"]})
    locked = fields.Boolean(metadata={"description": "true where an administrator locked the caller out of it"})


class UserRef(AnswerSchema):
    """The person who logged in."""

    id = fields.String(required=True)
    email = fields.String(required=True)
    forename = fields.String(required=True)
    surname = fields.String(required=True)
    language = fields.String(required=True)


class Session(AnswerSchema):
    """Tokens of a session, and where it is."""

    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds until the access token expires"})
    user = fields.Nested(UserRef, required=True)
    company = fields.Nested(CompanyRef, required=True, allow_none=True)
    companies = fields.List(fields.Nested(CompanyRef), required=True)
    otp_demanded = fields.Boolean(
        required=True,
        metadata={"description": "the session may do nothing but switch a second factor on, see /v1/me/otp"},
    )


class AccessToken(AnswerSchema):
    """A short access token alone."""

    access_token = fields.String(required=True)
    expires_in = fields.Integer(required=True)


class SessionItem(AnswerSchema):
    """A session in the list of one's own."""

    id = fields.String(required=True)
    current = fields.Boolean(required=True)
    created_at = fields.String(required=True)
    last_used_at = fields.String(required=True)
    expires_at = fields.String(required=True)
    user_agent = fields.String(required=True, allow_none=True)
    company = fields.String(required=True, allow_none=True)


class SessionList(AnswerSchema):
    """One's own sessions that live."""

    items = fields.List(fields.Nested(SessionItem), required=True)
    next = fields.String(required=True, allow_none=True)


class UserSessionItem(AnswerSchema):
    """A session of a user, as an administrator of the company sees it."""

    id = fields.String(required=True)
    created_at = fields.String(required=True)
    last_used_at = fields.String(required=True)
    expires_at = fields.String(required=True)
    user_agent = fields.String(required=True, allow_none=True)


class UserSessionList(AnswerSchema):
    """The sessions of a user in the company that live."""

    items = fields.List(fields.Nested(UserSessionItem), required=True)
    next = fields.String(required=True, allow_none=True)


class Me(UserRef):
    """The caller's own account."""

    vendor_customer_number = fields.String(required=True, allow_none=True)
    account_rights = fields.List(fields.String(), required=True)
    staff = fields.Boolean(required=True)
    otp_enabled = fields.Boolean(required=True)
    otp_asked = fields.Boolean(
        required=True, metadata={"description": "staff without a second factor are asked to switch one on"}
    )
    pending_email = fields.String(required=True, allow_none=True)
    company = fields.Nested(CompanyRef, required=True, allow_none=True)
    companies = fields.List(fields.Nested(CompanyRef), required=True)
    version = fields.Integer(required=True)


class Company(AnswerSchema):
    """The caller's company."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    vendor_customer_number = fields.String(required=True, allow_none=True)
    role = fields.String(required=True, allow_none=True)
    device_notices = fields.Boolean()
    otp_demanded = fields.Boolean(
        required=True, metadata={"description": "users of the company need a second factor to log in"}
    )
    created_at = fields.String(required=True)
    version = fields.Integer(required=True)


class CompanyUser(AnswerSchema):
    """A user of the company, or an open invitation (then without names)."""

    id = fields.String(required=True)
    email = fields.String(required=True)
    forename = fields.String(required=True, allow_none=True)
    surname = fields.String(required=True, allow_none=True)
    role = fields.String(required=True)
    locked = fields.Boolean(required=True)
    state = fields.String(required=True, metadata={"enum": ["member", "invited"]})


class CompanyUserList(AnswerSchema):
    """A page of the company's users."""

    items = fields.List(fields.Nested(CompanyUser), required=True)
    next = fields.String(required=True, allow_none=True)


class InvitedUser(AnswerSchema):
    """An address that was invited; the same for every address, whoever has it."""

    id = fields.String(required=True)
    email = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": ["invited"]})


class InvitingCompany(AnswerSchema):
    """The company of an invitation."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class MyInvitation(AnswerSchema):
    """An open invitation to one's own address."""

    id = fields.String(required=True)
    company = fields.Nested(InvitingCompany, required=True)
    invited_by = fields.String(required=True, metadata={"description": "name of the person"})
    expires_at = fields.String(required=True)


class MyInvitationList(AnswerSchema):
    """A page of the open invitations to one's own address."""

    items = fields.List(fields.Nested(MyInvitation), required=True)
    next = fields.String(required=True, allow_none=True)


class StaffUser(AnswerSchema):
    """A user as staff see them."""

    id = fields.String(required=True)
    email = fields.String(required=True)
    forename = fields.String(required=True)
    surname = fields.String(required=True)
    active = fields.Boolean(required=True)
    locked = fields.Boolean(required=True)
    staff = fields.Boolean(required=True)
    account_rights = fields.List(fields.String(), required=True)
    companies = fields.List(fields.Nested(CompanyRef), required=True)


class StaffUserList(AnswerSchema):
    """A page of users."""

    items = fields.List(fields.Nested(StaffUser), required=True)
    next = fields.String(required=True, allow_none=True)


class StaffCompany(AnswerSchema):
    """A company as staff see it."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    vendor_customer_number = fields.String(required=True, allow_none=True)
    users = fields.Integer(required=True)
    created_at = fields.String(required=True)


class StaffCompanyList(AnswerSchema):
    """A page of companies."""

    items = fields.List(fields.Nested(StaffCompany), required=True)
    next = fields.String(required=True, allow_none=True)


class AbsorbedCompany(AnswerSchema):
    """A company that another one imported."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class StaffCompanyDetail(AnswerSchema):
    """One company as staff see it, with the companies that it absorbed."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    vendor_customer_number = fields.String(required=True, allow_none=True)
    otp_demanded = fields.Boolean(required=True)
    created_at = fields.String(required=True)
    version = fields.Integer(required=True)
    absorbed = fields.List(fields.Nested(AbsorbedCompany), required=True)


class ApiToken(AnswerSchema):
    """An API token without its secret."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)
    project_id = fields.String(required=True, allow_none=True)
    company_id = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True)
    expires_at = fields.String(required=True, allow_none=True)
    last_used_at = fields.String(required=True, allow_none=True)


class ApiTokenList(AnswerSchema):
    """One's own API tokens."""

    items = fields.List(fields.Nested(ApiToken), required=True)
    next = fields.String(required=True, allow_none=True)


class NewApiToken(AnswerSchema):
    """A new API token; the secret is shown only once."""

    id = fields.String(required=True)
    token = fields.String(required=True)


class OtpStart(AnswerSchema):
    """The secret of a second factor that still has to be confirmed."""

    secret = fields.String(required=True)
    uri = fields.String(required=True)


class RecoveryCodes(AnswerSchema):
    """Codes for the day on which the telephone is lost; each works once."""

    recovery_codes = fields.List(fields.String(), required=True)


class Export(AnswerSchema):
    """Everything that is held of a person, for that person (ACC-12)."""

    made_at = fields.String(required=True)
    account = fields.Dict(required=True)
    companies = fields.List(fields.Dict(), required=True)
    invitations = fields.List(fields.Dict(), required=True)
    former_addresses = fields.List(fields.Dict(), required=True)
    sessions = fields.List(fields.Dict(), required=True)
    api_tokens = fields.List(fields.Dict(), required=True)
    places_logged_in_from = fields.Dict(required=True)
    history = fields.List(fields.Dict(), metadata={"description": "lines about the person and the person's acts"})
    history_complete = fields.Boolean(metadata={"description": "false when there are more lines than in here"})


class CompanyName(AnswerSchema):
    """A company found by the address of a user."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class Job(AnswerSchema):
    """Long work: how far it is, and what came of it once it is done."""

    id = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": ["company_import"]})
    state = fields.String(required=True, metadata={"enum": ["queued", "running", "done", "failed"]})
    done = fields.Integer(required=True, metadata={"description": "steps behind it, of `total`"})
    total = fields.Integer(required=True)
    created_at = fields.String(required=True)
    finished_at = fields.String(required=True, allow_none=True)
    result = fields.Dict(required=True, allow_none=True, metadata={"description": "what was moved, once it is done"})


class MovingUsers(AnswerSchema):
    """The users of a company that is absorbed."""

    moving = fields.Integer(required=True, metadata={"description": "users who become members"})
    already_members = fields.Integer(required=True, metadata={"description": "users who are members already"})
    admins = fields.Integer(required=True, metadata={"description": "administrators who become members"})
    invitations = fields.Integer(required=True)
    api_tokens = fields.Integer(required=True, metadata={"description": "API tokens that go on working"})


class ImportRehearsal(AnswerSchema):
    """accounts' part of a rehearsed import, and the token with which the other rooms are asked for theirs."""

    company = fields.Nested(CompanyName, required=True)
    users = fields.Nested(MovingUsers, required=True)
    token = fields.String(required=True)


class FoundCompanies(AnswerSchema):
    """The companies of a user; empty when the address is unknown or has none."""

    companies = fields.List(fields.Nested(CompanyName), required=True)


class Names(AnswerSchema):
    """Names by id; unknown ids are left out, erased persons are called "former user" in the language of the call."""

    users = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    companies = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class Revocation(AnswerSchema):
    """Something whose tokens must not be believed any more; those of a `company` must be renewed, after an import."""

    kind = fields.String(required=True, metadata={"enum": ["session", "membership", "user", "company"]})
    id = fields.String(required=True)
    company_id = fields.String(required=True, allow_none=True)
    at = fields.String(required=True)


class RevocationList(AnswerSchema):
    """The revocations of the last 16 minutes; older tokens have expired by themselves."""

    items = fields.List(fields.Nested(Revocation), required=True)
