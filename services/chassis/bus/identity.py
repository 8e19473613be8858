"""Who calls when nobody has logged in: a service says its name by a short token signed with a key of its own (S26).

The token is bound to the service called, the method, the request and its correlation id, and lives for seconds; the key
that checks it is pinned (`pins`). A user's token is passed on unchanged and needs none of this.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import structlog

from services.chassis.bus.wire import Envelope
from services.chassis.errors import ServiceError, forbidden
from services.chassis.keys.keystore import KeyStore
from services.chassis.keys.pins import PinnedKeys
from services.chassis.settings import Settings

PURPOSE: Final = "identity"
"""Purpose of the key with which a service signs its name."""
TYPE: Final = "svc+jwt"
SECONDS: Final = 30
_LEEWAY_SECONDS: Final = 5

_log = structlog.get_logger(__name__)
_stores: dict[str, KeyStore] = {}
_pins: dict[Path, PinnedKeys] = {}


def use(settings: Settings, services: Iterable[str]) -> None:
    """Open the identity keys of the services of this process and publish their public halves; the runner does so."""
    for service in services:
        store = KeyStore.from_settings(settings, service)
        store.publish(PURPOSE, "Ed25519")
        _stores[service] = store


def sign(caller: str, called: str, method: str, correlation_id: str, request: Mapping[str, Any]) -> str | None:
    """Return the token with which a service of this process says its name, None when it runs elsewhere."""
    store = _stores.get(caller)
    if store is None:
        return None
    key, now = store.active(PURPOSE, "Ed25519"), int(time.time())
    claims = {
        "iss": caller, "aud": called, "method": method, "jti": correlation_id, "request": _digest(request),
        "iat": now, "exp": now + SECONDS,
    }  # fmt: skip
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid, "typ": TYPE})


def check(settings: Settings, called: str, envelope: Envelope, allowed: Collection[str]) -> str:
    """Return the name of the service that sent a request.

    Args:
        settings: say where the pinned keys are.
        called: the service that got it.
        envelope: the request as it came.
        allowed: who may send it.

    Raises:
        service.caller_refused: nobody signed it, or somebody who may not send it.
        service.unavailable: the caller's pinned keys are not there.
    """
    try:
        return _verified(settings, called, envelope, allowed)
    except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
        _log.error(
            "caller_refused", method=envelope.method, request_id=envelope.request_id, reason=str(error)[:100] or "?"
        )
        raise refused() from None


def refused() -> ServiceError:
    """Return the refusal of a caller that is none of the services meant."""
    return forbidden("service.caller_refused", "Only certain services of the installation may call this.")


def _verified(settings: Settings, called: str, envelope: Envelope, allowed: Collection[str]) -> str:
    if not envelope.caller:
        raise ValueError("no service signed the request")
    header = jwt.get_unverified_header(envelope.caller)
    if header.get("typ") != TYPE or header.get("alg") != "EdDSA":
        raise ValueError("type or algorithm")
    caller = str(jwt.decode(envelope.caller, options={"verify_signature": False}).get("iss"))
    # Before the name becomes part of a path.
    if caller not in allowed:
        raise ValueError("a service that may not ask this")
    path = settings.public_key_dir / caller / f"{PURPOSE}.json"
    keys = {jwk["kid"]: jwk for jwk in _pins.setdefault(path, PinnedKeys(path))()}
    claims = jwt.decode(
        envelope.caller,
        jwt.PyJWK.from_dict(keys[header["kid"]], algorithm="EdDSA").key,
        algorithms=["EdDSA"],
        audience=called,
        leeway=_LEEWAY_SECONDS,
        options={"require": ["exp", "iat", "jti", "method", "request"]},
    )
    expected = (envelope.method, envelope.correlation_id, _digest(envelope.body["kwargs"]))
    if (claims["method"], claims["jti"], claims["request"]) != expected:
        raise ValueError("signed for another request")
    return caller


def _digest(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
