"""The entrypoints of invitations, apart from the rest of the room (ACC-3). No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import invitations
from services.accounts.kit import Kit
from services.accounts.queries.invitations import list_my_invitations
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import ListRequest
from services.chassis.service.entrypoints import rpc


class InvitationEntrypoints:
    """How somebody comes into a company: invited, and by saying yes."""

    database: Database
    kit: Kit

    @rpc(api.AddCompanyUserRequest)
    def add_company_user(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Invite an address to the caller's company, or send an open invitation again (ACC-3).

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.company_needed, accounts.scope_needed,
            accounts.token_bound, accounts.company_not_found, accounts.user_not_found, accounts.already_member,
            accounts.staff_in_company, accounts.too_many_attempts.
        Emits: company_user_invited.
        """
        return invitations.add_company_user(self.database, call, request, self.kit)

    @rpc(api.AcceptInvitationRequest)
    def accept_invitation(self, call: Call, request: dict[str, Any]) -> None:
        """Join the company of an invitation by the token of its mail (ACC-3).

        Raises: accounts.scope_needed, accounts.link_invalid, accounts.invitation_of_another,
            accounts.invitation_not_found, accounts.staff_in_company.
        Emits: company_user_added.
        """
        invitations.accept_invitation(self.database, call, request, self.kit)

    @rpc(ListRequest)
    def list_my_invitations(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the open invitations to the caller's address (ACC-3).

        Raises: accounts.scope_needed, accounts.user_not_found.
        """
        return list_my_invitations(self.database, call, request)

    @rpc(api.InvitationRequest)
    def accept_my_invitation(self, call: Call, request: dict[str, Any]) -> None:
        """Join the company of an open invitation to the caller's address (ACC-3).

        Raises: accounts.scope_needed, accounts.invitation_not_found, accounts.staff_in_company.
        Emits: company_user_added.
        """
        invitations.accept_my_invitation(self.database, call, request)

    @rpc(api.InvitationRequest)
    def decline_invitation(self, call: Call, request: dict[str, Any]) -> None:
        """Say no to an open invitation to the caller's address (ACC-3).

        Raises: accounts.scope_needed, accounts.invitation_not_found.
        Emits: invitation_declined.
        """
        invitations.decline_invitation(self.database, call, request)
