"""What tests of every room need: a database built by the room's migrations, and calls by a person of their choice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from services.chassis.context import Call
from services.chassis.db import Database
from services.chassis.ids import new_id
from services.chassis.keystore import KeyStore
from services.chassis.migrations import upgrade


def make_database(service: str, uri: str, folder: Path, *, without: frozenset[str] = frozenset()) -> Database:
    """Return a service's database at its newest revision, with keys in `folder`."""
    upgrade(service, uri)
    return Database(service, uri, keystore=KeyStore(folder / "keys", b"test"), without=without)


def make_call(
    *,
    user: str | None = None,
    company: str | None = None,
    role: str | None = "admin",
    rights: tuple[str, ...] = (),
    staff: bool = False,
    scopes: tuple[str, ...] = ("read", "write"),
    absorbed: tuple[str, ...] = (),
    command_id: str | None = None,
    seconds: float = 30.0,
) -> Call:
    """Return a call with the claims of an access token, as if verified."""
    claims: dict[str, Any] = {
        "sub": user or new_id(),
        "sid": new_id(),
        "jti": new_id(),
        "iat": int(time.time()),
        "exp": int(time.time()) + 900,
        "company": company,
        "companies": [company, *absorbed] if company else [],
        "role": role if company else None,
        "rights": list(rights),
        "staff": staff,
        "scopes": list(scopes),
        "project": None,
        "lang": "en",
    }
    return Call(claims=claims, command_id=command_id or new_id(), deadline=time.time() + seconds)
