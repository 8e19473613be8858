"""The nameko class of accounts: what it serves. It calls nobody. No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import (
    api_tokens,
    companies,
    company_users,
    confirmations,
    email_changes,
    erasure,
    lookups,
    me,
    registration,
    second_factor,
    sessions,
)
from services.accounts.providers import KitProvider, MailLoop, SweepLoop
from services.accounts.queries.api_tokens import list_api_tokens
from services.accounts.queries.companies import get_company
from services.accounts.queries.company_users import list_company_users
from services.accounts.queries.export import export_me
from services.accounts.queries.me import get_me
from services.accounts.queries.names import get_names
from services.accounts.queries.sessions import list_revocations, list_sessions
from services.accounts.service_imports import ImportEntrypoints
from services.accounts.service_invitations import InvitationEntrypoints
from services.accounts.service_oversight import OversightEntrypoints
from services.accounts.service_service_accounts import ServiceAccountEntrypoints
from services.accounts.service_staff import StaffEntrypoints
from services.accounts.store.waiting import WAITING
from services.chassis.context import Call
from services.chassis.fields import EmptyRequest, ListRequest
from services.chassis.service.entrypoints import rpc
from services.chassis.service.health import Health
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves


@serves()
class AccountsService(
    ImportEntrypoints, InvitationEntrypoints, OversightEntrypoints, ServiceAccountEntrypoints, StaffEntrypoints
):
    """Who people are, which companies they belong to, and what their tokens say."""

    name = "accounts"
    database = DatabaseProvider()
    kit = KitProvider()
    mail_loop = MailLoop()
    sweep_loop = SweepLoop()
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

    @rpc(api.CreateCompanyRequest)
    def create_company(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Make a company with the caller as its first administrator (ACC-3, ACC-4).

        Raises: accounts.scope_needed, accounts.user_not_found, accounts.staff_in_company, accounts.too_many_companies.
        Emits: company_created.
        """
        return companies.create_company(self.database, call, request)

    @rpc(EmptyRequest)
    def get_company(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show the caller's company.

        Raises: accounts.company_needed, accounts.company_not_found.
        """
        return get_company(self.database, call)

    @rpc(api.UpdateCompanyRequest)
    def update_company(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Rename the company or change its vendor account id.

        Raises: accounts.company_needed, accounts.admin_needed, accounts.login_needed, accounts.confirmation_needed,
            accounts.company_not_found, request.stale.
        Emits: company_changed.
        """
        return companies.update_company(self.database, call, request)

    @rpc(ListRequest)
    def list_company_users(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the users of the caller's company and its open invitations.

        Raises: accounts.company_needed.
        """
        return list_company_users(self.database, call, request)

    @rpc(api.UpdateCompanyUserRequest)
    def update_company_user(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Change role or lock of a user in the company (ACC-4, ACC-5, ACC-8).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.company_needed, accounts.admin_needed,
            accounts.scope_needed, accounts.user_not_found, accounts.last_admin.
        Emits: company_user_changed.
        """
        return company_users.update_company_user(self.database, call, request)

    @rpc(api.CompanyUserRequest)
    def remove_company_user(self, call: Call, request: dict[str, Any]) -> None:
        """Take a user out of the company, or an invitation back (ACC-4).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.company_needed, accounts.admin_needed,
            accounts.scope_needed, accounts.user_not_found, accounts.last_admin.
        Emits: company_user_removed, invitation_withdrawn.
        """
        company_users.remove_company_user(self.database, call, request)

    @rpc(api.FindCompaniesRequest)
    def find_companies_by_email(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Find the companies of the user with an address, for a right in a project (PRJ-3).

        Raises: accounts.company_needed, accounts.too_many_attempts.
        """
        return lookups.find_companies_by_email(self.database, call, request)

    @rpc(api.GetNamesRequest)
    def get_names(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Look names of persons and companies up by id; for other rooms."""
        return get_names(self.database, call, request)
