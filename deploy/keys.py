"""Rotation of signing keys (S15): which keys can be rotated on a running installation, and how. Nobody is logged out.

The running processes share the key folder and see a new key at once. It is published right away and signs after
the lead time, so that whoever checks signatures has it before the first one comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.chassis.keys.keystore import Algorithm, KeyStore
from services.chassis.settings import Settings

ROTATED: Final[dict[tuple[str, str], Algorithm]] = {
    ("accounts", "tokens"): "Ed25519",
    ("licensing", "license-files"): "ES256",
    ("licensing", "license-text"): "ES256",
    ("history", "history-heads"): "Ed25519",
}
"""Room and purpose -> algorithm. Sealing keys and the device authorities are not among them: what they sealed or issued
would have to be made anew."""


class RotationError(ValueError):
    """There is no such key to rotate; the text names those that there are."""


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key as the list shows it."""

    room: str
    purpose: str
    kid: str
    state: str
    active_from: str


def rotate(settings: Settings, room: str, purpose: str, lead: timedelta) -> str:
    """Make a new signing key and return its id.

    Args:
        settings: where the key folders are.
        room: whose key.
        purpose: what it signs.
        lead: how long it is published before it signs.

    Raises:
        RotationError: there is no such key.
    """
    return KeyStore.from_settings(settings, room).rotate(purpose, _algorithm(room, purpose), lead=lead)


def revoke(settings: Settings, room: str, purpose: str, kid: str) -> None:
    """Take a key out of use for good.

    Raises:
        RotationError: there is no such purpose.
        KeyStoreError: there is no such key, or it signs now.
    """
    _algorithm(room, purpose)
    KeyStore.from_settings(settings, room).revoke(purpose, kid)


def listed(settings: Settings) -> list[KeyLine]:
    """Return all keys that can be rotated, oldest first in each purpose."""
    return [
        KeyLine(room, purpose, key.kid, state, key.active_from.isoformat(timespec="seconds"))
        for room, purpose in ROTATED
        for key, state in KeyStore.from_settings(settings, room).states(purpose)
    ]


def _algorithm(room: str, purpose: str) -> Algorithm:
    algorithm = ROTATED.get((room, purpose))
    if algorithm is None:
        known = ", ".join(" ".join(pair) for pair in ROTATED)
        raise RotationError(f"There is no key {room} {purpose} to rotate; there are: {known}.")
    return algorithm
