"""The nameko class of accounts: what it serves. It calls nobody. No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import (
    api_tokens,
    companies,
    company_imports,
    company_users,
    confirmations,
    email_changes,
    erasure,
    invitations,
    lookups,
    me,
    notices,
    oversight,
    registration,
    second_factor,
    service_accounts,
    sessions,
    staff,
)
from services.accounts.providers import ImportLoop, KitProvider, MailLoop, SweepLoop
from services.accounts.queries.api_tokens import list_api_tokens
from services.accounts.queries.companies import get_company, get_company_staff, list_companies_staff
from services.accounts.queries.company_users import list_company_users, list_company_users_staff
from services.accounts.queries.export import export_me
from services.accounts.queries.invitations import list_my_invitations
from services.accounts.queries.jobs import get_job
from services.accounts.queries.me import get_me
from services.accounts.queries.names import get_names
from services.accounts.queries.oversight import list_user_sessions, list_user_tokens
from services.accounts.queries.service_accounts import list_service_accounts, list_service_tokens
from services.accounts.queries.sessions import list_revocations, list_sessions
from services.accounts.queries.staff import list_users_staff
from services.accounts.store.waiting import WAITING
from services.chassis.context import Call
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.fields import EmptyRequest, ListRequest
from services.chassis.service.entrypoints import rpc
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves


@serves(
    companies.create_company,
    companies.update_company,
    companies.update_company_staff,
    company_users.update_company_user,
    company_users.update_company_user_staff,
    company_users.remove_company_user,
    company_users.remove_company_user_staff,
    invitations.add_company_user,
    invitations.accept_invitation,
    invitations.accept_my_invitation,
    invitations.decline_invitation,
    company_imports.import_company,
    oversight.end_user_session,
    oversight.delete_user_token,
    service_accounts.create_service_account,
    service_accounts.delete_service_account,
    service_accounts.create_service_token,
    service_accounts.delete_service_token,
    staff.update_user_staff,
    lookups.find_companies_by_email,
    get_company,
    get_company_staff,
    list_companies_staff,
    list_company_users,
    list_company_users_staff,
    list_my_invitations,
    get_job,
    get_names,
    list_user_sessions,
    list_user_tokens,
    list_service_accounts,
    list_service_tokens,
    list_users_staff,
)
class AccountsService:
    """Who people are, which companies they belong to, and what their tokens say."""

    name = "accounts"
    database = DatabaseProvider()
    kit = KitProvider()
    mail_loop = MailLoop()
    sweep_loop = SweepLoop()
    import_loop = ImportLoop()
    relay = Relay()
    events = EventsLeaf("gateway", "projects", "devices", "licensing", "history")
    health = Health(WAITING)

    @rpc(api.RegisterRequest, callers=("gateway",))
    def register(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take a registration; the answer never tells whether the address is known (ACC-1, ACC-2).

        Raises: accounts.terms_not_accepted, accounts.password_too_common, accounts.too_many_attempts.
        Emits: user_registered, registration_repeated.
        """
        return registration.register(self.database, call, request, self.kit)

    @rpc(api.ConfirmRegistrationRequest, callers=("gateway",))
    def confirm_registration(self, call: Call, request: dict[str, Any]) -> None:
        """Make the account of a mailed link work (ACC-2).

        Raises: accounts.link_invalid, accounts.password_needed, accounts.password_too_common.
        Emits: user_activated.
        """
        registration.confirm_registration(self.database, call, request, self.kit)

    @rpc(api.EmailRequest, callers=("gateway",))
    def resend_registration(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Send the link of a registration again (ACC-2).

        Raises: accounts.too_many_attempts.
        """
        return registration.resend_registration(self.database, call, request, self.kit)

    @rpc(api.EmailRequest, callers=("gateway",))
    def request_password_reset(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Send a link to set a new password (ACC-2).

        Raises: accounts.too_many_attempts.
        Emits: password_reset_requested.
        """
        return registration.request_password_reset(self.database, call, request, self.kit)

    @rpc(api.ConfirmPasswordResetRequest, callers=("gateway",))
    def confirm_password_reset(self, call: Call, request: dict[str, Any]) -> None:
        """Set a new password by a mailed link; all sessions end.

        Raises: accounts.link_invalid, accounts.password_too_common.
        Emits: password_changed, session_revoked, api_token_revoked.
        """
        registration.confirm_password_reset(self.database, call, request, self.kit)

    @rpc(api.CreateSessionRequest, callers=("gateway",))
    def create_session(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Log a person in (ACC-8, S2, S3).

        Raises: accounts.login_failed, accounts.otp_needed, accounts.not_activated, accounts.locked,
            accounts.company_not_found, accounts.too_many_attempts.
        Emits: session_created, login_failed.
        """
        return sessions.create_session(self.database, call, request, self.kit)

    @rpc(api.ConfirmSessionRequest)
    def confirm_session(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Prove once more who the caller is, for acts that need a recent login (ACC-13).

        Raises: accounts.login_needed, accounts.scope_needed, accounts.password_wrong, accounts.otp_needed,
            accounts.otp_wrong, accounts.locked, accounts.session_ended, accounts.user_not_found,
            accounts.too_many_attempts.
        Emits: login_failed.
        """
        return confirmations.confirm_session(self.database, call, request, self.kit)

    @rpc(api.RefreshSessionRequest, callers=("gateway",))
    def refresh_session(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give new tokens for a refresh token; also the switch to another company.

        Raises: accounts.refresh_invalid, accounts.refresh_reused, accounts.locked, accounts.company_not_found.
        Emits: session_revoked.
        """
        return sessions.refresh_session(self.database, call, request, self.kit)

    @rpc(ListRequest)
    def list_sessions(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the caller's sessions (ACC-11).

        Raises: accounts.scope_needed.
        """
        return list_sessions(self.database, call, request)

    @rpc(api.SessionRequest)
    def delete_session(self, call: Call, request: dict[str, Any]) -> None:
        """End one of the caller's sessions (ACC-11).

        Raises: accounts.session_not_found, accounts.scope_needed.
        Emits: session_revoked.
        """
        sessions.delete_session(self.database, call, request)

    @rpc(api.RenewTokenRequest)
    def renew_token(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give a fresh access token with what holds now, for the caller's own session.

        Raises: accounts.session_ended, accounts.locked, accounts.company_not_found.
        """
        return sessions.renew_token(self.database, call, request, self.kit)

    @rpc(api.ExchangeTokenRequest, callers=("gateway",))
    def exchange_token(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give a short access token for an API token (S5).

        Raises: token.invalid, accounts.otp_demanded, accounts.staff_otp_needed.
        """
        return sessions.exchange_token(self.database, call, request, self.kit)

    @rpc(api.CreateDeviceSessionRequest, callers=("gateway",))
    def create_device_session(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give the device door a short access token for HTTP Basic (LIC-7).

        Raises: accounts.login_failed, accounts.otp_needed, accounts.locked, accounts.otp_demanded,
            accounts.staff_otp_needed, accounts.too_many_attempts.
        Emits: login_failed.
        """
        return sessions.create_device_session(self.database, call, request, self.kit)

    @rpc(api.ListRevocationsRequest, callers=("gateway",))
    def list_revocations(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the gateways which tokens are worthless; ids and times only."""
        return list_revocations(self.database, request)

    @rpc(EmptyRequest)
    def get_me(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show the caller's own account (ACC-7).

        Raises: accounts.user_not_found.
        """
        return get_me(self.database, call)

    @rpc(api.UpdateMeRequest)
    def update_me(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Change the caller's personal data (ACC-7).

        Raises: accounts.scope_needed, accounts.user_not_found, request.stale.
        Emits: user_changed.
        """
        return me.update_me(self.database, call, request)

    @rpc(api.ChangePasswordRequest)
    def change_password(self, call: Call, request: dict[str, Any]) -> None:
        """Change the caller's password; all other sessions end (ACC-7).

        Raises: accounts.scope_needed, accounts.password_wrong, accounts.password_too_common,
            accounts.too_many_attempts.
        Emits: password_changed, session_revoked, api_token_revoked.
        """
        me.change_password(self.database, call, request, self.kit)

    @rpc(api.ChangeEmailRequest)
    def change_email(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Send a link to a new address; the change waits for it (ACC-7).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.password_wrong,
            accounts.email_unchanged, accounts.user_not_found, accounts.too_many_attempts,
            accounts.too_many_email_changes, accounts.address_mailed_enough.
        Emits: email_change_requested.
        """
        return email_changes.change_email(self.database, call, request, self.kit)

    @rpc(api.ConfirmEmailRequest)
    def confirm_email(self, call: Call, request: dict[str, Any]) -> None:
        """Make the address of a link the account's own (ACC-7).

        Raises: accounts.scope_needed, accounts.user_not_found, accounts.link_invalid, accounts.email_taken.
        Emits: email_changed.
        """
        email_changes.confirm_email(self.database, call, request, self.kit)

    @rpc(api.ConfirmRequest, callers=("gateway",))
    def undo_email_change(self, call: Call, request: dict[str, Any]) -> None:
        """Give an account back to the address before, by the link that was mailed to it (ACC-7).

        Raises: accounts.link_invalid, accounts.email_taken.
        Emits: email_change_undone, password_changed, session_revoked, api_token_revoked.
        """
        email_changes.undo_email_change(self.database, call, request, self.kit)

    @rpc(EmptyRequest)
    def export_me(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give the caller everything that accounts holds of them (ACC-12).

        Raises: accounts.scope_needed, accounts.user_not_found.
        """
        return export_me(self.database, call)

    @rpc(api.PasswordRequest)
    def erase_me(self, call: Call, request: dict[str, Any]) -> None:
        """Erase the caller's account (ACC-12).

        Raises: accounts.scope_needed, accounts.password_wrong, accounts.too_many_attempts, accounts.erasure_refused.
        Emits: company_user_removed, user_erased.
        """
        erasure.erase_me(self.database, call, request, self.kit)

    @rpc(ListRequest)
    def list_api_tokens(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the caller's API tokens (ACC-11).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed.
        """
        return list_api_tokens(self.database, call, request)

    @rpc(api.CreateApiTokenRequest)
    def create_api_token(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Make an API token; its secret is shown this once (ACC-11).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.scope_refused,
            accounts.expiry_past, accounts.expiry_too_late,
            accounts.too_many_tokens, accounts.user_not_found.
        Emits: api_token_created.
        """
        return api_tokens.create_api_token(self.database, call, request, self.kit)

    @rpc(api.TokenIdRequest)
    def delete_api_token(self, call: Call, request: dict[str, Any]) -> None:
        """Revoke an API token (ACC-11).

        Raises: accounts.scope_needed, accounts.token_not_found.
        Emits: api_token_revoked.
        """
        api_tokens.delete_api_token(self.database, call, request)

    @rpc(EmptyRequest)
    def create_otp(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give the secret of a second factor (ACC-11).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.otp_enabled.
        """
        return second_factor.create_otp(self.database, call, self.kit)

    @rpc(api.OtpRequest)
    def confirm_otp(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Switch the second factor on; answers the recovery codes (ACC-11).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.otp_enabled,
            accounts.otp_not_started, accounts.otp_wrong, accounts.too_many_attempts.
        Emits: otp_enabled.
        """
        return second_factor.confirm_otp(self.database, call, request, self.kit)

    @rpc(EmptyRequest)
    def delete_otp(self, call: Call, request: dict[str, Any]) -> None:
        """Switch the second factor off (ACC-11).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.otp_not_enabled.
        Emits: otp_disabled.
        """
        second_factor.delete_otp(self.database, call)

    @subscribe("history")
    def on_history_events(self, unit: Unit, events: list[Event]) -> None:
        """Note which rooms have applied an import, and mail what companies want to hear of devices (ACC-6, DEV-15).

        history, which hears all rooms, passes both on.
        """
        company_imports.apply_history_events(unit, events)
        notices.note_notices(unit, events, self.kit.keys)
