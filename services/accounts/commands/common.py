"""What several commands of accounts share: throttled attempts, checks of the password, events for a person."""

from collections.abc import Mapping
from typing import Any

from services.accounts import otp
from services.accounts.api import Actor
from services.accounts.domain import ACCOUNT_LIMIT, ADDRESS_LIMIT, Limit, digest, password_problem
from services.accounts.kit import Kit, common_passwords
from services.accounts.store import companies, mails, people, sessions, throttles
from services.chassis.addresses import network_of
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, invalid, limited

UNKNOWN_ADDRESS = "unknown"


def administrated(actor: Actor, request: Mapping[str, Any]) -> str:
    """Return the company that a request changes: the caller's own, or for staff the one that the request names.

    Raises: accounts.company_needed, accounts.admin_needed, accounts.staff_needed.
    """
    named: str | None = request.get("company_id")
    if named is None:
        return actor.require_admin()
    actor.require_staff()
    return named


def check_password_choice(password: str, *words: str) -> None:
    """Refuse a password that is among those tried first.

    Args:
        password: the new one.
        words: address and names of the person.

    Raises: accounts.password_too_common.
    """
    if password_problem(password, words, common_passwords()):
        raise invalid(
            "accounts.password_too_common",
            "This password is among those that are tried first: choose a longer or rarer one.",
        )


def too_many(seconds: int) -> ServiceError:
    """Return the refusal of an attempt that comes too early; `seconds` is the time to wait."""
    return limited(
        "accounts.too_many_attempts",
        f"Too many attempts failed: try again in {seconds} seconds.",
        retry_after=seconds,
    )


def count_attempt(unit: Unit, account_key: str, address: str | None, purpose: str = "login") -> int:
    """Count an attempt for the account and for the source address before it is worked on (S3).

    Returns:
        0 when it may be worked on, else the seconds to wait.
    """
    wait = throttles.count(unit, account_key, ACCOUNT_LIMIT)
    if wait:
        return wait
    return throttles.count(unit, address_key(address, purpose), ADDRESS_LIMIT)


def address_key(address: str | None, purpose: str = "login") -> str:
    """Return the throttle's key of a source address; of IPv6 its /64 counts (S24)."""
    return throttles.key_of(purpose, "address", network_of(address or UNKNOWN_ADDRESS))


def place_of(address: str | None) -> str:
    """Return what a source address is remembered by as a place from which its user logged in."""
    return throttles.key_of("address", network_of(address or ""))


def count_mail(unit: Unit, email_normalized: str, limit: Limit) -> bool:
    """Count a mail that somebody without a login caused; returns whether it may be sent."""
    return throttles.count(unit, throttles.key_of("mail", "account", email_normalized), limit) == 0


def fits_otp(unit: Unit, kit: Kit, user: Any, code: str) -> bool:
    """Return whether a code of the second factor fits, and use it up (a code works once)."""
    secret = kit.keys.unseal(user.otp_secret, f"users:{user.id}:otp")
    text = code.replace(" ", "")
    step = otp.matching_step(secret, text, unit.now)
    if step is not None:
        return people.take_otp_step(unit, user.id, step)
    return people.take_recovery_code(unit, user.id, digest(otp.normalized_recovery_code(code)))


def end_other_sessions(unit: Unit, user_id: str, reason: str, *, but: str | None = None) -> None:
    """End a person's sessions, each with its own revocation, so that those that stay are not touched.

    Args:
        unit: the running transaction.
        user_id: whose sessions.
        reason: `password` or another word for the history.
        but: the session in use, which stays.
    """
    for session in sessions.end_all(unit, user_id, reason, but=but):
        sessions.revoke(unit, "session", session.id)
        unit.emit(
            "session_revoked",
            subject=user_id,
            company_id=companies.share(unit, session.company_id),
            actor_id=user_id,
            data={"user_id": user_id, "session_id": session.id, "reason": reason},
        )


def fits_password_again(database: Database, call: Call, kit: Kit, actor: Actor, password: str) -> bool:
    """Return whether somebody who is logged in knows the password, for an act that needs it (S19).

    The act refuses by `require_password` inside its command, so that its repetition gets the first answer.

    Raises: accounts.too_many_attempts.
    """
    key = throttles.key_of("password", "account", actor.user_id)

    def count(unit: Unit) -> tuple[int, Any]:
        return throttles.count(unit, key, ACCOUNT_LIMIT), people.by_id(unit.connection, actor.user_id)

    wait, user = database.write(count, call=call)
    if wait:
        raise too_many(wait)
    if not kit.hasher.verify(user.password_hash if user else None, password):
        return False
    database.write(lambda unit: throttles.clear(unit, key), call=call)
    return True


def require_password(fits: bool) -> None:
    """Refuse an act whose password was wrong.

    Raises: accounts.password_wrong.
    """
    if not fits:
        raise invalid("accounts.password_wrong", "This is not your present password: enter the right one.")


def tell_by_mail(database: Database, unit: Unit, template: str, user: Any, act: str | None = None) -> None:
    """Mail a person what was done to their account (ACC-13); `act` is a key of `mails.acts.ACTS`."""
    assert database.keystore is not None
    mails.queue(unit, database.keystore, template, user.language, user.email, {"act": act} if act else {})


def answer_or_raise(outcome: dict[str, Any] | ServiceError) -> dict[str, Any]:
    """Raise a refusal after its transaction was committed, because what it counted must stay."""
    if isinstance(outcome, ServiceError):
        raise outcome
    return outcome


def emit_for_user(unit: Unit, type: str, user_id: str, data: dict[str, Any], *, actor_id: str | None = None) -> None:
    """Emit one event about a person for each company that they belong to, or one without a company.

    Args:
        type: of the event.
        user_id: the person, also the event's subject.
        data: beside `user_id`.
        actor_id: who did it, when it is not the caller.
    """
    company_ids: list[str | None] = [member.company_id for member in companies.memberships(unit.connection, user_id)]
    # An import that was waited for has moved the membership, perhaps to where another one is.
    for company_id in dict.fromkeys(companies.share(unit, one) for one in company_ids or [None]):
        unit.emit(type, subject=user_id, company_id=company_id, actor_id=actor_id, data={"user_id": user_id, **data})
