"""Routes of registrations, sessions and one's own account (room accounts)."""

from __future__ import annotations

from marshmallow import fields

from gateway import compose
from gateway.row import Right, Row
from services.accounts import api
from services.chassis.fields import EmptyAnswer, EmptyRequest, ListRequest


class MeAndProject(api.Me):
    """The caller's own account, and the project that was chosen for all pages; null stands for all own projects."""

    selected_project_id = fields.String(required=True, allow_none=True)


ROWS = (
    Row(
        "POST", "/v1/registrations", "accounts", "register", Right.NONE,
        "Register an account; an e-mail with a link follows. The answer never tells whether the address is known.",
        request=api.RegisterRequest, answer=EmptyAnswer, status=202,
    ),
    Row(
        "POST", "/v1/registrations/confirmations", "accounts", "confirm_registration", Right.NONE,
        "Activate the account with the token of the mailed link.",
        request=api.ConfirmRegistrationRequest, status=204,
    ),
    Row(
        "POST", "/v1/registrations/resends", "accounts", "resend_registration", Right.NONE,
        "Send the activation link again; the answer never tells whether the address is known.",
        request=api.EmailRequest, answer=EmptyAnswer, status=202,
    ),
    Row(
        "POST", "/v1/password-resets", "accounts", "request_password_reset", Right.NONE,
        "Send a link to set a new password; the answer never tells whether the address is known.",
        request=api.EmailRequest, answer=EmptyAnswer, status=202,
    ),
    Row(
        "POST", "/v1/password-resets/confirmations", "accounts", "confirm_password_reset", Right.NONE,
        "Set a new password with the token of the mailed link.",
        request=api.ConfirmPasswordResetRequest, status=204, revokes=True,
    ),
    Row(
        "POST", "/v1/sessions", "accounts", "create_session", Right.NONE,
        "Log in; the session is in the company asked for, else in the one used last, else in the only one.",
        request=api.CreateSessionRequest, answer=api.Session, status=201, keyed=False,
    ),
    Row(
        "POST", "/v1/sessions/refreshes", "accounts", "refresh_session", Right.NONE,
        "Get new tokens for a refresh token; with `company_id` this is the switch to another company.",
        request=api.RefreshSessionRequest, answer=api.Session, status=201, keyed=False,
    ),
    Row(
        "POST", "/v1/sessions/current/confirmations", "accounts", "confirm_session", Right.LOGIN,
        "Prove once more who you are: the answer's token counts as a fresh login, for acts that need a recent one.",
        enrolment=True, request=api.ConfirmSessionRequest, answer=api.AccessToken, status=201, keyed=False,
        scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "GET", "/v1/sessions", "accounts", "list_sessions", Right.LOGIN,
        "List your own sessions.",
        request=ListRequest, answer=api.SessionList, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/sessions/{session_id}", "accounts", "delete_session", Right.LOGIN,
        "End one of your own sessions; `current` is the one in use. Its tokens are dead within a second.",
        enrolment=True, request=api.SessionRequest, status=204, keyed=False, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "GET", "/v1/me", "accounts", "get_me", Right.LOGIN,
        "Show your own account, and the project chosen for all pages.",
        enrolment=True, request=EmptyRequest, answer=MeAndProject, compose=compose.me,
    ),
    Row(
        "PATCH", "/v1/me", "accounts", "update_me", Right.LOGIN,
        "Change your own personal data; absent fields stay as they are.",
        request=api.UpdateMeRequest, answer=api.Me, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "PUT", "/v1/me/password", "accounts", "change_password", Right.LOGIN,
        "Change your own password; the old one is needed.",
        request=api.ChangePasswordRequest, status=204, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "POST", "/v1/me/email-changes", "accounts", "change_email", Right.LOGIN,
        "Ask for another e-mail address; a link to it is mailed and confirms the change.",
        recent=True, request=api.ChangeEmailRequest, answer=EmptyAnswer, status=202, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/me/email-changes/confirmations", "accounts", "confirm_email", Right.LOGIN,
        "Change your own e-mail address with the token mailed to the new one.",
        request=api.ConfirmEmailRequest, status=204, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/email-changes/undos", "accounts", "undo_email_change", Right.NONE,
        "Undo a change of the e-mail address with the token mailed to the old one; all logins end.",
        request=api.ConfirmRequest, status=204, revokes=True,
    ),
    Row(
        "GET", "/v1/me/export", "accounts", "export_me", Right.LOGIN,
        "Export everything that is held about you: account, companies, sessions, API tokens, history lines.",
        request=EmptyRequest, answer=api.Export, scope=api.SCOPE_ACCOUNT, compose=compose.export,
    ),
    Row(
        "POST", "/v1/me/erasure", "accounts", "erase_me", Right.LOGIN,
        "Erase your own account and personal data for good; the password is needed.",
        request=api.PasswordRequest, status=204, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "GET", "/v1/me/tokens", "accounts", "list_api_tokens", Right.LOGIN,
        "List your own API tokens, without their secrets.",
        recent=True, request=ListRequest, answer=api.ApiTokenList, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/me/tokens", "accounts", "create_api_token", Right.LOGIN,
        "Create an API token; its secret is shown only once.",
        recent=True, request=api.CreateApiTokenRequest, answer=api.NewApiToken, status=201, scope=api.SCOPE_ACCOUNT,
        compose=compose.create_api_token,
    ),
    Row(
        "DELETE", "/v1/me/tokens/{token_id}", "accounts", "delete_api_token", Right.LOGIN,
        "Withdraw an API token; it is dead within a second.",
        request=api.TokenIdRequest, status=204, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "POST", "/v1/me/otp", "accounts", "create_otp", Right.LOGIN,
        "Start a second factor: secret and address for the authenticator app.",
        enrolment=True, recent=True, request=EmptyRequest, answer=api.OtpStart, status=201, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "POST", "/v1/me/otp/confirmations", "accounts", "confirm_otp", Right.LOGIN,
        "Switch the second factor on with a code from the app; the recovery codes are shown only once.",
        enrolment=True, recent=True, request=api.OtpRequest, answer=api.RecoveryCodes, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/me/otp", "accounts", "delete_otp", Right.LOGIN,
        "Switch the second factor off.",
        recent=True, request=EmptyRequest, status=204, scope=api.SCOPE_ACCOUNT,
    ),
)  # fmt: skip
