"""Private keys behind one small interface: encrypted files, a purpose each, rotation with overlap (rule S15).

A service sees only the folder of its own keys; its processes share that folder. The place where a PKCS#11 module or a
cloud KMS would be put is `KeyStore`: nobody outside reads a key file. What a purpose means does not belong here.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.settings import Settings

Algorithm = Literal["Ed25519", "ES256"]
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_TICK_NS = 100_000_000
_log = structlog.get_logger(__name__)


class KeyStoreError(RuntimeError):
    """A key cannot be read or used; the text names the file, never its content."""


@dataclass(frozen=True, slots=True)
class Key:
    """One private key: its id, purpose, algorithm and state (`active` or `verify-only`)."""

    kid: str
    purpose: str
    algorithm: Algorithm
    state: str
    created_at: str
    private: PrivateKey


class KeyStore:
    """The keys of one service.

    Args:
        folder: where this service's key files are; made with mode 0700 when missing.
        passphrase: protects the files at rest.
    """

    def __init__(self, folder: Path, passphrase: bytes) -> None:
        self._folder = folder
        self._passphrase = passphrase
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._keys: dict[str, list[Key]] = {}
        self._changed_ns = 0
        self._sealing: dict[str, AESGCM] = {}

    @classmethod
    def from_settings(cls, settings: Settings, service: str) -> KeyStore:
        """Open the key folder of one service, making the passphrase file (mode 0600) on first use."""
        path = settings.key_passphrase_file
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path.parent):
            if not path.exists():
                _write_private(path, secrets.token_urlsafe(32).encode())
        return cls(settings.key_dir / service, path.read_bytes().strip())

    def active(self, purpose: str, algorithm: Algorithm) -> Key:
        """Return the key that signs for a purpose now, making the first one when there is none."""
        for key in self._load(purpose):
            if key.state == "active":
                return key
        with _locked(self._folder):
            self._keys.pop(purpose, None)
            for key in self._load(purpose):
                if key.state == "active":
                    return key
            key = self._create(purpose, algorithm)
        self._keys.pop(purpose, None)
        return key

    def named(self, purpose: str, kid: str) -> Key:
        """Return one key of a purpose by its id, to finish what was recorded under it before a rotation.

        Raises:
            KeyStoreError: there is no such key (any more).
        """
        for key in self._load(purpose):
            if key.kid == kid:
                _log.debug("key_used", purpose=purpose, kid=kid)
                return key
        raise KeyStoreError(f"There is no key {kid} for {purpose} in {self._folder}.")

    def sign(self, purpose: str, algorithm: Algorithm, data: bytes) -> tuple[str, bytes]:
        """Sign bytes with the active key of a purpose.

        Returns:
            The key id and the signature: 64 raw bytes for Ed25519, r||s (64 bytes, as in JWS) for ES256.
        """
        key = self.active(purpose, algorithm)
        if isinstance(key.private, ed25519.Ed25519PrivateKey):
            signature = key.private.sign(data)
        else:
            r, s = decode_dss_signature(key.private.sign(data, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        _log.debug("key_used", purpose=purpose, kid=key.kid)
        return key.kid, signature

    def private_key(self, purpose: str, algorithm: Algorithm) -> PrivateKey:
        """Return the active private key of a purpose, for X.509 and token libraries that sign themselves."""
        key = self.active(purpose, algorithm)
        _log.debug("key_used", purpose=purpose, kid=key.kid)
        return key.private

    def public_jwks(self, purpose: str, algorithm: Algorithm) -> list[dict[str, Any]]:
        """Return the public keys of a purpose as JWKs (RFC 7517), active one first."""
        self.active(purpose, algorithm)
        return [_jwk(key) for key in sorted(self._load(purpose), key=lambda key: key.state != "active")]

    def rotate(self, purpose: str, algorithm: Algorithm) -> str:
        """Make a new active key for a purpose; the old one stays good for verification. Returns the new key id."""
        with _locked(self._folder):
            self._keys.pop(purpose, None)
            for key in self._load(purpose):
                self._write(key, state="verify-only")
            key = self._create(purpose, algorithm)
        self._keys.pop(purpose, None)
        return key.kid

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt bytes at rest (AES-256-GCM, random nonce) bound to a context such as a table and row id."""
        nonce = secrets.token_bytes(12)
        return nonce + self._sealer().encrypt(nonce, data, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made for the same context."""
        return self._sealer().decrypt(sealed[:12], sealed[12:], context.encode())

    def _sealer(self) -> AESGCM:
        if "sealing" not in self._sealing:
            path = self._folder / "sealing.key"
            with _locked(self._folder):
                if not path.exists():
                    wrapped = ec.generate_private_key(ec.SECP256R1())
                    _write_private(path, _encrypted(wrapped, self._passphrase))
            key = serialization.load_pem_private_key(path.read_bytes(), self._passphrase)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise KeyStoreError(f"{path} does not hold a sealing key.")
            # The file format protects private keys; the symmetric key is derived from one.
            digest = hashes.Hash(hashes.SHA256())
            digest.update(b"tessera-sealing-v1" + key.private_numbers().private_value.to_bytes(32, "big"))
            self._sealing["sealing"] = AESGCM(digest.finalize())
        return self._sealing["sealing"]

    def _load(self, purpose: str) -> list[Key]:
        self._forget_changed()
        if purpose not in self._keys:
            keys = []
            for path in sorted(self._folder.glob(f"{purpose}.*.json")):
                record = json.loads(path.read_text())
                private = serialization.load_pem_private_key(record["private"].encode(), self._passphrase)
                if not isinstance(private, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
                    raise KeyStoreError(f"{path} holds a key of an unexpected kind.")
                keys.append(
                    Key(record["kid"], purpose, record["algorithm"], record["state"], record["created_at"], private)
                )
            self._keys[purpose] = keys
        return self._keys[purpose]

    def _forget_changed(self) -> None:
        """Forget what was read if another process has written a key since, so that its rotation is seen at once."""
        changed_ns = self._folder.stat().st_mtime_ns
        if changed_ns != self._changed_ns:
            self._keys.clear()
            # Two writes can fall into one tick of the file system's clock: a fresh change is looked at again.
            self._changed_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else 0

    def _create(self, purpose: str, algorithm: Algorithm) -> Key:
        private: PrivateKey = (
            ed25519.Ed25519PrivateKey.generate() if algorithm == "Ed25519" else ec.generate_private_key(ec.SECP256R1())
        )
        now = datetime.now(UTC)
        kid = f"{purpose}-{now:%Y%m%d}-{secrets.token_hex(4)}"
        key = Key(kid, purpose, algorithm, "active", now.isoformat(), private)
        self._write(key, state="active")
        _log.info("key_created", purpose=purpose, kid=kid, algorithm=algorithm)
        return key

    def _write(self, key: Key, *, state: str) -> None:
        record = {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "state": state,
            "created_at": key.created_at,
            "private": _encrypted(key.private, self._passphrase).decode(),
        }
        _write_private(self._folder / f"{key.purpose}.{key.kid}.json", json.dumps(record, indent=1).encode())


def _encrypted(private: PrivateKey, passphrase: bytes) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def _jwk(key: Key) -> dict[str, Any]:
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm

    public = key.private.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        jwk = dict(OKPAlgorithm.to_jwk(public, as_dict=True))
        algorithm = "EdDSA"
    else:
        jwk = dict(ECAlgorithm.to_jwk(public, as_dict=True))
        algorithm = "ES256"
    return {**jwk, "kid": key.kid, "use": "sig", "alg": algorithm, "state": key.state}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Two processes of one service share the folder; only one may make a key.
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_private(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
