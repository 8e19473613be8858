"""Service accounts: programs of the vendor that enter orders or read events; they outlive who made them (ACC-11).

Such an account is no user: it has no address, password or company, and only its tokens say who it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.commands.api_tokens import token_expiry
from services.accounts.commands.telling import tell_by_mail
from services.accounts.domain import (
    API_TOKENS_AT_MOST,
    SERVICE_TOKEN_PREFIX,
    new_secret,
)
from services.accounts.kit import Access, Kit
from services.accounts.store import people, service_accounts, sessions
from services.accounts.store.service_accounts import PresentedToken, StoredServiceAccount
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, not_found
from services.chassis.fields import write_moment
from services.chassis.service.declare import command
from services.chassis.service.running import run

MAIL: Final = "service_account_changed"
PROVEN_STAFF: Final = (needs.RECENT_LOGIN, needs.STAFF, needs.ACCOUNT)
"""Who looks after service accounts: staff who logged in or confirmed just now."""


@command(
    request=api.CreateServiceAccountRequest,
    answer=api.ServiceAccountItem,
    needs=PROVEN_STAFF,
    emits=("service_account_created",),
)
def create_service_account(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Make a service account without a token (ACC-11)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> StoredServiceAccount:
        account = service_accounts.add(unit, request["name"], sorted(set(request["scopes"])), actor.user_id)
        _tell(database, unit, "service_account_created", actor, account)
        return account

    return run(database, call, request, work, scope=actor.user_id)


@command(
    request=api.ServiceAccountRequest,
    needs=PROVEN_STAFF,
    raises=("accounts.service_account_not_found",),
    emits=("service_token_revoked", "service_account_ended"),
)
def delete_service_account(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """End a service account with all its tokens (ACC-11)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        account = _locked(unit, request["account_id"])
        for token_id in service_accounts.living_tokens(unit.connection, account.id, unit.now):
            _revoke(unit, account, token_id)
        service_accounts.end(unit, account.id)
        _tell(database, unit, "service_account_ended", actor, account)

    return run(database, call, request, work, scope=actor.user_id)


@command(
    request=api.CreateServiceTokenRequest,
    answer=api.NewServiceToken,
    needs=PROVEN_STAFF,
    raises=(
        "accounts.service_account_not_found",
        "accounts.expiry_past",
        "accounts.expiry_too_late",
        "accounts.too_many_service_tokens",
    ),
    emits=("service_token_created",),
)
def create_service_token(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Make a token of a service account; its secret is answered this once (ACC-11).

    It lives 90 days, or as long as asked for and at most a year.
    """
    actor = Actor.of(call)

    def work(unit: Unit) -> Shown:
        # Held, so that two requests at once do not both make the fiftieth.
        account = _locked(unit, request["account_id"])
        expires_at = token_expiry(request["expires_at"], unit.now)
        if len(service_accounts.living_tokens(unit.connection, account.id, unit.now)) >= API_TOKENS_AT_MOST:
            raise conflict(
                "accounts.too_many_service_tokens",
                f"The account already has {API_TOKENS_AT_MOST} tokens: delete one that is no longer needed.",
                limit=API_TOKENS_AT_MOST,
            )
        secret = SERVICE_TOKEN_PREFIX + new_secret()
        token = service_accounts.add_token(unit, account.id, secret, actor.user_id, expires_at)
        told = {"token_id": token.id, "expires_at": write_moment(expires_at)}
        _tell(database, unit, "service_token_created", actor, account, **told)
        return shown(token, token=secret)

    return run(database, call, request, work, scope=actor.user_id, sealed=True)


@command(
    request=api.ServiceTokenRequest,
    needs=PROVEN_STAFF,
    raises=("accounts.service_account_not_found", "accounts.token_not_found"),
    emits=("service_token_revoked",),
)
def delete_service_token(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Withdraw a token of a service account (ACC-11)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        account = _locked(unit, request["account_id"])
        if not _revoke(unit, account, request["token_id"]):
            raise not_found("accounts.token_not_found", "The service account has no such token; list its tokens.")
        _mail(database, unit, actor, "service_token_revoked")

    return run(database, call, request, work, scope=actor.user_id)


def exchange_service_token(unit: Unit, kit: Kit, secret: str) -> Access | None:
    """Return an access token for the secret of a service account's token, None when it is none or not good."""
    token = service_accounts.token_by_secret(unit.connection, secret)
    answer = None if token is None else _access(kit, token, unit.now)
    if token is not None and answer is not None:
        service_accounts.use_token(unit, token.id)
    return answer


def renewed_service_access(connection: Connection, kit: Kit, token_id: str, now: datetime) -> Access | None:
    """Return a fresh access token for a service account's token, None when it is none or not good any more."""
    token = service_accounts.token_by_id(connection, token_id)
    return None if token is None else _access(kit, token, now)


def _access(kit: Kit, token: PresentedToken, now: datetime) -> Access | None:
    if token.ended_at is not None or token.revoked_at is not None or token.expires_at <= now:
        return None
    return kit.service_access_token(
        token.account_id, token_id=token.id, scopes=token.scopes, now=now, not_after=token.expires_at
    )


def _locked(unit: Unit, account_id: str) -> StoredServiceAccount:
    account = service_accounts.by_id(unit.connection, account_id, lock=True)
    if account is None:
        raise no_account()
    return account


def no_account() -> ServiceError:
    """Return the refusal of what is no service account."""
    return not_found(
        "accounts.service_account_not_found", "There is no such service account; list them to see their ids."
    )


def _revoke(unit: Unit, account: StoredServiceAccount, token_id: str) -> bool:
    if not service_accounts.revoke_token(unit, account.id, token_id):
        return False
    sessions.revoke(unit, "session", token_id)
    unit.emit("service_token_revoked", subject=account.id, data={**_told(account), "token_id": token_id})
    return True


def _told(account: StoredServiceAccount) -> dict[str, object]:
    return {"account_id": account.id, "name": account.name, "scopes": account.scopes}


def _tell(
    database: Database, unit: Unit, type: str, actor: Actor, account: StoredServiceAccount, **more: object
) -> None:
    unit.emit(type, subject=account.id, data={**_told(account), **more})
    _mail(database, unit, actor, type)


def _mail(database: Database, unit: Unit, actor: Actor, act: str) -> None:
    user = people.by_id(unit.connection, actor.user_id)
    if user is not None:
        tell_by_mail(database, unit, MAIL, user, act)
