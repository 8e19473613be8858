"""One's own account: personal data and password (ACC-7)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.commands.api_tokens import end_api_tokens
from services.accounts.commands.email_changes import end_links
from services.accounts.commands.proving import check_password_choice, fits_password_again, require_password
from services.accounts.commands.telling import emit_for_user, end_other_sessions
from services.accounts.domain import EMAIL_CHANGE, Membership
from services.accounts.kit import Kit
from services.accounts.store import companies, mails, people
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import not_found, stale

_EDITABLE = ("forename", "surname", "language", "vendor_customer_number")


def update_me(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Change the caller's personal data; what is absent stays.

    Raises: accounts.scope_needed, accounts.user_not_found, request.stale.
    Emits: user_changed.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)
    wanted = {name: request[name] for name in _EDITABLE if name in request}

    def work(unit: Unit) -> dict[str, Any]:
        user = _self(unit, actor)
        if request.get("if_version") not in (None, user.version):
            raise stale("request.stale", "Your account was changed since it was read: read it again.")
        changed = {name: value for name, value in wanted.items() if getattr(user, name) != value}
        if changed:
            people.change(unit, user.id, **changed)
            emit_for_user(unit, "user_changed", user.id, {"what": sorted(changed)})
        return me(unit.connection, actor)

    return database.command(call, "update_me", request, work, scope=actor.user_id) or {}


def change_password(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> None:
    """Change the caller's password; the other sessions, all open links and API tokens end, and a mail tells it.

    API tokens stay with `keep_tokens`.

    Raises: accounts.scope_needed, accounts.password_wrong, accounts.password_too_common, accounts.too_many_attempts.
    Emits: password_changed, session_revoked, api_token_revoked.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)
    fingerprint: dict[str, Any] = {name: kit.fingerprint(request[name]) for name in ("old_password", "password")}
    fingerprint["keep_tokens"] = request["keep_tokens"]
    check_password_choice(request["password"])
    # A repetition is no further guess.
    if database.answered(call, "change_password", fingerprint, scope=actor.user_id) is not None:
        return
    fits = fits_password_again(database, call, kit, actor, request["old_password"])
    # Nothing is hashed for who does not know the present one.
    password_hash = kit.hasher.hash(request["password"]) if fits else ""

    def work(unit: Unit) -> dict[str, Any]:
        require_password(fits)
        user = _self(unit, actor)
        check_password_choice(request["password"], user.email, user.forename, user.surname)
        people.change(unit, user.id, password_hash=password_hash)
        end_links(unit, user.id)
        end_other_sessions(unit, user.id, "password", but=actor.session_id)
        if not request["keep_tokens"]:
            end_api_tokens(unit, user.id)
        mails.queue(unit, kit.keys, "password_changed", user.language, user.email, {})
        emit_for_user(unit, "password_changed", user.id, {})
        return {}

    database.command(call, "change_password", fingerprint, work, scope=actor.user_id)


def _self(unit: Unit, actor: Actor) -> Any:
    user = people.locked_by_id(unit, actor.user_id)
    if user is None:
        raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
    return user


def me(connection: Connection, actor: Actor) -> dict[str, Any]:
    """Return the account of an actor as answers carry it.

    Raises: accounts.user_not_found for an erased one.
    """
    user = people.by_id(connection, actor.user_id)
    if user is None:
        raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
    members = [] if user.staff else companies.memberships(connection, user.id)
    present = next((member for member in members if member.company_id == actor.company_id), None)
    now = datetime.now(UTC)
    return {
        "id": user.id,
        "email": user.email,
        "forename": user.forename,
        "surname": user.surname,
        "language": user.language,
        "vendor_customer_number": user.vendor_customer_number,
        "account_rights": sorted(user.account_rights),
        "staff": user.staff,
        "otp_enabled": user.otp_confirmed_at is not None,
        "otp_asked": user.staff and user.otp_confirmed_at is None,
        "pending_email": mails.pending_email(connection, EMAIL_CHANGE, user.id, now),
        "company": _ref(present) if present else None,
        "companies": [place(member) for member in members],
        "version": user.version,
    }


def place(member: Membership) -> dict[str, Any]:
    """Return a membership in a list of all that a person has, with its lock."""
    return {**_ref(member), "locked": member.locked}


def _ref(member: Membership) -> dict[str, Any]:
    return {"id": member.company_id, "name": member.company_name, "role": member.role}
