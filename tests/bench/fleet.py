"""A fleet with a company whose stock and devices no run of the bench empties."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.rooms import GATEWAY, ROOMS
from tests.integration.http_client import Person
from tests.integration.installation import Installation

_STOCK = 1_000_000
_DEVICES = 50  # one range; each takes 2,000 of a counted type


@dataclass
class Fleet:
    """A running fleet, and who loads it."""

    installation: Installation
    admin: Person
    devices: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Return the gateway's address."""
        return self.installation.base

    def token(self) -> str:
        """Return a fresh access token."""
        self.admin = self.installation.admin()
        return str(self.admin.tokens["access_token"])

    def memory(self) -> dict[str, float]:
        """Return MB of each service process by name; nodes, supervisor and portal are not services."""
        from tests.bench.__main__ import resident_mb

        table: dict[str, int] = json.loads((self.installation.folder / "processes.json").read_text())
        services = [name for name in sorted(table) if name.partition("-")[0] in (*ROOMS, GATEWAY)]
        return {name: resident_mb(table[name]) for name in services}


@contextmanager
def assigning_fleet(folder: Path) -> Iterator[Fleet]:
    """Start a fleet and give its demo company what the load needs."""
    installation = Installation("fleet", folder).start(180)
    try:
        staff, admin = installation.staff(), installation.admin()
        project = admin.get("/v1/projects").expect(200)["items"][0]["id"]
        order = {
            "number": "bench-1",
            "devices": [
                {"hardware_id": f"00-90-33-78-00-{number:02X}", "type": "IP6000", "shipped_on": "2026-11-02"}
                for number in range(_DEVICES)
            ],
            "licenses": [
                {"license_type": "registrations7", "quantity": _STOCK},
                {"license_type": "softwarephones7", "quantity": _STOCK},
                {"license_type": "pbx7-2000", "quantity": _DEVICES},
            ],
        }
        key = staff.post("/v1/staff/orders", order).expect(201)["activation_key"]
        admin.post("/v1/activations", {"project_id": project, "key": key}).expect(201)
        added = admin.post("/v1/devices", {"project_id": project, "order_number": "bench-1"}).expect(200)
        fleet = Fleet(installation, admin, [item["device_id"] for item in added["items"]])
        for device in fleet.devices:
            pbx = {"licenses": [{"license_type": "pbx7-2000", "quantity": 1}]}
            admin.post(f"/v1/devices/{device}/licenses", pbx).expect(201)
        yield fleet
    finally:
        installation.stop()
