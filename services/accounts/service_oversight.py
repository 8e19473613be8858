"""The entrypoints for administrators who look after the logins of their users (ACC-13). No rules in here."""

from __future__ import annotations

from typing import Any

from services.accounts import api
from services.accounts.commands import oversight as acts
from services.accounts.queries.oversight import list_user_sessions, list_user_tokens
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.service.entrypoints import rpc


class OversightEntrypoints:
    """What accounts serves for sessions and API tokens of a company's users."""

    database: Database

    @rpc(api.ListOfUserRequest)
    def list_user_sessions(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the sessions of a user in the company.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
            accounts.admin_needed, accounts.user_not_found.
        """
        return list_user_sessions(self.database, call, request)

    @rpc(api.UserSessionRequest)
    def end_user_session(self, call: Call, request: dict[str, Any]) -> None:
        """End a session of a user in the company.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
            accounts.admin_needed, accounts.company_not_found, accounts.user_not_found, accounts.session_not_found.
        Emits: session_revoked.
        """
        acts.end_user_session(self.database, call, request)

    @rpc(api.ListOfUserRequest)
    def list_user_tokens(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """List the API tokens of a user for the company.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
            accounts.admin_needed, accounts.user_not_found.
        """
        return list_user_tokens(self.database, call, request)

    @rpc(api.UserTokenRequest)
    def delete_user_token(self, call: Call, request: dict[str, Any]) -> None:
        """Revoke an API token of a user for the company.

        Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
            accounts.admin_needed, accounts.company_not_found, accounts.user_not_found, accounts.token_not_found.
        Emits: api_token_revoked.
        """
        acts.delete_user_token(self.database, call, request)
