"""Private keys behind one small interface: encrypted files, a purpose each, rotation with overlap (rule S15).

A service sees only the folder of its own keys; its processes share that folder and see at once what another one
changed in it. A new key is published first and signs some time later, so that whoever checks signatures has it
by then; the one before it stays good for checking until it is revoked. The place where a PKCS#11 module or a cloud KMS
would be put is `KeyStore`: nobody outside reads a key file. What a purpose means does not belong here.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from services.chassis import metrics
from services.chassis.keys.jwk import public_jwk
from services.chassis.keys.keyfiles import (
    KeyStoreError,
    PrivateKey,
    encrypted,
    locked,
    opened,
    read_passphrase,
    write_private,
)
from services.chassis.keys.pins import write_pins
from services.chassis.keys.sealing import Sealer, sealer_of
from services.chassis.settings import Settings

__all__ = ["Algorithm", "Key", "KeyStore", "KeyStoreError", "PrivateKey"]

Algorithm = Literal["Ed25519", "ES256"]
PUBLISHED: Final = "published"
ACTIVE: Final = "active"
VERIFY_ONLY: Final = "verify-only"
REVOKED: Final = "revoked"
_TICK_NS: Final = 100_000_000
_USES = metrics.counter("tessera_key_uses_total", "Uses of private keys, by what they are for.", ("room", "purpose"))
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """One private key; it signs from `active_from` on until a younger one does, or until it is revoked."""

    kid: str
    purpose: str
    algorithm: Algorithm
    created_at: datetime
    active_from: datetime
    revoked_at: datetime | None
    private: PrivateKey


class KeyStore:
    """The keys of one service.

    Args:
        folder: where this service's key files are; made with mode 0700 when missing.
        passphrase: protects the files at rest.
        public: folder for the public halves of purposes that are published; None publishes nothing.
    """

    def __init__(self, folder: Path, passphrase: bytes, public: Path | None = None) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._public = public
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._keys: dict[str, list[Key]] = {}
        self._changed_ns = 0
        self._sealer: Sealer | None = None

    @classmethod
    def from_settings(cls, settings: Settings, service: str) -> KeyStore:
        """Open the key folder of one service, making the passphrase file (mode 0600) where there are no keys yet."""
        passphrase = read_passphrase(settings.key_passphrase_file, settings.key_dir)
        return cls(settings.key_dir / service, passphrase, settings.public_key_dir / service)

    def check(self) -> None:
        """Open one key of each purpose, so that a start with another passphrase says so.

        Raises:
            KeyStoreError: a key cannot be opened; the text names the file.
        """
        for purpose in sorted({path.name.split(".", 1)[0] for path in self._folder.glob("*.*.json")}):
            self._load(purpose)

    def active(self, purpose: str, algorithm: Algorithm) -> Key:
        """Return the key that signs for a purpose now, making the first one when there is none."""
        key = self._signing(purpose)
        if key is None:
            with locked(self._folder):
                self._keys.pop(purpose, None)
                key = self._signing(purpose) or self._create(purpose, algorithm, datetime.now(UTC))
            self._keys.pop(purpose, None)
        return key

    def named(self, purpose: str, kid: str) -> Key:
        """Return one key of a purpose by its id, to finish what was recorded under it before a rotation.

        Raises:
            KeyStoreError: there is no such key, or it was revoked.
        """
        for key in self._load(purpose):
            if key.kid == kid and key.revoked_at is None:
                return self._used(key)
        raise KeyStoreError(f"There is no key {kid} for {purpose} in {self._folder}.")

    def kept(self, purpose: str, kid: str) -> Key:
        """Return a key by its id, revoked or not: to audit what it signed while it was good, never to sign (S28).

        Raises:
            KeyStoreError: there was never such a key.
        """
        for key in self._load(purpose):
            if key.kid == kid:
                return key
        raise KeyStoreError(f"There was never a key {kid} for {purpose} in {self._folder}.")

    def revoked(self, purpose: str) -> frozenset[str]:
        """Return the ids of the revoked keys of a purpose: what they signed is good for nobody but the auditor."""
        return frozenset(key.kid for key in self._load(purpose) if key.revoked_at is not None)

    def sign(self, purpose: str, algorithm: Algorithm, data: bytes) -> tuple[str, bytes]:
        """Sign bytes with the active key of a purpose.

        Returns:
            The key id and the signature: 64 raw bytes for Ed25519, r||s (64 bytes, as in JWS) for ES256.
        """
        key = self._used(self.active(purpose, algorithm))
        if isinstance(key.private, ed25519.Ed25519PrivateKey):
            signature = key.private.sign(data)
        else:
            r, s = decode_dss_signature(key.private.sign(data, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return key.kid, signature

    def private_key(self, purpose: str, algorithm: Algorithm) -> PrivateKey:
        """Return the active private key of a purpose, for X.509 and token libraries that sign themselves."""
        return self._used(self.active(purpose, algorithm)).private

    def _used(self, key: Key) -> Key:
        _USES.labels(self._folder.name, key.purpose).inc()
        _log.debug("key_used", purpose=key.purpose, kid=key.kid)
        return key

    def public_jwks(self, purpose: str, algorithm: Algorithm) -> list[dict[str, Any]]:
        """Return the public keys of a purpose as JWKs (RFC 7517), active one first; revoked ones are left out."""
        self.active(purpose, algorithm)
        keys = [(key, state) for key, state in self.states(purpose) if state != REVOKED]
        keys.sort(key=lambda pair: pair[1] != ACTIVE)
        return [public_jwk(key.kid, key.private.public_key(), state) for key, state in keys]

    def publish(self, purpose: str, algorithm: Algorithm) -> None:
        """Pin the public keys of a purpose for the other services; from then on every change of them is published.

        A new key is published before it exists for signing, a revoked one is gone before it is marked (rule S26).
        """
        self.active(purpose, algorithm)
        if self._public is not None:
            with locked(self._folder):
                self._pin(purpose)

    def states(self, purpose: str) -> list[tuple[Key, str]]:
        """Return the keys of a purpose, oldest first, each with its state now."""
        signing, now = self._signing(purpose), datetime.now(UTC)
        signing_kid = signing.kid if signing else None
        found = []
        for key in self._load(purpose):
            state = PUBLISHED if key.active_from > now else VERIFY_ONLY
            found.append((key, REVOKED if key.revoked_at else ACTIVE if key.kid == signing_kid else state))
        return found

    def rotate(self, purpose: str, algorithm: Algorithm, *, lead: timedelta = timedelta(0)) -> str:
        """Make a new key for a purpose; the one before it stays good for checking. Returns the new key id.

        Args:
            purpose: what it signs.
            algorithm: of the new key.
            lead: how long it is published before it signs; none also revokes the keys that wait to sign, which
                whoever stole the present one may have too.
        """
        self.active(purpose, algorithm)
        with locked(self._folder):
            if not lead:
                self._revoke_waiting(purpose)
            key = self._create(purpose, algorithm, datetime.now(UTC) + lead)
        return key.kid

    def revoke(self, purpose: str, kid: str) -> None:
        """Take a key out of use for good: nothing is signed with it, and it is published no more.

        Raises:
            KeyStoreError: there is no such key, or it is the one that signs now.
        """
        with locked(self._folder):
            self._keys.pop(purpose, None)
            key, signing = self.named(purpose, kid), self._signing(purpose)
            if signing is not None and signing.kid == kid:
                raise KeyStoreError(
                    f"{kid} signs for {purpose} now: rotate first, and revoke it once another one signs."
                )
            self._end(key)

    def _revoke_waiting(self, purpose: str) -> None:
        self._keys.pop(purpose, None)
        for key, state in self.states(purpose):
            if state == PUBLISHED:
                self._end(key)

    def _end(self, key: Key) -> None:
        revoked = replace(key, revoked_at=datetime.now(UTC))
        self._pin_change(revoked)
        self._write(revoked)
        _log.warning("key_revoked", purpose=key.purpose, kid=key.kid)

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt bytes at rest (AES-256-GCM, random nonce) bound to a context such as a table and row id."""
        return self._opened_sealer().seal(data, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made for the same context."""
        return self._opened_sealer().open(sealed, context)

    def _opened_sealer(self) -> Sealer:
        _USES.labels(self._folder.name, "sealing").inc()
        self._sealer = self._sealer or sealer_of(self._folder, self._passphrase)
        return self._sealer

    def _pin(self, purpose: str, changed: Key | None = None) -> None:
        assert self._public is not None
        keys = {key.kid: key for key in self._load(purpose)} | ({changed.kid: changed} if changed else {})
        jwks = [public_jwk(key.kid, key.private.public_key(), PUBLISHED) for key in keys.values() if not key.revoked_at]
        write_pins(self._public / f"{purpose}.json", jwks)

    def _pin_change(self, key: Key) -> None:
        if self._public is not None and (self._public / f"{key.purpose}.json").exists():
            self._pin(key.purpose, key)

    def _signing(self, purpose: str) -> Key | None:
        now = datetime.now(UTC)
        usable = [key for key in self._load(purpose) if key.revoked_at is None and key.active_from <= now]
        return max(usable, key=lambda key: key.active_from, default=None)

    def _load(self, purpose: str) -> list[Key]:
        self._forget_changed()
        if purpose not in self._keys:
            keys = []
            for path in sorted(self._folder.glob(f"{purpose}.*.json")):
                record = json.loads(path.read_text())
                private = opened(path, record["private"].encode(), self._passphrase)
                if not isinstance(private, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
                    raise KeyStoreError(f"{path} holds a key of an unexpected kind.")
                created, revoked = datetime.fromisoformat(record["created_at"]), record.get("revoked_at")
                active_from = datetime.fromisoformat(record.get("active_from", record["created_at"]))
                revoked_at = datetime.fromisoformat(revoked) if revoked else None
                keys.append(Key(record["kid"], purpose, record["algorithm"], created, active_from, revoked_at, private))
            self._keys[purpose] = sorted(keys, key=lambda key: key.active_from)
        return self._keys[purpose]

    def _forget_changed(self) -> None:
        """Forget what was read if another process has written a key since, so that its rotation is seen at once."""
        changed_ns = self._folder.stat().st_mtime_ns
        if changed_ns != self._changed_ns:
            self._keys.clear()
            # Two writes can fall into one tick of the file system's clock: a fresh change is looked at again.
            self._changed_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else 0

    def _create(self, purpose: str, algorithm: Algorithm, active_from: datetime) -> Key:
        private: PrivateKey = (
            ed25519.Ed25519PrivateKey.generate() if algorithm == "Ed25519" else ec.generate_private_key(ec.SECP256R1())
        )
        now = datetime.now(UTC)
        kid = f"{purpose}-{now:%Y%m%d}-{secrets.token_hex(4)}"
        key = Key(kid, purpose, algorithm, now, active_from, None, private)
        self._pin_change(key)
        self._write(key)
        _log.info("key_created", purpose=purpose, kid=kid, algorithm=algorithm, active_from=active_from.isoformat())
        return key

    def _write(self, key: Key) -> None:
        record = {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "created_at": key.created_at.isoformat(),
            "active_from": key.active_from.isoformat(),
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            "private": encrypted(key.private, self._passphrase).decode(),
        }
        write_private(self._folder / f"{key.purpose}.{key.kid}.json", json.dumps(record, indent=1).encode())
