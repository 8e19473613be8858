"""After a theft: every signing key rotated and revoked by `tessera-admin`, and everything goes on (rule S28)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.http_client import eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.devices import certify, order

IP800 = "00-90-33-E6-00-01"
STOLEN = (
    ("licensing", "license-files"),
    ("licensing", "license-text"),
    ("history", "history-heads"),
    ("accounts", "tokens"),
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of its own: what is revoked concerns everybody in it."""
    running = Installation("embedded", tmp_path_factory.mktemp("theft") / "data").start()
    yield running
    assert running.stop() == 0


def active_key(installation: Installation, room: str, purpose: str) -> str:
    """Return the id of the key that signs for a purpose now; empty before the first one."""
    lines = [line.split() for line in installation.run("deploy.admin", "list-keys").stdout.splitlines()]
    return next((line[-1] for line in lines if line[:3] == [room, purpose, "active"]), "")


def steal(installation: Installation, room: str, purpose: str) -> str:
    """Do what the how-to says after a theft; returns the id of the stolen key."""
    # Heads are signed a minute after the start.
    stolen = eventually(lambda: active_key(installation, room, purpose), f"a key for {purpose}", 90)
    installation.run("deploy.admin", "rotate-keys", room, purpose, "--lead-seconds", "0")
    installation.run("deploy.admin", "revoke-key", room, purpose, stolen)
    return stolen


def audited(installation: Installation) -> None:
    """Audit everything, as `make audit` does."""
    assert "nothing wrong" in installation.run("deploy.audit").stdout


def test_after_a_theft_everything_goes_on(own: Installation, tmp_path: Path) -> None:
    """Issue 6.4: `revoke-key`, recommended after a theft, was a trap."""
    admin = own.admin()
    entered = order(own.staff(), "E6-THEFT", [IP800], {"port8": 20, "pbx7-100": 1})
    project = admin.get("/v1/projects").expect(200)["items"][0]["id"]
    admin.post("/v1/activations", {"project_id": project, "key": entered["activation_key"]}).expect(201)
    body = {"project_id": project, "order_number": "E6-THEFT"}
    (item,) = admin.post("/v1/devices", body).expect(200)["items"]
    device_id = item["device_id"]
    body = {"licenses": [{"license_type": name, "quantity": n} for name, n in (("port8", 20), ("pbx7-100", 1))]}
    admin.post(f"/v1/devices/{device_id}/licenses", body).expect(201)
    device = certify(admin, device_id, IP800, tmp_path / "device")
    path = f"/v1/devices/{device_id}/license-files"
    old_text = admin.post(path, {"encrypted": False, "version": 7})
    old_text.expect(201)
    first = admin.post(path, {"encrypted": True, "version": 8})
    first.expect(201)
    device.install(first.content)
    audited(own)

    stolen = {purpose: steal(own, room, purpose) for room, purpose in STOLEN}

    eventually(lambda: admin.get("/v1/me").status == 401, "tokens of the stolen key end", 15)
    admin = own.admin()
    licenses = admin.get(f"/v1/devices/{device_id}/licenses").expect(200)
    assert licenses["file"]["state"] == "outdated"
    keys = admin.get("/v1/keys")
    assert stolen["license-files"] not in keys.content.decode()
    device.trust(keys.content)
    admin.get(f"/v1/license-files/{first.headers['Location'].rsplit('/', 1)[-1]}").refused(409, "licensing.file_void")
    anew = admin.post(path, {"encrypted": True, "version": 8})
    anew.expect(201)
    assert device.install(anew.content).state == "installed"
    text = admin.post(path, {"encrypted": False, "version": 7})
    text.expect(201)
    assert text.content != old_text.content
    assert admin.get(f"/v1/devices/{device_id}/licenses").expect(200)["file"]["state"] == "current"
    audited(own)
