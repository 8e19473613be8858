"""An installation in which everything was done once, so that no table that the audit reads is empty."""

from __future__ import annotations

import uuid
from pathlib import Path

import requests

from tests.integration.http_client import eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.people import register
from tests.integration.tenancy.world import World


def live(installation: Installation, folder: Path) -> World:
    """Make the companies of the tenant matrix and do what they leave out; return when history has all of it."""
    world = World.make(installation, folder, "AUDITED", 0xE00000)
    owner, staff = world.owner, world.staff
    register(installation, "Ferdinand", "Fremd")
    form = {
        "email": f"{uuid.uuid4().hex[:8]}@audited.example",
        "password": "correct horse battery staple",
        "forename": "Never",
        "surname": "Confirmed",
        "language": "en",
        "accept_terms": True,
    }
    installation.person().post("/v1/registrations", form).expect(202)
    owner.send("PUT", "/v1/me/selected-project", {"project_id": world.things["project"]}).expect(200)
    gone = owner.post("/v1/projects", {"name": "Gone"}).expect(201)["id"]
    assert owner.send("DELETE", f"/v1/projects/{gone}").status in (200, 202, 204)
    correction = {"project_id": world.things["project"], "license_type": "port8", "quantity": -1, "reason": "audit"}
    staff.post("/v1/staff/balance-corrections", correction)
    device = world.things["slave"]
    owner.send("PUT", f"/v1/devices/{device}/floating-license", {"version": 7})
    staff.send("PATCH", f"/v1/staff/devices/{world.things['device2 hardware']}", {"rma": True})
    body = {"project_id": world.things["project"], "key": "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"}
    assert owner.post("/v1/activations", body).status in (404, 422)
    assert requests.get(f"{installation.base}/v1/device-ca.crl", timeout=30).status_code == 200
    path = f"/v1/devices/{world.things['device']}"
    owner.send("PATCH", path, {"comment": "by the gate", "license_comment": "for the gate"}).expect(200)
    eventually(lambda: installation.run("deploy.audit", check=False).returncode == 0, "a clean audit", 120)
    return world
