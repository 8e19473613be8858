"""Routes for administrators who look after the logins of their company's users (room accounts)."""

from __future__ import annotations

from gateway.row import Right, Row
from services.accounts import api

ROWS = (
    Row(
        "GET", "/v1/company/users/{user_id}/sessions", "accounts", "list_user_sessions", Right.ADMIN,
        "List the sessions of a user in this company.",
        recent=True, request=api.ListOfUserRequest, answer=api.UserSessionList, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/company/users/{user_id}/sessions/{session_id}", "accounts", "end_user_session", Right.ADMIN,
        "End a session of a user in this company; the user gets an e-mail.",
        recent=True, request=api.UserSessionRequest, status=204, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
    Row(
        "GET", "/v1/company/users/{user_id}/tokens", "accounts", "list_user_tokens", Right.ADMIN,
        "List the API tokens of a user for this company, without their secrets.",
        recent=True, request=api.ListOfUserRequest, answer=api.ApiTokenList, scope=api.SCOPE_ACCOUNT,
    ),
    Row(
        "DELETE", "/v1/company/users/{user_id}/tokens/{token_id}", "accounts", "delete_user_token", Right.ADMIN,
        "Withdraw an API token of a user for this company; the user gets an e-mail.",
        recent=True, request=api.UserTokenRequest, status=204, scope=api.SCOPE_ACCOUNT, revokes=True,
    ),
)  # fmt: skip
