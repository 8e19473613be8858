"""The service in a container, on RabbitMQ with PostgreSQL and on the embedded default; projects is its own double."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.bus import identity
from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.data.migrations import upgrade
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.chassis.keys import tokens
from services.chassis.service.entrypoints import rpc
from services.chassis.service.runner import Runner
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.devices.service import DevicesService
from services.devices.tests.conftest import ORDER, SEED, register_seed
from services.projects.api import ProjectRequest
from services.projects.fake import FakeProjects

PROJECTS = FakeProjects()


class ProjectsDouble:
    """Serves projects' double under its name."""

    name = "projects"

    @rpc(ProjectRequest)
    def get_access(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell what the double tells."""
        return PROJECTS.get_access(call, project_id=request["project_id"])


class TrustingVerifier:
    """Takes a call's claims from a table in place of a signature; signatures are the chassis's own tests' matter."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}

    def sign(self, call: Call) -> Call:
        """Return the call with a token that this verifier knows."""
        token = new_id()
        self.claims[token] = dict(call.claims)
        return replace(call, token=token)

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token."""
        return dict(self.claims[token])


@pytest.fixture(params=["embedded", "rabbitmq"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the service; gives a way to call it and to sign calls."""
    environment = {"TESSERA_DATA_DIR": str(tmp_path)}
    if request.param == "rabbitmq":
        environment["TESSERA_AMQP_URI"] = request.getfixturevalue("vhost")
        environment["TESSERA_DATABASE_URI"] = request.getfixturevalue("postgresql_uri")
    settings = Settings.from_environment(environment)
    upgrade("devices", settings.service_migration_uri("devices"))
    verifier = TrustingVerifier()
    declare_topology(settings, [DevicesService, ProjectsDouble])
    runner = Runner(settings, [DevicesService, ProjectsDouble])
    runner.start()
    monkeypatch.setattr(tokens, "verify", verifier.verify)
    try:
        identity.use(settings, ["history"])
        with standalone(settings.amqp_uri, "history") as to:
            yield to("devices"), verifier.sign
    finally:
        runner.stop()


def test_the_rooms_part_of_the_story_over_the_bus(fleet: Any) -> None:
    devices, sign = fleet

    class Signing:
        def register_production(self, call: Call, **request: Any) -> Any:
            return devices.register_production(sign(call), **request)

    register_seed(Signing())
    company = new_id()
    project = PROJECTS.add(company)
    call = sign(make_call(company=company))
    answer = devices.add_devices(call, project_id=project, order_number=ORDER)
    assert answer["summary"] == {"added": len(SEED)}
    again = devices.call_with_meta(call, "add_devices", project_id=project, order_number=ORDER)
    assert (again.result, again.replayed) == (answer, True)
    device_id = answer["items"][0]["device_id"]
    facts = devices.get_device_facts(sign(make_call(company=company)), device_id=device_id)
    assert (facts["access"], facts["project_id"]) == ("own", project)
    with pytest.raises(ServiceError) as caught:
        devices.get_device(sign(make_call(company=new_id())), device_id=device_id)
    assert (caught.value.code, caught.value.status) == ("devices.device_not_found", 404)
    with pytest.raises(ServiceError) as caught:
        devices.add_devices(sign(make_call(company=company)), project_id=project)
    assert (caught.value.code, caught.value.status) == ("request.invalid", 422)


def test_its_events_can_be_read_in_order(fleet: Any) -> None:
    devices, sign = fleet
    built = [{"hardware_id": f"0000{number:02X}", "type": "IP110", "shipped_on": None} for number in range(20)]
    devices.register_production(sign(make_call(staff=True)), order_number="A", devices=built)
    deadline = time.monotonic() + 10
    while True:
        items = devices.read_events(Call(), after=0, limit=100)["items"]
        if len(items) == 20:
            break
        assert time.monotonic() < deadline, f"{len(items)} events after 10 s"
    assert [item["hardwareid"][-2:] for item in items] == [f"{number:02X}" for number in range(20)]
    assert [item["sequence"] for item in items] == list(range(1, 21))
