"""The events of accounts: `data` by type. Persons appear by id only, never by name or address (mission HIS-2)."""

from typing import Final

from marshmallow import Schema, fields


class _Data(Schema):
    """Base of the event data."""


class UserData(_Data):
    """A user as a whole; subject is the user's id."""

    user_id = fields.String(required=True)


class UserChanged(UserData):
    """Something that tokens carry, or personal data, changed."""

    what = fields.List(fields.String(), required=True, metadata={"description": "names of the changed fields"})
    account_rights = fields.List(fields.String())
    staff = fields.Boolean()


class SessionData(UserData):
    """A session; subject is the user's id."""

    session_id = fields.String(required=True)
    reason = fields.String(metadata={"description": "logout, revoked, refresh_reused, password, email_undone, admin"})


class LoginFailed(_Data):
    """A refused login; what was typed is not told, the user's id only when there is one.

    In a history the address is read by staff, administrators and the user, and by nobody else.
    """

    user_id = fields.String(required=True, allow_none=True)
    reason = fields.String(
        required=True, metadata={"description": "password, otp, token, not_activated, confirmation, import"}
    )
    address = fields.String(
        allow_none=True,
        metadata={"description": "network address it came from, of IPv6 the /64; missing in events of before"},
    )


class ResetRequested(_Data):
    """A link for a new password was asked for; the user's id only when the address has an account."""

    user_id = fields.String(required=True, allow_none=True)


class CompanyData(_Data):
    """A company; subject is its id."""

    name = fields.String(required=True)


class CompanyChanged(CompanyData):
    """The company's data changed."""

    what = fields.List(fields.String(), required=True)


class MembershipData(UserData):
    """A user in a company; subject is the user's id."""

    role = fields.String(required=True)
    locked = fields.Boolean(required=True)


class MembershipChanged(MembershipData):
    """Role or lock changed."""

    what = fields.List(fields.String(), required=True)


class InvitationData(_Data):
    """An invitation, its end without a membership too; subject is its id."""

    invitation_id = fields.String(required=True)


class CompanyMerged(_Data):
    """A company absorbed another; told to both, `copy` being the one for the company that is gone. Subject: that one.

    Rooms that store rows by company apply it and answer `company_merge_applied`. Told once more to nobody (without a
    company) when one of them is late.
    """

    merge_id = fields.String(required=True)
    company_id = fields.String(required=True)
    gone_id = fields.String(required=True)
    gone_ids = fields.List(fields.String(), required=True)
    gone_name = fields.String(required=True)
    copy = fields.Boolean(required=True)


class CompanyMergeFinished(_Data):
    """Every room has applied a merge; subject is the company that is gone."""

    merge_id = fields.String(required=True)
    gone_id = fields.String(required=True)
    gone_name = fields.String(required=True)
    moved = fields.Dict(required=True, metadata={"description": "room -> kind -> how many"})


class ApiTokenData(UserData):
    """An API token; subject is the user's id."""

    token_id = fields.String(required=True)
    name = fields.String(required=True)
    scopes = fields.List(fields.String())
    # Told when it is made; the audit compares the token with it.
    expires_at = fields.String(allow_none=True)
    project_id = fields.String(allow_none=True)


class ServiceAccountData(_Data):
    """A service account; subject is its id."""

    account_id = fields.String(required=True)
    name = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)


class ServiceTokenData(ServiceAccountData):
    """A token of a service account; subject is the account's id."""

    token_id = fields.String(required=True)
    # Told when it is made; the audit compares the token with it.
    expires_at = fields.String()


class CompanyMergeApplied(_Data):
    """A room applied the import of a company that accounts told; subject is the import's id. Emitted by those rooms.

    History says it for itself and passes on what the others say.
    """

    merge_id = fields.String(required=True)
    room = fields.String(required=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


EVENTS: Final[dict[str, type[Schema]]] = {
    "user_registered": UserData,
    "registration_repeated": UserData,
    "user_activated": UserData,
    "password_reset_requested": ResetRequested,
    "user_changed": UserChanged,
    "user_locked": UserData,
    "user_unlocked": UserData,
    "user_erased": UserData,
    "password_changed": UserData,
    "email_change_requested": UserData,
    "email_changed": UserData,
    "email_change_undone": UserData,
    "otp_enabled": UserData,
    "otp_disabled": UserData,
    "session_created": SessionData,
    "session_revoked": SessionData,
    "login_failed": LoginFailed,
    "api_token_created": ApiTokenData,
    "api_token_revoked": ApiTokenData,
    "service_account_created": ServiceAccountData,
    "service_account_ended": ServiceAccountData,
    "service_token_created": ServiceTokenData,
    "service_token_revoked": ServiceTokenData,
    "company_created": CompanyData,
    "company_changed": CompanyChanged,
    "company_user_added": MembershipData,
    "company_user_invited": InvitationData,
    "invitation_withdrawn": InvitationData,
    "invitation_declined": InvitationData,
    "company_user_changed": MembershipChanged,
    "company_user_removed": MembershipData,
    "company_merged": CompanyMerged,
    "company_merge_finished": CompanyMergeFinished,
}
"""Event type -> schema of its data."""
