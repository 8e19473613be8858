"""Service accounts: programs of the vendor that enter orders or read events; they outlive who made them (ACC-11).

Such an account is no user: it has no address, password or company, and only its tokens say who it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.commands.api_tokens import token_expiry
from services.accounts.commands.telling import tell_by_mail
from services.accounts.domain import (
    API_TOKENS_AT_MOST,
    SERVICE_TOKEN_PREFIX,
    digest,
    new_secret,
)
from services.accounts.kit import Kit
from services.accounts.store import people, service_accounts, sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, not_found
from services.chassis.ids import new_id

MAIL = "service_account_changed"


def create_service_account(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a service account without a token.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed.
    Emits: service_account_created.
    """
    actor = staff_of(call)
    values = {"name": request["name"], "scopes": sorted(set(request["scopes"]))}

    def work(unit: Unit) -> dict[str, Any]:
        account_id = new_id()
        service_accounts.add(unit, {"id": account_id, "created_by": actor.user_id, **values})
        _tell(database, unit, "service_account_created", actor, account_id, values)
        row = service_accounts.by_id(unit.connection, account_id)
        assert row is not None
        return account_answer(row)

    return database.command(call, "create_service_account", request, work, scope=actor.user_id) or {}


def delete_service_account(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End a service account with all its tokens.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.service_account_not_found.
    Emits: service_token_revoked, service_account_ended.
    """
    actor = staff_of(call)

    def work(unit: Unit) -> None:
        account = _locked(unit, request["account_id"])
        for token in service_accounts.living_tokens(unit.connection, account.id, unit.now):
            _revoke(unit, account, token.id)
        service_accounts.end(unit, account.id)
        data = {"name": account.name, "scopes": list(account.scopes)}
        _tell(database, unit, "service_account_ended", actor, account.id, data)

    database.command(call, "delete_service_account", request, work, scope=actor.user_id)


def create_service_token(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a token of a service account; its secret is answered this once.

    It lives 90 days, or as long as asked for and at most a year.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.service_account_not_found, accounts.expiry_past, accounts.expiry_too_late,
        accounts.too_many_service_tokens.
    Emits: service_token_created.
    """
    actor = staff_of(call)

    def work(unit: Unit) -> dict[str, Any]:
        # Held, so that two requests at once do not both make the fiftieth.
        account = _locked(unit, request["account_id"])
        expires_at = token_expiry(request["expires_at"], unit.now)
        if len(service_accounts.living_tokens(unit.connection, account.id, unit.now)) >= API_TOKENS_AT_MOST:
            raise conflict(
                "accounts.too_many_service_tokens",
                f"The account has {API_TOKENS_AT_MOST} tokens already: delete one that is not needed any more.",
                limit=API_TOKENS_AT_MOST,
            )
        token_id, secret = new_id(), SERVICE_TOKEN_PREFIX + new_secret()
        values = {"id": token_id, "account_id": account.id, "created_by": actor.user_id, "expires_at": expires_at}
        service_accounts.add_token(unit, {**values, "token_hash": digest(secret)})
        data = {"name": account.name, "scopes": list(account.scopes), "token_id": token_id}
        data["expires_at"] = iso(expires_at)
        _tell(database, unit, "service_token_created", actor, account.id, data)
        return {"id": token_id, "token": secret, "expires_at": iso(expires_at)}

    scope = actor.user_id
    return database.command(call, "create_service_token", request, work, scope=scope, sealed=True) or {}


def delete_service_token(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Withdraw a token of a service account.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.service_account_not_found, accounts.token_not_found.
    Emits: service_token_revoked.
    """
    actor = staff_of(call)

    def work(unit: Unit) -> None:
        account = _locked(unit, request["account_id"])
        if not _revoke(unit, account, request["token_id"]):
            raise not_found("accounts.token_not_found", "The service account has no such token; list its tokens.")
        _mail(database, unit, actor, "service_token_revoked")

    database.command(call, "delete_service_token", request, work, scope=actor.user_id)


def exchange_service_token(unit: Unit, kit: Kit, secret: str) -> dict[str, Any] | None:
    """Return an access token for the secret of a service account's token, None when it is none or not good."""
    token = service_accounts.token_by_secret(unit.connection, secret)
    answer = None if token is None else _access(kit, token, unit.now)
    if token is not None and answer is not None:
        service_accounts.use_token(unit, token.id)
    return answer


def renewed_service_access(connection: Connection, kit: Kit, token_id: str, now: datetime) -> dict[str, Any] | None:
    """Return a fresh access token for a service account's token, None when it is none or not good any more."""
    token = service_accounts.token_by_id(connection, token_id)
    return None if token is None else _access(kit, token, now)


def _access(kit: Kit, token: Any, now: datetime) -> dict[str, Any] | None:
    if token.ended_at is not None or token.revoked_at is not None or token.expires_at <= now:
        return None
    access, seconds = kit.service_access_token(
        token.account_id, token_id=token.id, scopes=token.scopes, now=now, not_after=token.expires_at
    )
    return {"access_token": access, "expires_in": seconds}


def account_answer(row: Any) -> dict[str, Any]:
    """Return a service account as it is shown."""
    return {
        "id": row.id,
        "name": row.name,
        "scopes": list(row.scopes),
        "created_by": row.created_by,
        "created_at": iso(row.created_at),
    }


def staff_of(call: Call) -> Actor:
    """Return the member of staff who asks, by a recent login."""
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_staff()
    actor.require_scope(SCOPE_ACCOUNT)
    return actor


def _locked(unit: Unit, account_id: str) -> Any:
    account = service_accounts.by_id(unit.connection, account_id, lock=True)
    if account is None:
        raise no_account()
    return account


def no_account() -> ServiceError:
    """Return the refusal of what is no service account."""
    return not_found("accounts.service_account_not_found", "There is no such service account; list them.")


def _revoke(unit: Unit, account: Any, token_id: str) -> bool:
    if not service_accounts.revoke_token(unit, account.id, token_id):
        return False
    sessions.revoke(unit, "session", token_id)
    data = {"account_id": account.id, "token_id": token_id, "name": account.name, "scopes": list(account.scopes)}
    unit.emit("service_token_revoked", subject=account.id, data=data)
    return True


def _tell(database: Database, unit: Unit, type: str, actor: Actor, account_id: str, data: Mapping[str, Any]) -> None:
    unit.emit(type, subject=account_id, data={"account_id": account_id, **data})
    _mail(database, unit, actor, type)


def _mail(database: Database, unit: Unit, actor: Actor, act: str) -> None:
    user = people.by_id(unit.connection, actor.user_id)
    if user is not None:
        tell_by_mail(database, unit, MAIL, user, act)
