"""Doubles of what stands behind the gateway: rooms that answer from a table, tokens that are signed here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.row import Reply
from services.chassis.context import Call
from services.chassis.errors import ServiceError, not_found
from services.chassis.ids import new_id
from services.chassis.keys.tokens import AUDIENCE, ISSUER, TYPE, TokenVerifier

Behavior = Callable[[Call, dict[str, Any]], dict[str, Any]]

COMPANY, USER, SESSION = new_id(), new_id(), new_id()


class FakeRooms:
    """Rooms that answer what a test says, an empty page otherwise, and remember who asked what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Call, dict[str, Any]]] = []
        self.behavior: dict[tuple[str, str], Behavior | ServiceError] = {}
        self.replayed = False

    def on(self, service: str, rpc: str, behavior: Behavior | ServiceError | dict[str, Any]) -> None:
        """Let an RPC answer a value, raise an error or run a function."""
        if isinstance(behavior, dict):
            answer = behavior
            behavior = lambda call, arguments: answer  # noqa: E731
        self.behavior[service, rpc] = behavior

    def call(self, service: str, rpc: str, call: Call, arguments: Mapping[str, Any]) -> Reply:
        """Answer as the test said."""
        self.calls.append((service, rpc, call, dict(arguments)))
        behavior = self.behavior.get((service, rpc))
        if isinstance(behavior, ServiceError):
            raise behavior
        if behavior is None:
            return Reply({"items": [], "next": None}, self.replayed)
        return Reply(behavior(call, dict(arguments)), self.replayed)

    def named(self, rpc: str) -> list[tuple[Call, dict[str, Any]]]:
        """Return calls and arguments of one RPC."""
        return [(call, arguments) for _, name, call, arguments in self.calls if name == rpc]


class Tokens:
    """Signs access tokens as accounts does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = [{**public, "kid": "k1"}]
        self.verifier = TokenVerifier(lambda: self.jwks)

    def make(self, **changes: Any) -> str:
        """Return a token; without changes that of a company's admin with both scopes."""
        now = int(time.time())
        claims = {
            "sub": USER, "sid": SESSION, "jti": new_id(), "iat": now, "exp": now + 900, "iss": ISSUER, "aud": AUDIENCE,
            "company": COMPANY, "companies": [COMPANY], "role": "admin", "rights": [], "staff": False,
            "scopes": ["read", "write", "account", "device"], "project": None, "lang": "en",
            "auth_time": now,
        } | changes  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": "k1", "typ": TYPE})


def nothing_there(code: str = "devices.device_not_found") -> ServiceError:
    """Return a room's answer about an object that is not there, or not the caller's."""
    return not_found(code, "There is no such device in your company's projects.")
