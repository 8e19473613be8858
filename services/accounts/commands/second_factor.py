"""The second factor: an authenticator app and recovery codes (ACC-11, S19)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.accounts import api, otp
from services.accounts.access import held_account
from services.accounts.api import Actor, needs
from services.accounts.api.actor import RECENT_SECONDS
from services.accounts.commands.attempts import too_many
from services.accounts.commands.telling import emit_for_user, tell_by_mail
from services.accounts.domain import ACCOUNT_LIMIT, digest
from services.accounts.kit import Kit
from services.accounts.store import people, sessions, throttles
from services.accounts.store.people import Person
from services.accounts.store.sessions import StoredSession
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, invalid
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run


@command(
    request=EmptyRequest,
    answer=api.OtpStart,
    needs=(needs.RECENT_LOGIN, needs.ENROLMENT),
    raises=("accounts.otp_enabled", "accounts.user_not_found"),
)
def create_otp(database: Database, call: Call, kit: Kit) -> Answer:
    """Give a secret for an authenticator app; it counts only once a code of it was confirmed."""
    actor = Actor.of(call)

    def work(unit: Unit) -> dict[str, str]:
        user = _without_factor(unit, actor)
        secret = otp.new_secret()
        # Codes of an earlier secret say nothing about those of this one.
        sealed = kit.keys.seal(secret, f"users:{user.id}:otp")
        people.touch(unit, user.id, otp_secret=sealed, otp_last_step=0)
        return {"secret": otp.base32(secret), "uri": otp.uri(secret, user.email)}

    return run(database, call, {}, work, scope=actor.user_id, sealed=True)


@command(
    request=api.OtpRequest,
    answer=api.RecoveryCodes,
    needs=(needs.RECENT_LOGIN, needs.ENROLMENT),
    raises=(
        "accounts.otp_enabled",
        "accounts.otp_not_started",
        "accounts.otp_wrong",
        "accounts.too_many_attempts",
        "accounts.user_not_found",
    ),
    emits=("otp_enabled",),
)
def confirm_otp(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Switch the second factor on by a code of the app; answers the recovery codes this once."""
    actor = Actor.of(call)
    fingerprint = {"otp": kit.fingerprint(request["otp"])}
    # A repetition is no further guess.
    answer = answered(database, call, fingerprint, scope=actor.user_id, sealed=True)
    if answer is not None:
        return answer
    key = throttles.key_of("otp", "account", actor.user_id)
    wait = database.write(lambda unit: throttles.count(unit, key, ACCOUNT_LIMIT), call=call)
    if wait:
        raise too_many(wait)

    def work(unit: Unit) -> dict[str, list[str]]:
        user = _without_factor(unit, actor)
        if user.otp_secret is None:
            raise conflict("accounts.otp_not_started", "No second factor is being set up: ask for a secret first.")
        secret = kit.keys.unseal(user.otp_secret, f"users:{user.id}:otp")
        step = otp.matching_step(secret, request["otp"].replace(" ", ""), unit.now)
        if step is None or not people.take_otp_step(unit, user.id, step):
            raise invalid("accounts.otp_wrong", "The code is wrong or was used before: wait for the next one.")
        codes = otp.new_recovery_codes()
        hashes = [digest(otp.normalized_recovery_code(code)) for code in codes]
        people.replace_recovery_codes(unit, user.id, hashes)
        people.change(unit, user.id, otp_confirmed_at=unit.now)
        # They logged in without a code: it is asked for before they do what needs a recent login.
        sessions.age_others(unit, user.id, actor.session_id, unit.now - timedelta(seconds=RECENT_SECONDS + 1))
        throttles.clear(unit, key)
        tell_by_mail(database, unit, "second_factor_on", user)
        emit_for_user(unit, "otp_enabled", user.id, {})
        return {"recovery_codes": codes}

    return run(database, call, fingerprint, work, scope=actor.user_id, sealed=True)


@command(
    request=EmptyRequest,
    needs=(needs.RECENT_LOGIN, needs.ACCOUNT),
    raises=("accounts.otp_not_enabled", "accounts.user_not_found"),
    emits=("otp_disabled",),
)
def delete_otp(database: Database, call: Call) -> Answer:
    """Switch the second factor off and forget its codes."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        user = held_account(unit, actor)
        if user.otp_confirmed_at is None:
            raise conflict(
                "accounts.otp_not_enabled", "The account has no second factor; there is nothing to switch off."
            )
        session = sessions.by_id(unit.connection, actor.session_id)
        # A token of before the factor was switched on still says that its login is recent.
        replace(actor, authenticated_at=_moment(session)).require_recent_login()
        people.change(unit, user.id, otp_secret=None, otp_confirmed_at=None)
        people.replace_recovery_codes(unit, user.id, [])
        tell_by_mail(database, unit, "second_factor_off", user)
        emit_for_user(unit, "otp_disabled", user.id, {})

    return run(database, call, {}, work, scope=actor.user_id)


def _moment(session: StoredSession | None) -> float | None:
    return None if session is None or session.authenticated_at is None else session.authenticated_at.timestamp()


def _without_factor(unit: Unit, actor: Actor) -> Person:
    user = held_account(unit, actor)
    if user.otp_confirmed_at is not None:
        raise conflict("accounts.otp_enabled", "The second factor is already on: switch it off first.")
    return user
