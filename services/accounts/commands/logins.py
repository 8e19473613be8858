"""A login on its way: counted before the password is hashed, refused without telling what was wrong (S2, S3).

What a good login leads to (a session, a device's token, an import) does not belong here.
"""

from dataclasses import dataclass

from services.accounts.commands.attempts import address_key, count_attempt, place_of, too_many
from services.accounts.commands.proving import fits_otp
from services.accounts.domain import ACCOUNT_LIMIT, ACTIVATION_LIFE, CODE_LIMIT, normalized_email
from services.accounts.kit import Kit
from services.accounts.store import companies, people, throttles
from services.accounts.store.people import Person
from services.chassis.addresses import network_of
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, unauthenticated


def login_failed() -> ServiceError:
    """Return the one refusal of a wrong login: it never tells what was wrong (S2)."""
    return unauthenticated(
        "accounts.login_failed",
        "The e-mail address, the password or the second factor is wrong: check them and try again.",
    )


@dataclass(frozen=True, slots=True)
class Login:
    """A login between counting and checking."""

    user: Person | None
    account_key: str
    code_key: str
    address: str | None
    known: bool = False
    """Whether the person logged in from there not long ago."""
    waiting: str | None = None
    """Hash of the password of the newest registration that was not activated, whether or not there is an account."""

    @property
    def address_hash(self) -> str:
        """Return what the source address is remembered by."""
        return place_of(self.address)


def begin(database: Database, call: Call, email: str, address: str | None) -> Login:
    """Look the user up and count the attempt as failed before the password is hashed (S3)."""
    normalized = normalized_email(email)

    def work(unit: Unit) -> Login | int:
        user = people.by_email(unit.connection, normalized)
        address_hash = place_of(address)
        known = throttles.knows_address(unit.connection, user.id if user else "", address_hash, unit.now)
        key = throttles.key_of("login", "account", normalized, address_hash if known else "")
        # Guesses of codes are counted for the person, and apart for a known place, so that the owner is not locked out.
        code_key = throttles.key_of("code", "account", user.id if user else "", address_hash if known else "")
        # What others at a shared address do never slows down who is known there (S24).
        wait = throttles.count(unit, key, ACCOUNT_LIMIT) if known else count_attempt(unit, key, address)
        if wait:
            return wait
        registered = people.last_registration(unit.connection, normalized, unit.now - ACTIVATION_LIFE)
        return Login(user, key, code_key, address, known, registered.password_hash if registered is not None else None)

    outcome = database.write(work, call=call)
    if isinstance(outcome, int):
        raise too_many(outcome)
    return outcome


def refuse(unit: Unit, login: Login, reason: str) -> ServiceError:
    """Tell the history of a wrong login and return its refusal; the attempt stays counted.

    Emits: login_failed.
    """
    tell_failure(unit, login, reason)
    return login_failed()


def tell_failure(unit: Unit, login: Login, reason: str, *, anonymous: bool = False) -> None:
    """Tell the history of a wrong login and of where it came from: the network address, of IPv6 its /64 (S24).

    Args:
        unit: the running transaction.
        login: that failed.
        reason: what was wrong, in a word; never what was typed.
        anonymous: whether to leave out who asked, because the company that reads it must not learn that.

    Emits: login_failed.
    """
    user = login.user
    address = network_of(login.address) if login.address else None
    unit.emit(
        "login_failed",
        subject=user.id if user else "unknown",
        company_id=companies.share(unit, user.last_company_id) if user else None,
        data={"user_id": user.id if user else None, "reason": reason, "address": address},
        anonymous=anonymous,
    )


def count_code(unit: Unit, login: Login) -> int:
    """Count a code of the second factor as wrong before it is looked at; returns the seconds to wait, or 0."""
    return throttles.count(unit, login.code_key, CODE_LIMIT)


def check_code(unit: Unit, kit: Kit, user: Person, login: Login, code: str) -> ServiceError | None:
    """Count and check a code of the second factor or a recovery code; returns the refusal, None when it fits.

    Raises nothing: what was counted must be committed with the refusal.
    Emits: login_failed.
    """
    wait = count_code(unit, login)
    if wait:
        return too_many(wait)
    return None if fits_otp(unit, kit, user, code) else refuse(unit, login, "otp")


def forgive(unit: Unit, login: Login) -> None:
    """Take a login off the throttles, after its second factor too; a right password alone forgives nothing."""
    throttles.clear(unit, login.account_key)
    throttles.clear(unit, login.code_key)
    if not login.known:
        throttles.forgive(unit, address_key(login.address))
