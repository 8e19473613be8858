"""The entrypoints for staff of the vendor, apart from the rest of the room (ACC-9, ACC-10). No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import companies, company_users, staff
from services.accounts.queries.companies import get_company_staff, list_companies_staff
from services.accounts.queries.company_users import list_company_users_staff
from services.accounts.queries.staff import list_users_staff
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.service.entrypoints import rpc


class StaffEntrypoints:
    """What accounts serves for staff: every company and user, and what an administrator may do in any company."""

    database: Database

    @rpc(api.SearchRequest)
    def list_companies_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List companies for staff (ACC-10).

        Raises: accounts.staff_needed.
        """
        return list_companies_staff(self.database, call, request)

    @rpc(api.SearchRequest)
    def list_users_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List users for staff (ACC-10).

        Raises: accounts.staff_needed.
        """
        return list_users_staff(self.database, call, request)

    @rpc(api.UpdateUserStaffRequest)
    def update_user_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Change lock, account rights or staff mark of a user (ACC-9, ACC-10).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.user_not_found, accounts.staff_self, accounts.user_in_company.
        Emits: user_locked, user_unlocked, user_changed.
        """
        return staff.update_user_staff(self.database, call, request)

    @rpc(api.CompanyIdRequest)
    def get_company_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Show a company to staff (ACC-10).

        Raises: accounts.staff_needed, accounts.company_not_found.
        """
        return get_company_staff(self.database, call, request)

    @rpc(api.UpdateCompanyStaffRequest)
    def update_company_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Rename a company or change its vendor account id, for staff.

        Raises: accounts.staff_needed, accounts.scope_needed, accounts.login_needed, accounts.confirmation_needed,
            accounts.company_not_found, request.stale.
        Emits: company_changed.
        """
        return companies.update_company(self.database, call, request)

    @rpc(api.ListCompanyUsersStaffRequest)
    def list_company_users_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the users of a company and its open invitations, for staff.

        Raises: accounts.staff_needed, accounts.company_not_found.
        """
        return list_company_users_staff(self.database, call, request)

    @rpc(api.UpdateCompanyUserStaffRequest)
    def update_company_user_staff(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Give or take the administrator role, lock or unlock a user in a company, for staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.company_not_found, accounts.user_not_found, accounts.last_admin.
        Emits: company_user_changed.
        """
        return company_users.update_company_user(self.database, call, request)

    @rpc(api.CompanyUserStaffRequest)
    def remove_company_user_staff(self, call: Call, request: dict[str, Any]) -> None:
        """Take a user out of a company, or an invitation back, for staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.company_not_found, accounts.user_not_found, accounts.last_admin.
        Emits: company_user_removed.
        """
        company_users.remove_company_user(self.database, call, request)
