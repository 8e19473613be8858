"""Fixtures of devices' tests: the database built by the migrations, built devices, companies, and projects' double."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call, make_database
from services.chassis.ids import new_id
from services.chassis.service.serving import procedures_of
from services.chassis.wrong_fields import load_request
from services.devices.service import DevicesService
from services.projects.fake import FakeProjects

ORDER = "4711"
SEED = {
    "00-90-33-08-20-20": "IP6000",
    "00-90-33-08-20-21": "IP800",
    "00-90-33-08-20-22": "IP302",
    "00-90-33-24-20-20": "IP110",
}


@dataclass
class Room:
    """Devices as another room sees it: the commands and queries behind the schemas of their entrypoints."""

    database: Database
    projects: FakeProjects = field(default_factory=FakeProjects)

    def ask(self, name: str, call: Call, **request: Any) -> dict[str, Any]:
        """Call an entrypoint by its name, through its schema; the answer must be JSON."""
        entrypoint, _ = _PROCEDURES[name]
        assert entrypoint.schema is not None
        loaded = load_request(entrypoint.schema(), request)
        # The room has what the service class provides, under the same names.
        answer: dict[str, Any] = json.loads(json.dumps(getattr(DevicesService, name)(self, call, loaded)))
        return answer

    def __getattr__(self, name: str) -> Any:
        if name not in _PROCEDURES:
            raise AttributeError(name)
        return lambda call, **request: self.ask(name, call, **request)

    def events(self) -> list[dict[str, Any]]:
        """Return everything in the outbox, oldest first."""
        rows = self.database.read(lambda c: c.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all())
        return [json.loads(row) for row in rows]

    def clear_events(self) -> None:
        """Empty the outbox, so that a test sees only its own events."""
        self.database.write(lambda unit: unit.execute(sa.delete(outbox)) and None)

    def company(self, **claims: Any) -> Company:
        """Make a company with one open project and a caller of it."""
        company_id = new_id()
        return Company(company_id, self.projects.add(company_id), {"company": company_id, **claims})


@dataclass
class Company:
    """A company, its first project, and how to call for it."""

    id: str
    project: str
    claims: dict[str, Any]
    user: str = field(default_factory=new_id)

    def call(self, **changes: Any) -> Call:
        """Make a call of the company's user."""
        return make_call(**{"user": self.user, **self.claims, **changes})


_PROCEDURES = procedures_of(DevicesService)


@pytest.fixture
def empty_room(database_uri: str, tmp_path: Path) -> Iterator[Room]:
    """Give the room with nothing in it, once on each kind of database."""
    database = make_database("devices", database_uri, tmp_path)
    yield Room(database)
    database.close()


@pytest.fixture
def room(empty_room: Room) -> Room:
    """Give the room with the seed's order 4711 in the production data."""
    register_seed(empty_room)
    empty_room.clear_events()
    return empty_room


def register_seed(devices: Any) -> None:
    """Register the seed's order 4711, in the room or in its double."""
    built = [{"hardware_id": key, "type": name, "shipped_on": "2026-03-01"} for key, name in SEED.items()]
    devices.register_production(staff(), order_number=ORDER, devices=built)


def staff(**changes: Any) -> Call:
    """Make a call of the vendor's staff."""
    return make_call(staff=True, **changes)


@pytest.fixture
def reseller(room: Room) -> Company:
    """Give a company."""
    return room.company()


@pytest.fixture
def customer(room: Room) -> Company:
    """Give another company."""
    return room.company()
