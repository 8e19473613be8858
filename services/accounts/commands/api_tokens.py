"""Personal API tokens: shown once, stored hashed, for one company and certain scopes (ACC-11)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.accounts import api
from services.accounts.access import held_account
from services.accounts.api import SCOPE_EVENTS, Actor, needs
from services.accounts.domain import (
    API_TOKEN_DEFAULT_LIFE,
    API_TOKEN_LONGEST_LIFE,
    API_TOKEN_PREFIX,
    API_TOKENS_AT_MOST,
    new_secret,
)
from services.accounts.kit import Kit
from services.accounts.store import companies, mails, sessions
from services.accounts.store.sessions import StoredApiToken
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, forbidden, invalid, not_found
from services.chassis.fields import write_moment
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import run


@command(
    request=api.CreateApiTokenRequest,
    answer=api.NewApiToken,
    needs=(needs.RECENT_LOGIN, needs.ACCOUNT),
    raises=(
        "accounts.scope_refused",
        "accounts.expiry_past",
        "accounts.expiry_too_late",
        "accounts.too_many_tokens",
        "accounts.user_not_found",
    ),
    emits=("api_token_created",),
)
def create_api_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Make an API token of the caller for the company of the session; its secret is answered this once.

    It lives 90 days, or as long as asked for and at most a year; a mail tells its owner.
    """
    actor = Actor.of(call)
    scopes = sorted(set(request["scopes"]))
    if SCOPE_EVENTS in scopes and not actor.staff:
        raise forbidden(
            "accounts.scope_refused",
            "Only staff may give the scope events to a token: leave it out.",
            scope=SCOPE_EVENTS,
        )

    def work(unit: Unit) -> dict[str, str]:
        expires_at = token_expiry(request["expires_at"], unit.now)
        # The company before the person, in the order of an import.
        company_id = companies.share(unit, actor.company_id)
        # Held, so that two requests at once do not both make the fiftieth.
        user = held_account(unit, actor)
        if sessions.count_api_tokens(unit, actor.user_id) >= API_TOKENS_AT_MOST:
            raise conflict(
                "accounts.too_many_tokens",
                f"You already have {API_TOKENS_AT_MOST} API tokens: delete one that is no longer needed.",
                limit=API_TOKENS_AT_MOST,
            )
        secret = API_TOKEN_PREFIX + new_secret()
        token = StoredApiToken(
            id=new_id(),
            user_id=user.id,
            company_id=company_id,
            name=request["name"],
            scopes=scopes,
            project_id=request["project_id"],
            created_at=unit.now,
            expires_at=expires_at,
            last_used_at=None,
            revoked_at=None,
        )
        sessions.add_api_token(unit, token, secret)
        bounds = {"expires_at": write_moment(expires_at), "project_id": token.project_id}
        _tell(unit, "api_token_created", token, company_id, **bounds)
        mails.queue(unit, kit.keys, "api_token_created", user.language, user.email, {"act": "api_token_created"})
        return {"id": token.id, "token": secret}

    return run(database, call, request, work, scope=actor.user_id, sealed=True)


@command(
    request=api.TokenIdRequest,
    needs=(needs.ACCOUNT,),
    raises=("accounts.token_not_found",),
    emits=("api_token_revoked",),
)
def delete_api_token(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Revoke one of the caller's API tokens."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        company_id = companies.share(unit, actor.company_id)
        token = sessions.api_token_by_id(unit.connection, request["token_id"])
        if token is None or not sessions.revoke_api_token(unit, actor.user_id, token.id):
            raise not_found(
                "accounts.token_not_found", "You have no such API token; list your tokens to see their ids."
            )
        sessions.revoke(unit, "session", token.id)
        _tell(unit, "api_token_revoked", token, company_id)

    return run(database, call, request, work, scope=actor.user_id)


def end_api_tokens(unit: Unit, user_id: str) -> None:
    """End all API tokens of a person, because password or address changed hands.

    Emits: api_token_revoked.
    """
    for token in sessions.all_api_tokens_of(unit.connection, user_id, 1000):
        if token.revoked_at is None:
            sessions.revoke_api_token(unit, user_id, token.id)
            sessions.revoke(unit, "session", token.id)
            # By the person, who has no login where a link was used.
            _tell(unit, "api_token_revoked", token, companies.share(unit, token.company_id), actor_id=user_id)


def _tell(
    unit: Unit,
    type: str,
    token: StoredApiToken,
    company_id: str | None,
    *,
    actor_id: str | None = None,
    **bounds: str | None,
) -> None:
    data = {"user_id": token.user_id, "token_id": token.id, "name": token.name, "scopes": token.scopes, **bounds}
    unit.emit(type, subject=token.user_id, company_id=company_id, actor_id=actor_id, data=data)


def token_expiry(asked: datetime | None, now: datetime) -> datetime:
    """Return when a token ends: 90 days from now, or when it was asked for and at most in a year.

    Raises: accounts.expiry_past, accounts.expiry_too_late.
    """
    if asked is not None and asked <= now:
        raise invalid("accounts.expiry_past", "expires_at is in the past: give a later time.")
    latest = now + API_TOKEN_LONGEST_LIFE
    if asked is not None and asked > latest:
        raise invalid(
            "accounts.expiry_too_late",
            f"expires_at is more than a year away: give a time up to {latest.date().isoformat()}.",
        )
    return asked or now + API_TOKEN_DEFAULT_LIFE
