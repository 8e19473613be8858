"""Files of private keys: encrypted, written whole, one writer at a time. What a key is for does not belong here."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class KeyStoreError(RuntimeError):
    """A key cannot be read or used; the text names the file, never its content."""


def encrypted(private: PrivateKey, passphrase: bytes) -> bytes:
    """Return a private key as encrypted PEM."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def opened(path: Path, content: bytes, passphrase: bytes) -> Any:
    """Return the private key of an encrypted PEM.

    Raises:
        KeyStoreError: the passphrase is another one, or the file is damaged.
    """
    try:
        return serialization.load_pem_private_key(content, passphrase)
    except ValueError as error:
        raise KeyStoreError(f"{path} cannot be opened: the passphrase is another one, or it is damaged.") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock for a block."""
    # Two processes of one service share the folder; only one may make a key.
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read (0600), by rename into place, so that nobody reads half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def read_passphrase(path: Path, key_folder: Path) -> bytes:
    """Return the passphrase of the keys in a folder, made up and written (0600) where there are no keys yet.

    Raises:
        KeyStoreError: there are keys and no passphrase.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(path.parent):
        if not path.exists():
            if any(key_folder.glob("*/*.json")):
                raise KeyStoreError(
                    f"TESSERA_KEY_PASSPHRASE_FILE is {path}: there is no such file, and the keys in {key_folder} are "
                    "encrypted with one; bring it back, or name it."
                )
            write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_bytes().strip()
