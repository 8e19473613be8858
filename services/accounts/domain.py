"""Rules of accounts: addresses, passwords, throttles, sessions, memberships. Standard library only; no clock."""

import hashlib
import math
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

ACCESS_SECONDS: Final = 900
"""Life of an access token in seconds (api.md)."""
REFRESH_IDLE: Final = timedelta(days=14)
"""A session that is not refreshed for so long ends."""
SESSION_LIFE: Final = timedelta(days=90)
"""A session ends after so long, however busy it is."""
REUSE_GRACE: Final = timedelta(seconds=10)
"""A refresh token used twice within so long is a repeated request (lost answer), not a theft."""
ACTIVATION_LIFE: Final = timedelta(hours=48)
RESET_LIFE: Final = timedelta(hours=1)
INVITATION_LIFE: Final = timedelta(days=14)
UNDO_LIFE: Final = timedelta(days=7)
"""So long the address before can undo a change of the address."""
REVOCATION_WINDOW: Final = timedelta(minutes=16)
"""Tokens older than this have expired by themselves, so older revocations are of no use."""
KNOWN_ADDRESS_LIFE: Final = timedelta(days=30)
REHEARSAL_SECONDS: Final = 60
"""Life of the token with which the rooms are asked what an import would move."""
PROOF_LIFE: Final = timedelta(minutes=10)
"""A second factor proven in a rehearsal is good for so long for the import itself."""

API_TOKEN_DEFAULT_LIFE: Final = timedelta(days=90)
API_TOKEN_LONGEST_LIFE: Final = timedelta(days=365)
API_TOKENS_AT_MOST: Final = 50
"""Living API tokens of one person (api.md)."""
COMPANIES_AT_MOST: Final = 20
"""Companies that one person may be in and found one more (S24)."""

API_TOKEN_PREFIX: Final = "tsk_"  # noqa: S105 - how every token begins, no secret

SERVICE_TOKEN_PREFIX: Final = "tss_"  # noqa: S105 - how every token of a service account begins, no secret

FORMER_USER: Final = {"en": "former user", "de": "früherer Benutzer"}
"""What stands in place of the name of a person whose account was erased (ACC-12)."""

ACTIVATION: Final = "activation"
PASSWORD_RESET: Final = "password_reset"  # noqa: S105 - the name of a purpose
EMAIL_CHANGE: Final = "email_change"
INVITATION: Final = "invitation"


def normalized_email(email: str) -> str:
    """Return the form of an address by which it is looked up and unique: no outer blanks, no case."""
    return email.strip().casefold()


def new_secret() -> str:
    """Return 256 random bits as URL-safe text, for links, refresh and API tokens (S10)."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what is stored in place of a random secret. Passwords do not go this way: they are guessable."""
    return hashlib.sha256(secret.encode()).hexdigest()


def password_problem(password: str, words: Collection[str], common: Collection[str]) -> bool:
    """Return whether a password is among those tried first (S1).

    Args:
        password: of allowed length.
        words: what an attacker knows of the person: address, names.
        common: the commonest passwords in lower case.
    """
    lowered = password.casefold()
    if lowered in common or len(set(lowered)) < 3:
        return True
    core = lowered.strip("0123456789!?.,-_ ")
    known = {"tessera", "license", "password", "passwort"}
    for word in words:
        known.update(part.casefold() for part in (word, *word.split("@")) if len(part) >= 3)
    return core in known


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures of one account or one source address (S3): it slows down and never locks for good.

    Args:
        failures: counted in the running window.
        window_started_at: start of the window.
        blocked_until: no attempt is taken before.
        level: how many blocks there were; each one is twice as long.
    """

    failures: int
    window_started_at: datetime
    blocked_until: datetime | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures in which time; the first block and the longest, in seconds."""

    failures: int
    window: timedelta = timedelta(minutes=10)
    first_block_seconds: int = 30
    longest_block_seconds: int = 900


