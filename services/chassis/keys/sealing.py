"""Sealing at rest: AES-256-GCM with a key for each purpose, derived by HKDF from one root."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.keys.keyfiles import KeyStoreError, encrypted, locked, opened, write_private

_MARK: Final = b"TSv2"
_NONCE: Final = 12
_SALT: Final = b"tessera-sealing"


class Sealer:
    """Seals and opens with keys derived from one root.

    Args:
        root: secret bytes of full entropy.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._of_purpose: dict[str, AESGCM] = {}
        # What was sealed before keys were derived by purpose: one key for everything.
        digest = hashes.Hash(hashes.SHA256())
        digest.update(b"tessera-sealing-v1" + root)
        self._first = AESGCM(digest.finalize())

    def seal(self, data: bytes, context: str) -> bytes:
        """Return data encrypted for a context such as `mails:<row id>`; what stands before the colon is its purpose."""
        nonce = secrets.token_bytes(_NONCE)
        return _MARK + nonce + self._key(context).encrypt(nonce, data, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed for the same context, by this version or the one before it.

        Raises:
            InvalidTag: it was sealed for another context or by another root, or it was changed.
        """
        if sealed.startswith(_MARK):
            nonce, content = sealed[4 : 4 + _NONCE], sealed[4 + _NONCE :]
            try:
                return self._key(context).decrypt(nonce, content, context.encode())
            except InvalidTag:
                # A random nonce of the first version may begin like the mark.
                pass
        return self._first.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())

    def _key(self, context: str) -> AESGCM:
        purpose = context.partition(":")[0]
        if purpose not in self._of_purpose:
            label = f"tessera/seal/v2/{purpose}".encode()
            self._of_purpose[purpose] = AESGCM(HKDF(hashes.SHA256(), 32, _SALT, label).derive(self._root))
        return self._of_purpose[purpose]


def sealer_of(folder: Path, passphrase: bytes) -> Sealer:
    """Return the sealer of a service's key folder; its key is made on first use.

    Raises:
        KeyStoreError: the key cannot be opened, or is of an unexpected kind.
    """
    path = folder / "sealing.key"
    with locked(folder):
        if not path.exists():
            write_private(path, encrypted(ec.generate_private_key(ec.SECP256R1()), passphrase))
    key = opened(path, path.read_bytes(), passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyStoreError(f"{path} does not hold a sealing key.")
    # The file format protects private keys; the symmetric keys are derived from one.
    return Sealer(key.private_numbers().private_value.to_bytes(32, "big"))
