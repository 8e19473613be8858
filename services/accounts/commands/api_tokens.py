"""Personal API tokens: shown once, stored hashed, for one company and certain scopes (ACC-11)."""

from collections.abc import Mapping
from typing import Any

from services.accounts.api import SCOPE_ACCOUNT, SCOPE_EVENTS, Actor
from services.accounts.domain import API_TOKEN_PREFIX, digest, new_secret
from services.accounts.store import sessions
from services.chassis.context import Call
from services.chassis.db import Database, Unit
from services.chassis.errors import forbidden, invalid, not_found
from services.chassis.ids import new_id


def create_api_token(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make an API token of the caller for the company of the session; its secret is answered this once.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.scope_refused,
        accounts.expiry_past.
    Emits: api_token_created.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_scope(SCOPE_ACCOUNT)
    scopes = sorted(set(request["scopes"]))
    if SCOPE_EVENTS in scopes and not actor.staff:
        raise forbidden(
            "accounts.scope_refused", "Only staff may give the scope events to a token.", scope=SCOPE_EVENTS
        )

    def work(unit: Unit) -> dict[str, Any]:
        if request["expires_at"] is not None and request["expires_at"] <= unit.now:
            raise invalid("accounts.expiry_past", "expires_at lies in the past: give a later time.")
        token_id, secret = new_id(), API_TOKEN_PREFIX + new_secret()
        sessions.add_api_token(
            unit,
            {
                "id": token_id,
                "user_id": actor.user_id,
                "company_id": actor.company_id,
                "name": request["name"],
                "token_hash": digest(secret),
                "scopes": scopes,
                "project_id": request["project_id"],
                "expires_at": request["expires_at"],
            },
        )
        _tell(unit, "api_token_created", actor, token_id, request["name"], scopes)
        return {"id": token_id, "token": secret}

    scope = actor.user_id
    return database.command(call, "create_api_token", request, work, scope=scope, sealed=True) or {}


def delete_api_token(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Revoke one of the caller's API tokens.

    Raises: accounts.scope_needed, accounts.token_not_found.
    Emits: api_token_revoked.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)

    def work(unit: Unit) -> None:
        token = sessions.api_token_by_id(unit.connection, request["token_id"])
        if token is None or not sessions.revoke_api_token(unit, actor.user_id, token.id):
            raise not_found("accounts.token_not_found", "There is no such API token of yours.")
        sessions.revoke(unit, "session", token.id)
        _tell(unit, "api_token_revoked", actor, token.id, token.name, token.scopes)

    database.command(call, "delete_api_token", request, work, scope=actor.user_id)


def _tell(unit: Unit, type: str, actor: Actor, token_id: str, name: str, scopes: list[str]) -> None:
    data = {"user_id": actor.user_id, "token_id": token_id, "name": name, "scopes": list(scopes)}
    unit.emit(type, subject=actor.user_id, company_id=actor.company_id, data=data)
