"""What an administrator does with the logins of the company's users: sessions and API tokens that act for it (ACC-13).

The person gets a mail. What the same person does for other companies is neither seen nor touched.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.accounts import api
from services.accounts.access import hold_company, member_of, no_member, still_admin
from services.accounts.api import Actor, needs
from services.accounts.commands.telling import tell_by_mail
from services.accounts.store import people, sessions
from services.accounts.store.people import Person
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import not_found
from services.chassis.service.declare import command
from services.chassis.service.running import run

OVERSEER: Final = (needs.RECENT_LOGIN, needs.ACCOUNT, needs.ADMINISTRATOR)
"""Who looks after the logins of a company's users."""


@command(
    request=api.UserSessionRequest,
    needs=OVERSEER,
    raises=("accounts.company_not_found", "accounts.user_not_found", "accounts.session_not_found"),
    emits=("session_revoked",),
)
def end_user_session(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """End a session of a user in the caller's company; its tokens are dead within a second."""
    actor = Actor.of(call)
    company_id = actor.require_admin()
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

    return run(database, call, request, work)


@command(
    request=api.UserTokenRequest,
    needs=OVERSEER,
    raises=("accounts.company_not_found", "accounts.user_not_found", "accounts.token_not_found"),
    emits=("api_token_revoked",),
)
def delete_user_token(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Revoke an API token of a user for the caller's company; it is dead within a second."""
    actor = Actor.of(call)
    company_id = actor.require_admin()
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

    return run(database, call, request, work)


def _held_user(unit: Unit, actor: Actor, company_id: str, user_id: str) -> Person:
    """Hold the company and the user, so that a refresh of the session comes before or sees the end."""
    hold_company(unit, company_id)
    still_admin(unit, actor, company_id)
    member_of(unit.connection, company_id, user_id)
    user = people.locked_by_id(unit, user_id)
    if user is None:
        raise no_member()
    return user
