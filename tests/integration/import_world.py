"""Companies that import each other: what a journey and a fault run both need, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from tests.integration.http_client import Person, eventually, mailed_token
from tests.integration.installation import Installation

PASSWORD = "correct horse battery staple"
IP6000 = "IP6000"


def register(installation: Installation, name: str) -> Person:
    """Return a new user, logged in."""
    person = installation.person()
    address = f"{name}.{uuid.uuid4().hex[:8]}@import.example"
    form = {
        "email": address, "password": PASSWORD, "forename": name.capitalize(), "surname": "Imported",
        "language": "en", "accept_terms": True,
    }  # fmt: skip
    person.post("/v1/registrations", form).expect(202)
    token = mailed_token(installation.mail_folder, address, "activate")
    person.post("/v1/registrations/confirmations", {"token": token}).expect(204)
    return person.login(address, PASSWORD)


def found(installation: Installation, name: str, company: str) -> Person:
    """Return the administrator of a new company."""
    person = register(installation, name)
    person.post("/v1/companies", {"name": company}).expect(201)
    return person.refresh()


def email_of(person: Person) -> str:
    address: str = person.tokens["user"]["email"]
    return address


def login_of(person: Person, **more: Any) -> dict[str, Any]:
    """Return the body with which somebody imports this administrator's company."""
    return {"email": email_of(person), "password": PASSWORD, **more}


def macs(count: int) -> list[str]:
    """Return addresses that nobody else uses."""
    # A range of its own: other journeys take theirs above and below it.
    start = 0x300000 + uuid.uuid4().int % 0x200000
    texts = [f"{start + number:06X}" for number in range(count)]
    return [f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}" for text in texts]


def stock(
    staff: Person, person: Person, hardware_ids: list[str], licenses: dict[str, int]
) -> tuple[str, dict[str, str]]:
    """Give a company's first project licenses and devices of a new order; returns the project and the records."""
    body = {
        "number": f"import-{uuid.uuid4().hex[:10]}",
        "devices": [{"hardware_id": one, "type": IP6000, "shipped_on": "2026-11-02"} for one in hardware_ids],
        "licenses": [{"license_type": name, "quantity": quantity} for name, quantity in licenses.items()],
    }
    order = staff.post("/v1/staff/orders", body).expect(201)
    project = person.get("/v1/projects").expect(200)["items"][0]["id"]
    person.post("/v1/activations", {"project_id": project, "key": order["activation_key"]}).expect(201)
    return project, add(person, project, hardware_ids)


def add(person: Person, project: str, hardware_ids: list[str]) -> dict[str, str]:
    """Add devices, whoever has them too; returns the records by hardware id."""
    yes = [{"hardware_id": one, "code": "devices.in_other_company"} for one in hardware_ids]
    body = {"project_id": project, "hardware_ids": hardware_ids, "accept_warnings": yes}
    answer = person.post("/v1/devices", body).expect(200)
    assert answer["summary"] == {"added": len(hardware_ids)}, answer
    return {item["hardware_id"]: item["device_id"] for item in answer["items"]}


def balance(person: Person) -> dict[str, int]:
    items = person.get("/v1/balance").expect(200)["items"]
    return {item["license_type"]: item["quantity"] for item in items}


def history(person: Person, **query: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = person.get("/v1/history", limit=200, **query).expect(200)["items"]
    return lines


def finished(person: Person, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of an import and return its job."""
    path = f"/v1/jobs/{job['id']}"

    def done() -> dict[str, Any] | None:
        now: dict[str, Any] = person.get(path).expect(200)
        return now if now["state"] == "done" else None

    ended = eventually(done, "the end of the import", 60)
    assert ended is not None
    return ended
