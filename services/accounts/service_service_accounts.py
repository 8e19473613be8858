"""The entrypoints of service accounts, apart from the rest of the room (ACC-11). No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import service_accounts
from services.accounts.queries.service_accounts import list_service_accounts, list_service_tokens
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import ListRequest
from services.chassis.service.entrypoints import rpc


class ServiceAccountEntrypoints:
    """What accounts serves for programs of the vendor: accounts without a login, and their tokens."""

    database: Database

    @rpc(ListRequest)
    def list_service_accounts(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the service accounts, for staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed.
        """
        return list_service_accounts(self.database, call, request)

    @rpc(api.CreateServiceAccountRequest)
    def create_service_account(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Make a service account, by staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed.
        Emits: service_account_created.
        """
        return service_accounts.create_service_account(self.database, call, request)

    @rpc(api.ServiceAccountRequest)
    def delete_service_account(self, call: Call, request: dict[str, Any]) -> None:
        """End a service account with all its tokens, by staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.service_account_not_found.
        Emits: service_token_revoked, service_account_ended.
        """
        service_accounts.delete_service_account(self.database, call, request)

    @rpc(api.ListServiceTokensRequest)
    def list_service_tokens(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the tokens of a service account, for staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.service_account_not_found.
        """
        return list_service_tokens(self.database, call, request)

    @rpc(api.CreateServiceTokenRequest)
    def create_service_token(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Make a token of a service account; its secret is shown this once.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.service_account_not_found, accounts.expiry_past, accounts.expiry_too_late,
            accounts.too_many_service_tokens.
        Emits: service_token_created.
        """
        return service_accounts.create_service_token(self.database, call, request)

    @rpc(api.ServiceTokenRequest)
    def delete_service_token(self, call: Call, request: dict[str, Any]) -> None:
        """Withdraw a token of a service account, by staff.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
            accounts.service_account_not_found, accounts.token_not_found.
        Emits: service_token_revoked.
        """
        service_accounts.delete_service_token(self.database, call, request)
