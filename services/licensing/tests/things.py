"""A device as the ledger's tests need it: its key, its certificate, and the returns that it signs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.chassis.context import Call
from services.licensing.files.returns import write_return
from services.licensing.files.signing import sign

if TYPE_CHECKING:
    from services.licensing.tests.world import World


class Thing:
    """A device that gets files and gives them back, by the commands of production.

    Args:
        world: where it is used.
        device_id: the record of it.
    """

    def __init__(self, world: World, device_id: str) -> None:
        self.world = world
        self.device_id = device_id
        self.hardware_id = world.devices.records[device_id].hardware_id
        self.certify()

    def certify(self) -> None:
        """Make a new key and let the vendor's staff certify it."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.hardware_id.replace("-", ""))])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, hashes.SHA256())
        pem = request.public_bytes(serialization.Encoding.PEM).decode()
        answer = self.world.ask("request_certificate", self.world.staff(), device_id=self.device_id, pem=pem)
        certificate = x509.load_pem_x509_certificate(answer["content"].encode())
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)
        self.certificate_serial = f"{certificate.serial_number:x}"

    def file(self, call: Call | None = None, *, encrypted: bool = True) -> dict[str, Any]:
        """Issue the present license file of the version 8."""
        return self.world.ask(
            "issue_license_file",
            call or self.world.admin(),
            device_id=self.device_id,
            version=8,
            encrypted=encrypted,
            confirm_no_return=not encrypted,
        )

    def write_return(self, file: dict[str, Any]) -> str:
        """Sign that a file is given up."""
        rows = (
            "TESSERA LICENSE RETURN",
            "format: 1",
            "algorithm: ES256",
            f"device: {self.hardware_id}",
            f"serial: {file['serial']}",
            f"counter: {file['counter']}",
            f"nonce: {secrets.token_hex(16)}",
            f"created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "END",
            "",
        )
        signed = "\n".join(rows).encode()
        return write_return(self.certificate, sign(self.key, signed), signed)

    def give_up(self, file: dict[str, Any], call: Call | None = None) -> dict[str, Any]:
        """Give a file back."""
        return self.world.ask("return_licenses", call or self.world.admin(), xml=self.write_return(file))
