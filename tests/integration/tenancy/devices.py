"""Devices of the tenant matrix: built by an order, and with keys and certificates where a test needs them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clients.device.device import Device
from tests.integration.http_client import Person

XML: Final = "application/xml"
PEM: Final = "application/x-pem-file"


def macs(first: int) -> Iterator[str]:
    """Yield MAC addresses of the maker, counted up from their last three bytes."""
    while True:
        text = f"{first:06X}"
        yield f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}"
        first += 1


def certificate_request() -> str:
    """Return a certificate request for a key that nobody has seen."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def prove(person: Person, device_id: str, order_number: str) -> None:
    """Prove possession of a device by the number of its order, so that it may be certified."""
    path = f"/v1/devices/{device_id}/possession"
    answer = person.post(path, {"order_number": order_number}).expect(200)
    assert answer["possession"] == "proven"


def certify(person: Person, device_id: str, hardware_id: str, folder: Path) -> Device:
    """Return the device itself, with a key and a certificate that the person asked for."""
    device = Device(folder)
    device.keygen(hardware_id)
    answer = send_text(person, "POST", f"/v1/devices/{device_id}/certificates", device.certificate_request(), PEM)
    device.install_certificate(answer)
    device.trust(person.get("/v1/keys").content)
    return device


def install_file(person: Person, device_id: str, device: Device) -> str:
    """Download the encrypted file of a device, install it there and return its serial number."""
    answer = person.post(f"/v1/devices/{device_id}/license-files", {"encrypted": True})
    assert answer.status in (200, 201), answer.content
    installed = device.install(answer.content)
    assert installed.file is not None
    return installed.file.serial


def send_text(person: Person, method: str, path: str, text: str, media_type: str) -> bytes:
    """Send a body that is no JSON and return the body of the answer."""
    headers = {"Content-Type": media_type}
    answer = person.session.request(method, person.base + path, data=text.encode(), headers=headers, timeout=30)
    assert answer.status_code in (200, 201), answer.text
    return answer.content


def return_of_another(xml: str, hardware_id: str) -> str:
    """Return the same return as if another device had made it; the signature no longer fits."""
    start, _, rest = xml.partition("<content>")
    encoded, _, end = rest.partition("</content>")
    content = base64.b64decode(encoded)
    signature, text = content[:64], content[64:].decode()
    lines = [f"device: {hardware_id}" if line.startswith("device: ") else line for line in text.split("\n")]
    changed = base64.b64encode(signature + "\n".join(lines).encode()).decode()
    return f"{start}<content>{changed}</content>{end}"


def order(staff: Person, number: str, hardware_ids: list[str], licenses: dict[str, int]) -> dict[str, Any]:
    """Enter an order; its answer has the activation key."""
    body = {
        "number": number,
        "customer_name": f"Customer of {number}",
        "devices": [{"hardware_id": mac, "type": "IP6000", "shipped_on": "2026-11-02"} for mac in hardware_ids],
        "licenses": [{"license_type": name, "quantity": quantity} for name, quantity in licenses.items()],
    }
    entered: dict[str, Any] = staff.post("/v1/staff/orders", body).expect(201)
    return entered


def add(person: Person, project_id: str, hardware_ids: list[str], *, accept: bool = False) -> dict[str, str]:
    """Add devices to a project and return their ids by hardware id."""
    warnings = [{"hardware_id": mac, "code": "devices.in_other_company"} for mac in hardware_ids] if accept else []
    body = {"project_id": project_id, "hardware_ids": hardware_ids, "accept_warnings": warnings}
    items = person.post("/v1/devices", body).expect(200)["items"]
    assert {item["result"] for item in items} == {"added"}, items
    return {item["hardware_id"]: item["device_id"] for item in items}
