"""Personal API tokens: shown once, stored hashed, for one company and certain scopes (ACC-11)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.accounts.api import SCOPE_ACCOUNT, SCOPE_EVENTS, Actor
from services.accounts.domain import (
    API_TOKEN_DEFAULT_LIFE,
    API_TOKEN_LONGEST_LIFE,
    API_TOKEN_PREFIX,
    API_TOKENS_AT_MOST,
    digest,
    new_secret,
)
from services.accounts.kit import Kit
from services.accounts.store import companies, mails, people, sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, forbidden, invalid, not_found
from services.chassis.ids import new_id


def create_api_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Make an API token of the caller for the company of the session; its secret is answered this once.

    It lives 90 days, or as long as asked for and at most a year; a mail tells its owner.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.scope_refused,
        accounts.expiry_past, accounts.expiry_too_late, accounts.too_many_tokens, accounts.user_not_found.
    Emits: api_token_created.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_scope(SCOPE_ACCOUNT)
    scopes = sorted(set(request["scopes"]))
    if SCOPE_EVENTS in scopes and not actor.staff:
        raise forbidden(
            "accounts.scope_refused",
            "Only staff may give the scope events to a token: leave it out.",
            scope=SCOPE_EVENTS,
        )

    def work(unit: Unit) -> dict[str, Any]:
        expires_at = token_expiry(request["expires_at"], unit.now)
        # The company before the person, in the order of an import.
        company_id = companies.share(unit, actor.company_id)
        # Held, so that two requests at once do not both make the fiftieth.
        user = people.locked_by_id(unit, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
        if sessions.count_api_tokens(unit, actor.user_id) >= API_TOKENS_AT_MOST:
            raise conflict(
                "accounts.too_many_tokens",
                f"You have {API_TOKENS_AT_MOST} API tokens already: delete one that is not needed any more.",
                limit=API_TOKENS_AT_MOST,
            )
        token_id, secret = new_id(), API_TOKEN_PREFIX + new_secret()
        sessions.add_api_token(
            unit,
            {
                "id": token_id,
                "user_id": actor.user_id,
                "company_id": company_id,
                "name": request["name"],
                "token_hash": digest(secret),
                "scopes": scopes,
                "project_id": request["project_id"],
                "expires_at": expires_at,
            },
        )
        bounds = {"expires_at": iso(expires_at), "project_id": request["project_id"]}
        _tell(unit, "api_token_created", actor, company_id, token_id, request["name"], scopes, **bounds)
        mails.queue(unit, kit.keys, "api_token_created", user.language, user.email, {"act": "api_token_created"})
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
        company_id = companies.share(unit, actor.company_id)
        token = sessions.api_token_by_id(unit.connection, request["token_id"])
        if token is None or not sessions.revoke_api_token(unit, actor.user_id, token.id):
            raise not_found(
                "accounts.token_not_found", "There is no such API token of yours; list your tokens to see their ids."
            )
        sessions.revoke(unit, "session", token.id)
        _tell(unit, "api_token_revoked", actor, company_id, token.id, token.name, token.scopes)

    database.command(call, "delete_api_token", request, work, scope=actor.user_id)


def end_api_tokens(unit: Unit, user_id: str) -> None:
    """End all API tokens of a person, because password or address changed hands.

    Emits: api_token_revoked.
    """
    for token in sessions.all_api_tokens_of(unit.connection, user_id, 1000):
        if token.revoked_at is None:
            sessions.revoke_api_token(unit, user_id, token.id)
            sessions.revoke(unit, "session", token.id)
            data = {"user_id": user_id, "token_id": token.id, "name": token.name, "scopes": list(token.scopes)}
            company_id = companies.share(unit, token.company_id)
            unit.emit("api_token_revoked", subject=user_id, company_id=company_id, actor_id=user_id, data=data)


def _tell(
    unit: Unit,
    type: str,
    actor: Actor,
    company_id: str | None,
    token_id: str,
    name: str,
    scopes: list[str],
    **bounds: str | None,
) -> None:
    data = {"user_id": actor.user_id, "token_id": token_id, "name": name, "scopes": list(scopes), **bounds}
    unit.emit(type, subject=actor.user_id, company_id=company_id, data=data)


def token_expiry(asked: datetime | None, now: datetime) -> datetime:
    """Return when a token ends: 90 days from now, or when it was asked for and at most in a year.

    Raises: accounts.expiry_past, accounts.expiry_too_late.
    """
    if asked is not None and asked <= now:
        raise invalid("accounts.expiry_past", "expires_at lies in the past: give a later time.")
    latest = now + API_TOKEN_LONGEST_LIFE
    if asked is not None and asked > latest:
        raise invalid(
            "accounts.expiry_too_late",
            f"expires_at is more than a year away: give a time up to {latest.date().isoformat()}.",
        )
    return asked or now + API_TOKEN_DEFAULT_LIFE
