"""Checks access tokens: one algorithm, keys from configuration and never from the token (RFC 8725, rule S5).

Signing belongs to the service that owns the key; who a token stands for is said by its contract, not here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519

from services.chassis.errors import ServiceError, unauthenticated, unavailable

ISSUER = "accounts"
AUDIENCE = "tessera"
TYPE = "at+jwt"
PURPOSE = "tokens"
"""Purpose of the keys that sign access tokens; the name of the file in which their public halves are pinned."""
LEEWAY_SECONDS = 5
_CACHE_SIZE = 4096
# A look at the file that pins them costs next to nothing (rule S26).
_REFETCH_SECONDS = 0.1
_FRESH_SECONDS = 1.0

KeySource = Callable[[], list[dict[str, Any]]]


class TokenVerifier:
    """Verifies access tokens with keys that a source gives; remembers tokens that were good.

    Args:
        source: returns the issuer's public keys as JWKs; asked at first use, for unknown key ids, every second.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._keys: dict[str, ed25519.Ed25519PublicKey] = {}
        self._fetched_at = 0.0
        self._good: OrderedDict[str, tuple[str, Mapping[str, Any]]] = OrderedDict()

    def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a good token.

        Args:
            token: compact JWS.

        Raises:
            token.missing, token.invalid, token.expired: the token is not good.
            service.unavailable: the issuer's keys cannot be had.
        """
        if not token:
            raise unauthenticated("token.missing", "A login is needed; send an access token.")
        known = self._good.get(token)
        if known is None:
            known = self._decode(token)
            self._good[token] = known
            if len(self._good) > _CACHE_SIZE:
                self._good.popitem(last=False)
            return known[1]
        kid, claims = known
        if claims["exp"] + LEEWAY_SECONDS < time.time():
            self._good.pop(token, None)
            raise unauthenticated("token.expired", "The access token has expired; refresh the session.")
        self._refresh()
        if kid not in self._keys:
            self._good.pop(token, None)
            raise unauthenticated("token.invalid", "The access token is not valid; log in again.")
        return claims

    def _decode(self, token: str) -> tuple[str, Mapping[str, Any]]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != TYPE or header.get("alg") != "EdDSA":
                raise jwt.InvalidTokenError("type or algorithm")
            kid = str(header.get("kid", ""))
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(kid),
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "sid", "jti"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthenticated("token.expired", "The access token has expired; refresh the session.") from None
        except jwt.PyJWTError:
            raise unauthenticated("token.invalid", "The access token is not valid; log in again.") from None
        return kid, claims

    def _key(self, kid: str) -> ed25519.Ed25519PublicKey:
        if kid in self._keys:
            self._refresh()
        elif time.monotonic() - self._fetched_at > _REFETCH_SECONDS:
            self._fetch()
        if kid not in self._keys:
            raise jwt.InvalidTokenError("unknown key id")
        return self._keys[kid]

    def _refresh(self) -> None:
        """Ask for the keys again now and then, so that a revoked one is believed no longer."""
        if time.monotonic() - self._fetched_at < _FRESH_SECONDS:
            return
        # At once, so that one request alone waits for the answer; the others go on with the keys that there are.
        self._fetched_at = time.monotonic()
        try:
            self._fetch()
        except ServiceError as error:
            if error.kind != "unavailable":
                raise

    def _fetch(self) -> None:
        keys = self._source()
        self._fetched_at = time.monotonic()
        self._keys = {
            str(jwk["kid"]): key
            for jwk in keys
            if isinstance(key := jwt.PyJWK.from_dict(dict(jwk), algorithm="EdDSA").key, ed25519.Ed25519PublicKey)
        }


_of_this_process: list[TokenVerifier] = []


def use_verifier(verifier: TokenVerifier) -> None:
    """Set the verifier of this process; the runner does so before the first call arrives."""
    _of_this_process[:] = [verifier]


def verify(token: str) -> Mapping[str, Any]:
    """Return the claims of a good token, checked by this process's verifier.

    Raises:
        token.missing, token.invalid, token.expired: the token is not good.
        service.unavailable: there is no verifier yet, or the issuer's keys cannot be had.
    """
    if not _of_this_process:
        raise unavailable(detail="The keys that check logins are not there yet; try again in a moment.")
    return _of_this_process[0].verify(token)
