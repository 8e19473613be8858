"""Attempts that are counted before they are worked on, and the refusal of too many (S3)."""

from typing import TypeVar

from services.accounts.domain import ACCOUNT_LIMIT, ADDRESS_LIMIT, Limit
from services.accounts.store import throttles
from services.chassis.addresses import network_of
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, limited

UNKNOWN_ADDRESS = "unknown"

T = TypeVar("T")


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


def answer_or_raise(outcome: T | ServiceError) -> T:
    """Raise a refusal after its transaction was committed, because what it counted must stay."""
    if isinstance(outcome, ServiceError):
        raise outcome
    return outcome
