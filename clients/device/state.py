"""The device's folder: private key, certificate, pinned keys, installed file, highest counter.

Every file is replaced whole (write, fsync, rename), so that a power cut leaves the old or the new state, never half of
one. The highest counter outlives the installed file: what was given back cannot be installed again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients.device.errors import DeviceError
from clients.device.formats import Keys, read_keys


class State:
    """The folder of one device, mode 0700, every file in it 0600.

    Args:
        folder: where it is; made by `create`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while the device changes its state."""
        if not self.folder.is_dir():
            raise DeviceError("not_ready", f"There is no device folder {self.folder}; run keygen first.")
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def create(self, hardware_id: str) -> None:
        """Make the folder for a device.

        Raises:
            DeviceError: `exists` when it is another device's.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        record = self.record()
        if record.setdefault("hardware_id", hardware_id) != hardware_id:
            raise DeviceError("exists", f"The folder {self.folder} belongs to the device {record['hardware_id']}.")
        self.save_record(record)

    def record(self) -> dict[str, Any]:
        """Return what is kept in `device.json`: hardware_id, last_counter, returned_counter, etag."""
        path = self.folder / "device.json"
        if not path.exists():
            return {}
        try:
            record = json.loads(path.read_text())
        except ValueError as error:
            raise DeviceError("unexpected", f"{path} is damaged: {error}.") from error
        return record if isinstance(record, dict) else {}

    def save_record(self, record: dict[str, Any]) -> None:
        """Replace `device.json`."""
        self.write("device.json", json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")

    @property
    def hardware_id(self) -> str:
        """Return the device's hardware id.

        Raises:
            DeviceError: `not_ready` before `create`.
        """
        hardware_id = self.record().get("hardware_id")
        if not hardware_id:
            raise DeviceError("not_ready", f"There is no device in {self.folder}; run keygen first.")
        return str(hardware_id)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None when there is none."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file whole, mode 0600."""
        temporary = self.folder / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.folder / name)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.folder / name).unlink(missing_ok=True)

    def key(self, name: str = "key.pem") -> ec.EllipticCurvePrivateKey | None:
        """Return the private key, None when there is none yet."""
        data = self.read(name)
        if data is None:
            return None
        key = serialization.load_pem_private_key(data, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise DeviceError("unexpected", f"{self.folder / name} is not an elliptic curve key.")
        return key

    def save_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Store a private key."""
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.write(name, pem)

    def certificate(self) -> x509.Certificate | None:
        """Return the device's certificate, None when there is none yet."""
        data = self.read("certificate.pem")
        return None if data is None else x509.load_pem_x509_certificates(data)[0]

    def verification_keys(self) -> Keys:
        """Return the pinned verification keys by id, none before they were fetched or imported."""
        data = self.read("keys.json")
        return {} if data is None else read_keys(json.loads(data))