ACCOUNT_LIMIT: Final = Limit(10)
ADDRESS_LIMIT: Final = Limit(100)
CODE_LIMIT: Final = Limit(10)
"""Wrong codes of the second factor of one account: nothing but a login with both factors forgives them."""
MAIL_LIMIT: Final = Limit(5, timedelta(hours=1), 900, 3600)
"""Mails that one address may be sent on request of somebody without a login."""
LEVEL_LIFE: Final = timedelta(hours=1)


def attempt(state: Throttle | None, limit: Limit, now: datetime) -> tuple[Throttle, int]:
    """Count an attempt before it is worked on, as if it failed.

    Args:
        state: what is stored, None at first.
        limit: which limit holds.
        now: database time.

    Returns:
        The new state, and 0 when the attempt may be worked on, else the seconds to wait.
    """
    if state is None:
        state = Throttle(0, now)
    if state.blocked_until is not None and state.blocked_until > now:
        return state, max(1, math.ceil((state.blocked_until - now).total_seconds()))
    if now - state.window_started_at >= limit.window:
        quiet = state.blocked_until is None or now - state.blocked_until >= LEVEL_LIFE
        state = Throttle(0, now, None, 0 if quiet else state.level)
    failures = state.failures + 1
    if failures < limit.failures:
        return replace(state, failures=failures), 0
    seconds = min(limit.longest_block_seconds, limit.first_block_seconds * 2 ** min(state.level, 10))
    # One attempt after the block, then the next and longer block.
    return Throttle(limit.failures - 1, state.window_started_at, now + timedelta(seconds=seconds), state.level + 1), 0


def forgiven(state: Throttle, now: datetime) -> Throttle:
    """Return the state after an attempt turned out to be good: it does not count."""
    if state.blocked_until is not None and state.blocked_until > now:
        return replace(state, blocked_until=None, level=max(0, state.level - 1))
    return replace(state, failures=max(0, state.failures - 1))


@dataclass(frozen=True, slots=True)
class CompanyRole:
    """A company and somebody's role in it."""

    id: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Place(CompanyRole):
    """A company among those of a person, who may be locked out of it."""

    locked: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """A user in a company, as the choice of a company needs it."""

    company_id: str
    company_name: str
    role: str
    locked: bool
    otp_demanded_at: datetime | None = None
    """Since when the company demands a second factor of its users; None when it does not."""

    @property
    def company(self) -> CompanyRole:
        """The company as answers carry it."""
        return CompanyRole(self.company_id, self.company_name, self.role)

    @property
    def place(self) -> Place:
        """The company in a list of all that a person has, with the lock."""
        return Place(self.company_id, self.company_name, self.role, self.locked)


def factor_is_demanded(member: Membership | None, since: datetime | None) -> bool:
    """Return whether a user without a second factor has to switch one on first.

    Args:
        member: the company that the login is for.
        since: when the session came into this company; None for a login of now, which an API token is each time.
    """
    if member is None or member.otp_demanded_at is None:
        return False
    return since is None or since >= member.otp_demanded_at


def choose_company(
    memberships: Sequence[Membership], asked: str | None, last_used: str | None
) -> tuple[Membership | None, bool]:
    """Return the company that a session is for: the one asked, else the last used, else the first unlocked one.

    Args:
        memberships: of the user, oldest first.
        asked: company id of the request; None when not asked.
        last_used: company id of the last session.

    Returns:
        The membership (None without an unlocked one: whoever is locked out of every company keeps the account, see
        decision 12), and whether the login must be refused because the asked one is locked or none of the user's.
    """
    unlocked = [member for member in memberships if not member.locked]
    if asked is not None:
        found = next((member for member in unlocked if member.company_id == asked), None)
        return found, found is None
    if not unlocked:
        return None, False
    return next((member for member in unlocked if member.company_id == last_used), unlocked[0]), False


def refresh_is_theft(used_at: datetime | None, now: datetime) -> bool:
    """Return whether a refresh token that was used before comes back too late to be a repeated request."""
    return used_at is not None and now - used_at > REUSE_GRACE
