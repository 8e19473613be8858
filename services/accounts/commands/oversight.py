"""What an administrator does with the logins of the company's users: sessions and API tokens that act for it (ACC-13).

The person gets a mail. What the same person does for other companies is neither seen nor touched.
"""

from collections.abc import Mapping
from typing import Any

from services.accounts.access import hold_company, member_of, overseer, still_admin
from services.accounts.api import Actor
from services.accounts.commands.telling import tell_by_mail
from services.accounts.store import people, sessions
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import not_found


def end_user_session(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End a session of a user in the caller's company; its tokens are dead within a second.

    Args:
        database: of accounts.
        call: by an administrator with a recent login.
        request: `user_id` and `session_id`.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.company_not_found, accounts.user_not_found, accounts.session_not_found.
    Emits: session_revoked.
    """
    actor, company_id = overseer(call)
    user_id = request["user_id"]

    def work(unit: Unit) -> None:
        user = _held_user(unit, actor, company_id, user_id)
        row = sessions.by_id(unit.connection, request["session_id"])
        # Of the company alone: that there is a session elsewhere is not told either.
        there = row is not None and (row.user_id, row.company_id) == (user_id, company_id)
        if row is None or not there or row.expires_at <= unit.now or not sessions.end(unit, row.id, "admin"):
            raise not_found(
                "accounts.session_not_found",
                "The user has no such session in this company; list the sessions to see their ids.",
            )
        sessions.revoke(unit, "session", row.id)
        data = {"user_id": user_id, "session_id": row.id, "reason": "admin"}
        unit.emit("session_revoked", subject=user_id, company_id=company_id, data=data)
        tell_by_mail(database, unit, "session_ended", user)

    database.command(call, "end_user_session", request, work)


def delete_user_token(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Revoke an API token of a user for the caller's company; it is dead within a second.

    Args:
        database: of accounts.
        call: by an administrator with a recent login.
        request: `user_id` and `token_id`.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.company_not_found, accounts.user_not_found, accounts.token_not_found.
    Emits: api_token_revoked.
    """
    actor, company_id = overseer(call)
    user_id = request["user_id"]

    def work(unit: Unit) -> None:
        user = _held_user(unit, actor, company_id, user_id)
        row = sessions.api_token_by_id(unit.connection, request["token_id"])
        there = row is not None and (row.user_id, row.company_id) == (user_id, company_id)
        if row is None or not there or not sessions.revoke_api_token(unit, user_id, row.id):
            raise not_found(
                "accounts.token_not_found",
                "The user has no such API token for this company; list the tokens to see their ids.",
            )
        sessions.revoke(unit, "session", row.id)
        data = {"user_id": user_id, "token_id": row.id, "name": row.name, "scopes": list(row.scopes)}
        unit.emit("api_token_revoked", subject=user_id, company_id=company_id, data=data)
        tell_by_mail(database, unit, "api_token_deleted", user, "api_token_deleted")

    database.command(call, "delete_user_token", request, work)


def _held_user(unit: Unit, actor: Actor, company_id: str, user_id: str) -> Any:
    """Hold the company and the user, so that a refresh of the session comes before or sees the end."""
    hold_company(unit, company_id)
    still_admin(unit, actor, company_id)
    member_of(unit.connection, company_id, user_id)
    user = people.locked_by_id(unit, user_id)
    if user is None:
        raise not_found(
            "accounts.user_not_found", "There is no such user in the company; list its users to see their ids."
        )
    return user
