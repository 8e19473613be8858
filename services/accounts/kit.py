"""What the commands of accounts work with besides the database: password hashing and keys. No rules here."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.accounts import domain
from services.accounts.api import SCOPE_ENROLMENT, SCOPE_REHEARSAL
from services.accounts.domain import Membership
from services.accounts.store.people import Person
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore
from services.chassis.keys.tokens import AUDIENCE, ISSUER, PURPOSE, TYPE

TOKENS: Final = PURPOSE
"""Purpose of the keys that sign access tokens."""

FINGERPRINTS: Final = "fingerprints"
"""Purpose of the key that makes fingerprints of secrets; its public half is never given out."""


class Hasher(Protocol):
    """Slow hashing of passwords; the service runs it off the event loop."""

    def hash(self, password: str) -> str:
        """Return a PHC string of the password."""
        ...

    def verify(self, stored: str | None, password: str) -> bool:
        """Return whether the password fits; None costs the same time and never fits (S2)."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Return whether the string was made with other costs than today's."""
        ...


class Argon2Hasher:
    """argon2id with the costs of S1: 46 MiB, one pass, one lane.

    Args:
        memory_kib: memory per hash in KiB; tests take less.
    """

    def __init__(self, memory_kib: int = 47104) -> None:
        """Make the hasher and the hash that stands for unknown users."""
        self._hasher = PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)
        self._dummy = self._hasher.hash(domain.new_secret())

    def hash(self, password: str) -> str:
        """Return a PHC string of the password."""
        return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Return whether the password fits; None is compared with a hash that nothing fits."""
        try:
            return self._hasher.verify(stored or self._dummy, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, stored: str) -> bool:
        """Return whether the string was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)


@cache
def common_passwords() -> frozenset[str]:
    """Return the commonest passwords of at least eight characters in lower case (S1)."""
    text = (Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Access:
    """A signed access token and its life in seconds."""

    access_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Kit:
    """Hashing and keys of one process of accounts."""

    hasher: Hasher
    keys: KeyStore
    staff_otp: bool = False
    """Whether staff have no powers of staff before they have a second factor (S19)."""

    def is_staff(self, user: Person) -> bool:
        """Return whether a user has the powers of staff now."""
        return user.staff and (not self.staff_otp or user.otp_confirmed_at is not None)

    def staff_waits(self, user: Person) -> bool:
        """Return whether a user is staff who need a second factor first."""
        return user.staff and not self.is_staff(user)

    def fingerprint(self, secret: str) -> str:
        """Return a keyed fingerprint of a secret, to tell two requests apart without storing a guessable hash."""
        _, signature = self.keys.sign(FINGERPRINTS, "Ed25519", secret.encode())
        return hashlib.sha256(signature).hexdigest()

    def access_token(
        self,
        user: Person,
        *,
        session_id: str,
        membership: Membership | None,
        absorbed: Sequence[str],
        scopes: Sequence[str],
        now: datetime,
        project_id: str | None = None,
        not_after: datetime | None = None,
        authenticated_at: datetime | None = None,
        limited: bool = False,
    ) -> Access:
        """Sign an access token.

        Args:
            user: row of the user.
            session_id: session or API token that it stands for; a revocation of it ends this token.
            membership: the company that it is for, None without one.
            absorbed: ids of the companies which that company absorbed.
            scopes: what it may be used for.
            now: database time.
            project_id: the one project that it is bound to.
            not_after: it expires then at the latest.
            authenticated_at: when the person last proved who they are (ACC-13); None for what is no login.
            limited: it is good for switching a second factor on and names no company, since one is demanded.
        """
        expires = now + timedelta(seconds=domain.ACCESS_SECONDS)
        if not_after is not None:
            expires = min(expires, not_after)
        if limited:
            membership, absorbed, scopes = None, (), (SCOPE_ENROLMENT,)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user.id,
            "sid": session_id,
            "jti": new_id(),
            # Milliseconds matter: a token made right after a revocation must not die with the older ones.
            "iat": round(now.timestamp(), 3),
            "exp": int(expires.timestamp()),
            "company": membership.company_id if membership else None,
            "companies": [membership.company_id, *absorbed] if membership else [],
            "role": membership.role if membership else None,
            "rights": [] if limited else sorted(user.account_rights),
            "staff": self.is_staff(user),
            "staff_waits": self.staff_waits(user),
            "scopes": list(scopes),
            "project": project_id,
            "lang": user.language,
            "auth_time": None if authenticated_at is None else round(authenticated_at.timestamp(), 3),
        }
        return Access(self._signed(claims), max(1, int((expires - now).total_seconds())))

    def service_access_token(
        self, account_id: str, *, token_id: str, scopes: Sequence[str], now: datetime, not_after: datetime
    ) -> Access:
        """Sign an access token of a service account: it is no staff, and its scopes open single routes alone.

        Args:
            account_id: of the service account.
            token_id: of the token that it stands for; a revocation of it ends this one.
            scopes: of the account.
            now: database time.
            not_after: it expires then at the latest.
        """
        expires = min(now + timedelta(seconds=domain.ACCESS_SECONDS), not_after)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": account_id,
            "sid": token_id,
            "jti": new_id(),
            "iat": round(now.timestamp(), 3),
            "exp": int(expires.timestamp()),
            "company": None,
            "companies": [],
            "role": None,
            "rights": [],
            "staff": False,
            "service": True,
            "scopes": list(scopes),
            "project": None,
            "lang": "en",
        }
        return Access(self._signed(claims), max(1, int((expires - now).total_seconds())))

    def rehearsal_token(
        self, claims: Mapping[str, object], company_ids: Sequence[str], absorbing: Mapping[str, object], now: datetime
    ) -> str:
        """Sign the token with which the gateway asks the rooms what an import would move; nobody else gets it.

        Args:
            claims: of the caller's own token.
            company_ids: the caller's company and what it absorbed.
            absorbing: `companies` (ids) and `name` of the company to import.
            now: database time.
        """
        expires = now + timedelta(seconds=domain.REHEARSAL_SECONDS)
        own = {name: claims[name] for name in ("sub", "sid", "company", "role", "lang")}
        return self._signed(
            {
                **own,
                "iss": ISSUER,
                "aud": AUDIENCE,
                "jti": new_id(),
                "iat": round(now.timestamp(), 3),
                "exp": int(expires.timestamp()),
                "companies": list(company_ids),
                "rights": [],
                "staff": False,
                "scopes": [SCOPE_REHEARSAL],
                "project": None,
                "absorbing": dict(absorbing),
            }
        )

    def _signed(self, claims: Mapping[str, object]) -> str:
        key = self.keys.active(TOKENS, "Ed25519")
        return jwt.encode(
            dict(claims),
            key.private,
            algorithm="EdDSA",
            headers={"kid": key.kid, "typ": TYPE},
        )

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the public keys of access tokens as JWKs, also those that were made a moment ago."""
        return self.keys.public_jwks(TOKENS, "Ed25519")
