"""One's own account: personal data and password (ACC-7)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import held_account, own_account
from services.accounts.api import Actor, needs
from services.accounts.commands.access_tokens import memberships_of
from services.accounts.commands.api_tokens import end_api_tokens
from services.accounts.commands.email_changes import end_links
from services.accounts.commands.proving import check_password_choice, fits_password_again, require_password
from services.accounts.commands.telling import emit_for_user, end_other_sessions
from services.accounts.domain import EMAIL_CHANGE
from services.accounts.kit import Kit
from services.accounts.store import mails, people
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import stale
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run

_EDITABLE = ("forename", "surname", "language", "vendor_customer_number")


@command(
    request=api.UpdateMeRequest,
    answer=api.Me,
    needs=(needs.ACCOUNT,),
    raises=("accounts.user_not_found", "request.stale"),
    emits=("user_changed",),
)
def update_me(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Change the caller's personal data; what is absent stays."""
    actor = Actor.of(call)
    wanted = {name: request[name] for name in _EDITABLE if name in request}

    def work(unit: Unit) -> Shown:
        user = held_account(unit, actor)
        if request.get("if_version") not in (None, user.version):
            raise stale("request.stale", "Your account has changed since it was read: read it again.")
        changed = {name: value for name, value in wanted.items() if getattr(user, name) != value}
        if changed:
            people.change(unit, user.id, **changed)
            emit_for_user(unit, "user_changed", user.id, {"what": sorted(changed)})
        return me(unit.connection, actor)

    return run(database, call, request, work, scope=actor.user_id)


@command(
    request=api.ChangePasswordRequest,
    needs=(needs.ACCOUNT,),
    raises=(
        "accounts.password_wrong",
        "accounts.password_too_common",
        "accounts.too_many_attempts",
        "accounts.user_not_found",
    ),
    emits=("password_changed", "session_revoked", "api_token_revoked"),
)
def change_password(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Change the caller's password; the other sessions, all open links and API tokens end, and a mail tells it.

    API tokens stay with `keep_tokens`.
    """
    actor = Actor.of(call)
    secrets = {name: kit.fingerprint(request[name]) for name in ("old_password", "password")}
    fingerprint = {**secrets, "keep_tokens": request["keep_tokens"]}
    check_password_choice(request["password"])
    # A repetition is no further guess.
    answer = answered(database, call, fingerprint, scope=actor.user_id)
    if answer is not None:
        return answer
    fits = fits_password_again(database, call, kit, actor, request["old_password"])
    # Nothing is hashed for who does not know the present one.
    password_hash = kit.hasher.hash(request["password"]) if fits else ""

    def work(unit: Unit) -> None:
        require_password(fits)
        user = held_account(unit, actor)
        check_password_choice(request["password"], user.email, user.forename, user.surname)
        people.change(unit, user.id, password_hash=password_hash)
        end_links(unit, user.id)
        end_other_sessions(unit, user.id, "password", but=actor.session_id)
        if not request["keep_tokens"]:
            end_api_tokens(unit, user.id)
        mails.queue(unit, kit.keys, "password_changed", user.language, user.email, {})
        emit_for_user(unit, "password_changed", user.id, {})

    return run(database, call, fingerprint, work, scope=actor.user_id)


def me(connection: Connection, actor: Actor) -> Shown:
    """Return the account of an actor as answers carry it.

    Raises: accounts.user_not_found for an erased one.
    """
    user = own_account(connection, actor)
    members = memberships_of(connection, user)
    present = next((member for member in members if member.company_id == actor.company_id), None)
    return shown(
        user,
        account_rights=sorted(user.account_rights),
        otp_enabled=user.otp_confirmed_at is not None,
        otp_asked=user.staff and user.otp_confirmed_at is None,
        pending_email=mails.pending_email(connection, EMAIL_CHANGE, user.id, datetime.now(UTC)),
        company=present.company if present else None,
        companies=[member.place for member in members],
    )
