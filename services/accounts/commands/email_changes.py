"""Another e-mail address for an account (ACC-7): asked for, confirmed, and undone by the owner of the one before.

An address is the key to an account, since forgotten passwords are mailed to it. So a change needs the password, ends
with any change of the password, and the address before can take it back for seven days, whoever holds the account.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from services.accounts import api
from services.accounts.access import held_account
from services.accounts.api import Actor, needs
from services.accounts.commands.api_tokens import end_api_tokens
from services.accounts.commands.proving import fits_password_again, link_invalid, require_password
from services.accounts.commands.telling import emit_for_user, end_other_sessions
from services.accounts.domain import (
    ACTIVATION_LIFE,
    EMAIL_CHANGE,
    PASSWORD_RESET,
    RESET_LIFE,
    Limit,
    new_secret,
    normalized_email,
)
from services.accounts.kit import Kit
from services.accounts.store import mails, people, throttles, undos
from services.accounts.store.people import Person
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, limited
from services.chassis.fields import EmptyAnswer
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run

PERSON_LIMIT: Final = Limit(10, timedelta(days=1), 3600, 86400)
"""Changes of address that one account may ask for in a day, to whatever addresses."""
ADDRESS_LIMIT: Final = Limit(3, timedelta(days=1), 86400, 86400)
"""Mails of changes that one address is sent in a day, whoever asks: it may be a stranger's."""


