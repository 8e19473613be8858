"""Proofs of who somebody is: the password once more, a code, a mailed link; and what may be a password."""

from services.accounts import otp
from services.accounts.api import Actor
from services.accounts.commands.attempts import too_many
from services.accounts.domain import ACCOUNT_LIMIT, digest, password_problem
from services.accounts.kit import Kit, common_passwords
from services.accounts.store import people, throttles
from services.accounts.store.people import Person
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, invalid, not_found


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
            "This password is one of those that attackers try first: choose a longer or rarer one.",
        )


def fits_otp(unit: Unit, kit: Kit, user: Person, code: str) -> bool:
    """Return whether a code of the second factor, which is on, fits, and use it up (a code works once)."""
    assert user.otp_secret is not None
    secret = kit.keys.unseal(user.otp_secret, f"users:{user.id}:otp")
    text = code.replace(" ", "")
    step = otp.matching_step(secret, text, unit.now)
    if step is not None:
        return people.take_otp_step(unit, user.id, step)
    return people.take_recovery_code(unit, user.id, digest(otp.normalized_recovery_code(code)))


def fits_password_again(database: Database, call: Call, kit: Kit, actor: Actor, password: str) -> bool:
    """Return whether somebody who is logged in knows the password, for an act that needs it (S19).

    The act refuses by `require_password` inside its command, so that its repetition gets the first answer.

    Raises: accounts.too_many_attempts.
    """
    key = throttles.key_of("password", "account", actor.user_id)

    def count(unit: Unit) -> tuple[int, Person | None]:
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
        raise password_wrong()


def password_wrong() -> ServiceError:
    """Return the refusal of an act whose password was wrong."""
    return invalid("accounts.password_wrong", "This is not your present password: enter the right one.")


def link_invalid() -> ServiceError:
    """Return the refusal of a mailed link that works no more, or never did."""
    return not_found("accounts.link_invalid", "This link is unknown, already used or expired: ask for a new one.")
