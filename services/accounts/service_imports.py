"""The entrypoints of imports of companies, apart from the rest of the room (ACC-6). No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import company_imports, notices
from services.accounts.kit import Kit
from services.accounts.providers import ImportLoop
from services.accounts.queries.jobs import get_job
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.service.entrypoints import rpc
from services.chassis.service.inbox import subscribe


class ImportEntrypoints:
    """What accounts serves of imports, what it hears of them, and the watch over open ones."""

    database: Database
    kit: Kit
    import_loop = ImportLoop()

    @rpc(api.ImportCompanyRequest)
    def import_company(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Take another company into the caller's by the login of its administrator, or rehearse it (ACC-6).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
            accounts.admin_needed, accounts.company_absorbed, accounts.import_login_failed,
            accounts.import_otp_needed, accounts.import_admin_needed, accounts.import_ambiguous,
            accounts.import_own_company, accounts.otp_demanded, accounts.too_many_attempts.
        Emits: company_merged, company_user_added, login_failed.
        """
        return company_imports.import_company(self.database, call, request, self.kit)

    @rpc(api.JobRequest)
    def get_job(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell how far an import of the caller's company is (ACC-6).

        Raises: accounts.job_not_found, accounts.admin_needed.
        """
        return get_job(self.database, call, request)

    @subscribe("history")
    def on_history_events(self, unit: Unit, events: list[Event]) -> None:
        """Note which rooms have applied an import, and mail what companies want to hear of devices (ACC-6, DEV-15).

        history, which hears all rooms, passes both on.

        Emits: company_merge_finished.
        """
        company_imports.note_applied(unit, events)
        notices.note_notices(unit, events, self.kit.keys)