@command(
    request=api.ChangeEmailRequest,
    answer=EmptyAnswer,
    needs=(needs.RECENT_LOGIN, needs.ACCOUNT),
    raises=(
        "accounts.password_wrong",
        "accounts.email_unchanged",
        "accounts.user_not_found",
        "accounts.too_many_attempts",
        "accounts.too_many_email_changes",
        "accounts.address_mailed_enough",
    ),
    emits=("email_change_requested",),
)
def change_email(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Send a link to a new address, and to the present one a notice with a link that stops or undoes the change.

    An address that has an account gets a mail that says so, and the answer is the same. Every request counts for the
    account and for the new address before the password is hashed (S24); no client address is counted.
    """
    actor = Actor.of(call)
    normalized = normalized_email(request["email"])
    fingerprint = {"email": normalized, "password": kit.fingerprint(request["password"])}
    # A repetition is no further mail, and no further guess.
    answer = answered(database, call, fingerprint, scope=actor.user_id)
    if answer is not None:
        return answer
    refusal = database.write(lambda unit: _count(unit, actor, normalized), call=call)
    if refusal is not None:
        raise refusal
    fits = fits_password_again(database, call, kit, actor, request["password"])
    if not fits:
        # Nothing is mailed then: who mistypes the password must not use up the address.
        database.write(lambda unit: throttles.forgive(unit, _address_key(normalized)), call=call)

    def work(unit: Unit) -> None:
        require_password(fits)
        user = held_account(unit, actor)
        if normalized == user.email_normalized and request["email"] == user.email:
            raise conflict("accounts.email_unchanged", "This is already your address: give another one.")
        other = people.by_email(unit.connection, normalized)
        secret = new_secret()
        mails.void_links(unit, EMAIL_CHANGE, user.id)
        mails.add_link(unit, EMAIL_CHANGE, secret, user.id, ACTIVATION_LIFE, email=request["email"])
        if other is None or other.id == user.id:
            mails.queue(unit, kit.keys, "email_change", user.language, request["email"], {"token": secret})
        else:
            # Nobody ever gets the secret of that link.
            mails.queue(unit, kit.keys, "already_registered", other.language, request["email"], {})
        _offer_undo(unit, kit, user, "email_change_notice")
        emit_for_user(unit, "email_change_requested", user.id, {})

    return run(database, call, fingerprint, work, scope=actor.user_id)


@command(
    request=api.ConfirmEmailRequest,
    needs=(needs.ACCOUNT,),
    raises=("accounts.user_not_found", "accounts.link_invalid", "accounts.email_taken"),
    emits=("email_changed",),
)
def confirm_email(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Make the address of a link the address of the caller's account; nobody but its owner can."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        user = held_account(unit, actor)
        link = mails.open_link(unit.connection, EMAIL_CHANGE, request["token"], unit.now)
        # Another person's link stays good for that person.
        if link is None or link.email is None or link.subject_id != user.id:
            raise link_invalid()
        mails.take_link(unit, EMAIL_CHANGE, request["token"])
        if not people.rename_email(unit, user.id, link.email):
            raise email_taken()
        # A password that was forgotten at the address before is not set by its mails any more.
        mails.void_links(unit, PASSWORD_RESET, user.id)
        if normalized_email(link.email) != user.email_normalized:
            _offer_undo(unit, kit, user, "email_changed")
        emit_for_user(unit, "email_changed", user.id, {})

    return run(database, call, {"token": kit.fingerprint(request["token"])}, work, scope=actor.user_id)


@command(
    request=api.ConfirmRequest,
    raises=("accounts.link_invalid", "accounts.email_taken"),
    emits=("email_change_undone", "password_changed", "session_revoked", "api_token_revoked"),
    callers=("gateway",),
)
def undo_email_change(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Give an account back to the address before, by the link that was mailed to it; whoever held it is out.

    The password counts no more, a second factor that was switched on since is off, all sessions, API tokens and open
    links end, and a link to set a new password is mailed. Links of earlier changes stay good, those of later ones end.
    """

    def work(unit: Unit) -> None:
        undo = undos.take(unit, request["token"])
        user = people.locked_by_id(unit, undo.user_id) if undo is not None else None
        if undo is None or user is None:
            raise link_invalid()
        if user.email != undo.email and not people.rename_email(unit, user.id, undo.email):
            raise email_taken()
        # What an erased account has, too: no password fits.
        people.change(unit, user.id, password_hash="")
        if user.otp_confirmed_at is not None and user.otp_confirmed_at > undo.created_at:
            people.change(unit, user.id, otp_secret=None, otp_confirmed_at=None)
            people.replace_recovery_codes(unit, user.id, [])
        undos.void_since(unit, user.id, undo)
        end_links(unit, user.id)
        end_other_sessions(unit, user.id, "email_undone")
        end_api_tokens(unit, user.id)
        secret = new_secret()
        mails.add_link(unit, PASSWORD_RESET, secret, user.id, RESET_LIFE)
        mails.queue(unit, kit.keys, "email_undone", user.language, undo.email, {"token": secret})
        for told in ("email_change_undone", "password_changed"):
            emit_for_user(unit, told, user.id, {}, actor_id=user.id)

    return run(database, call, {"token": kit.fingerprint(request["token"])}, work)


def end_links(unit: Unit, user_id: str) -> None:
    """End the open links of a person that change password or address, because the password was changed."""
    for purpose in (EMAIL_CHANGE, PASSWORD_RESET):
        mails.void_links(unit, purpose, user_id)


def email_taken() -> ServiceError:
    """Return the refusal of an address that got another account meanwhile, to somebody who reads its mails."""
    return conflict(
        "accounts.email_taken",
        "This address now belongs to another account: log in to that one, or ask for a change to another address.",
    )


def _count(unit: Unit, actor: Actor, normalized: str) -> ServiceError | None:
    """Count a request for the account and for the new address; returns the refusal, so that the counts stay."""
    wait = throttles.count(unit, throttles.key_of("email_change", "person", actor.user_id), PERSON_LIMIT)
    if wait:
        return limited(
            "accounts.too_many_email_changes",
            f"You asked for another address too often: try again in {wait} seconds, or confirm the last one with the "
            "e-mail sent to it.",
            retry_after=wait,
        )
    wait = throttles.count(unit, _address_key(normalized), ADDRESS_LIMIT)
    if wait:
        return limited(
            "accounts.address_mailed_enough",
            f"This address was sent {ADDRESS_LIMIT.failures} e-mails of this kind, and no more are sent within a day: "
            f"look for them there, try again in {wait} seconds, or give another address.",
            retry_after=wait,
            limit=ADDRESS_LIMIT.failures,
        )
    return None


def _address_key(normalized: str) -> str:
    return throttles.key_of("email_change", "address", normalized)


def _offer_undo(unit: Unit, kit: Kit, user: Person, template: str) -> None:
    secret = new_secret()
    undos.add(unit, user.id, secret, user.email)
    mails.queue(unit, kit.keys, template, user.language, user.email, {"token": secret})
