"""The nameko class of accounts: what it serves. It calls nobody. No rules in here."""

from __future__ import annotations

from services.accounts.commands import (
    api_tokens,
    companies,
    company_imports,
    company_users,
    confirmations,
    email_changes,
    erasure,
    exchanges,
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
from services.chassis.data.db import Unit
from services.chassis.data.outbox import Event
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.serving import serves


@serves(
    registration.register,
    registration.confirm_registration,
    registration.resend_registration,
    registration.request_password_reset,
    registration.confirm_password_reset,
    sessions.create_session,
    sessions.refresh_session,
    sessions.delete_session,
    exchanges.renew_token,
    exchanges.exchange_token,
    exchanges.create_device_session,
    confirmations.confirm_session,
    list_sessions,
    list_revocations,
    get_me,
    me.update_me,
    me.change_password,
    email_changes.change_email,
    email_changes.confirm_email,
    email_changes.undo_email_change,
    export_me,
    erasure.erase_me,
    list_api_tokens,
    api_tokens.create_api_token,
    api_tokens.delete_api_token,
    second_factor.create_otp,
    second_factor.confirm_otp,
    second_factor.delete_otp,
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

    @subscribe("history")
    def on_history_events(self, unit: Unit, events: list[Event]) -> None:
        """Note which rooms have applied an import, and mail what companies want to hear of devices (ACC-6, DEV-15).

        history, which hears all rooms, passes both on.
        """
        company_imports.apply_history_events(unit, events)
        notices.apply_history_events(unit, events, self.kit.keys)
