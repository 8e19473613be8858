"""Signed heads: hourly proof, kept outside the database, of how long each chain was and what it ended in (L15).

A chain alone does not show that its tail was cut or that all of it was rewritten. The documents in here do, as
long as whoever changes the database cannot also sign with the key of the heads.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.chassis.keys.keystore import Key, KeyStore
from services.chassis.settings import Settings
from services.history.domain import HEADS_TAG, START, Head, heads_to_sign, read_heads, sets_aside

PURPOSE = "history-heads"
INTERVAL = timedelta(hours=1)
_log = structlog.get_logger(__name__)


class HeadsError(ValueError):
    """The file of signed heads is not what was written; the text names the file, the line and what is wrong."""


@dataclass(slots=True)
class Signed:
    """What the documents say: per chain which number had which hash, and how the last document can be continued."""

    documents: int = 0
    set_aside: int = 0
    last_at: datetime | None = None
    digest: str = START
    signing_since: datetime | None = None
    """Since when the youngest key that signed so far signs."""
    chains: dict[str, dict[int, str]] = field(default_factory=dict)

    def moved(self, heads: Sequence[Head]) -> list[Head]:
        """Pick the heads that no document has yet."""
        return [head for head in heads if head.count and self.chains.get(head.chain, {}).get(head.count) != head.hash]


class SignedHeads:
    """The documents of signed heads: one JSON line each, appended and never rewritten.

    Args:
        path: the file; its folder is made when missing.
        keys: history's key store; the heads have a key of their own in it.
    """

    def __init__(self, path: Path, keys: KeyStore) -> None:
        self._path = path
        self._keys = keys
        self._last_at: datetime | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> SignedHeads:
        """Use the file in the data folder, beside the databases and not in one."""
        return cls(settings.data_dir / "heads" / "history.jsonl", KeyStore.from_settings(settings, "history"))

    def sign_if_due(self, heads: Sequence[Head], now: datetime, *, interval: timedelta = INTERVAL) -> bool:
        """Append a document when the last one is older than the interval and a chain moved; tell whether it was.

        Several processes of history may ask at once: the file lock lets one of them write.

        Raises:
            HeadsError: the documents that are there are not good; nothing is signed on top of them.
        """
        # The documents grow for years, and reading them means checking every signature: only when it is time.
        if self._last_at is not None and now - self._last_at < interval:
            return False
        with self._locked():
            signed = self.read()
            self._last_at = signed.last_at
            if signed.last_at is not None and now - signed.last_at < interval:
                return False
            moved = signed.moved(heads)
            if not moved:
                return False
            kid = self._sign(heads_to_sign(signed.digest, now, moved))
        _log.info("heads_signed", chains=len(moved), kid=kid)
        return True

    def set_aside(self, heads: Sequence[Head], now: datetime) -> None:
        """Append a document after which those before it bind no more: history was restored and read its sources anew.

        It stays in sight for ever, and the audit tells how many documents it set aside.

        Raises:
            HeadsError: the documents that are there are not good.
        """
        with self._locked():
            kid = self._sign(heads_to_sign(self.read().digest, now, heads, restored=True))
        _log.warning("heads_set_aside", chains=len(heads), kid=kid)

    def read(self) -> Signed:
        """Read and check all documents: signatures, links, times.

        Raises:
            HeadsError: a document was changed, taken out, or cannot be read.
        """
        signed = Signed()
        if not self._path.exists():
            return signed
        keys = self._known_keys()
        for number, line in enumerate(_whole_lines(self._path.read_bytes()).splitlines(), start=1):
            try:
                self._take(signed, line, keys)
            except (ValueError, KeyError, TypeError, InvalidSignature) as error:
                reason = "the signature is not good" if isinstance(error, InvalidSignature) else str(error)
                raise HeadsError(f"{self._path}, line {number}: {reason}") from None
        return signed

    def _sign(self, payload: bytes) -> str:
        kid, signature = self._keys.sign(PURPOSE, "Ed25519", HEADS_TAG + payload)
        envelope = {"payload": payload.decode(), "kid": kid, "signature": base64.b64encode(signature).decode()}
        self._append(json.dumps(envelope, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        return kid

    def _take(self, signed: Signed, line: bytes, keys: Mapping[str, Key]) -> None:
        envelope = json.loads(line)
        payload = str(envelope["payload"]).encode()
        if envelope["kid"] not in keys:
            raise ValueError(f"signed with the key {envelope['kid']!r}, which is not one of history's")
        key = keys[envelope["kid"]]
        public = key.private.public_key()
        assert isinstance(public, Ed25519PublicKey)
        public.verify(base64.b64decode(envelope["signature"]), HEADS_TAG + payload)
        _refuse_revoked(signed, key)
        previous, at, heads = read_heads(payload)
        if previous != signed.digest:
            raise ValueError("it does not follow the document before it")
        if sets_aside(payload):
            signed.set_aside = signed.documents
            signed.chains.clear()
        for head in heads:
            signed.chains.setdefault(head.chain, {})[head.count] = head.hash
        signed.documents += 1
        signed.last_at = at
        signed.digest = hashlib.sha256(payload).hexdigest()

    def _known_keys(self) -> dict[str, Key]:
        """Return all keys that ever signed heads, the revoked ones too: what they signed before still counts (S28)."""
        return {key.kid: key for key, _ in self._keys.states(PURPOSE)}

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(len(_whole_lines(file.read())))
            file.truncate()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _refuse_revoked(signed: Signed, key: Key) -> None:
    """Refuse a revoked key behind a document of a younger one: whoever stole it may append, and date it as he likes."""
    if key.revoked_at is not None and signed.signing_since is not None and key.active_from < signed.signing_since:
        raise ValueError(f"signed with the key {key.kid!r}, which was revoked, after a younger key had signed")
    signed.signing_since = max(key.active_from, signed.signing_since or key.active_from)


def _whole_lines(content: bytes) -> bytes:
    # A kill in the middle of a write leaves a piece without a line end; it was never a document.
    return content[: content.rfind(b"\n") + 1]
