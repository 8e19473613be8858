"""Fixtures of the tests of files, returns and certificates: the room's database, and a device that speaks to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from clients.device import Device, DeviceError
from clients.device.portal import Answer, Portal
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call, make_database
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings
from services.chassis.wrong_fields import load_request
from services.devices.fake import FakeDevices
from services.licensing.api import files as api
from services.licensing.api import possession as possession_api
from services.licensing.commands import authority, certificates, files, possession, returns
from services.licensing.store import ledger, lines, projects
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import NewLine
from services.projects.api import ProjectCopy

GATEWAY_URL = "http://127.0.0.1:9"
IP6000, IP800 = "00-90-33-08-20-20", "00-90-33-08-20-21"


@dataclass
class Room:
    """The commands of files behind the schemas of their entrypoints, beside a double of devices."""

    database: Database
    devices: FakeDevices = field(default_factory=FakeDevices)
    settings: Settings = field(default_factory=lambda: Settings.from_environment({}))

    @property
    def keystore(self) -> KeyStore:
        """Return the room's keys."""
        assert self.database.keystore is not None
        return self.database.keystore

    def ask(self, name: str, call: Call, **request: Any) -> dict[str, Any]:
        """Call an entrypoint by its name, through its schema; the answer must be JSON."""
        loaded = load_request((api.REQUESTS | possession_api.REQUESTS)[name](), request)
        database, keystore = self.database, self.keystore
        devices: Any = self.devices
        calls: dict[str, Any] = {
            "issue_license_file": lambda: files.issue_license_file(database, keystore, call, loaded, devices),
            "get_license_file": lambda: files.get_license_file(database, keystore, call, loaded, devices),
            "fetch_device_file": lambda: files.fetch_device_file(database, keystore, call, loaded, devices),
            "return_licenses": lambda: returns.return_licenses(database, call, loaded, devices),
            "return_device_licenses": lambda: returns.return_device_licenses(database, call, loaded, devices),
            "request_certificate": lambda: certificates.request_certificate(
                database, keystore, call, loaded, devices, self.settings
            ),
            "request_device_certificate": lambda: certificates.request_device_certificate(
                database, keystore, call, loaded, devices, self.settings
            ),
            "prove_possession": lambda: possession.prove_possession(database, call, loaded, devices),
            "get_possession": lambda: possession.get_possession(database, call, loaded, devices, self.settings),
            "list_certificates": lambda: certificates.list_certificates(database, call, loaded, devices),
            "revoke_certificate": lambda: certificates.revoke_certificate(database, call, loaded),
            "signing_keys": lambda: authority.signing_keys(keystore),
            "device_ca": lambda: authority.device_ca(database, keystore),
            "device_crl": lambda: authority.device_crl(database, keystore),
        }
        answer: dict[str, Any] = json.loads(json.dumps(calls[name]()))
        return answer

    def company(self) -> Company:
        """Make a company with one project that is known here."""
        company = Company(new_id(), new_id(), new_id())
        copy = ProjectCopy(company.project_id, company.id, "DEFAULT", "open")
        self.database.write(lambda unit: projects.save(unit.connection, copy))
        return company

    def hold(self, hardware_id: str, company: Company, model: str = "IP800", *, proven: bool = True) -> str:
        """Let a company have a device; returns the id of the record."""
        if hardware_id not in self.devices.built:
            self.devices.produce(hardware_id, model)
        return self.devices.hold(hardware_id, company_id=company.id, project_id=company.project_id, proven=proven)

    def put(self, hardware_id: str, company: Company, license_type: str, quantity: int, *, paid: bool = False) -> str:
        """Put licenses on a device as an assignment does, `paid` by the company's project; returns the line's id."""
        line_id, transfer_id = new_id(), new_id()
        draws = [(company.project_id, quantity)] if paid else []

        def work(unit: Unit) -> None:
            ledger.lock_device(unit, hardware_id)
            ledger.ensure_pool(unit.connection, ledger.ISSUED)
            entries = [
                Entry(ledger.ISSUED, license_type, -quantity),
                Entry(ledger.device_pool(hardware_id), license_type, quantity),
            ]
            ledger.post(unit, transfer_id, "assign", entries, company_id=company.id)
            line = NewLine(
                id=line_id,
                hardware_id=hardware_id,
                license_type=license_type,
                quantity=quantity,
                transfer_id=transfer_id,
                company_id=company.id,
                project_id=company.project_id,
                paid=draws,
                assigned_by=new_id(),
                assigned_at=unit.now,
            )
            lines.insert(unit.connection, [line])

        self.database.write(work)
        return line_id

    def balance(self, company: Company, license_type: str) -> int:
        """Return what the company's project holds."""
        pool = ledger.project_pool(company.project_id)
        return self.database.read(lambda connection: ledger.balance_of(connection, pool, license_type))

    def events(self, type: str | None = None) -> list[dict[str, Any]]:
        """Return what is in the outbox, oldest first."""
        rows = self.database.read(lambda c: c.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all())
        return [event for event in map(json.loads, rows) if type in (None, event["type"])]


@dataclass
class Company:
    """A company with one user and one project."""

    id: str
    user: str
    project_id: str

    def call(self, **changes: Any) -> Call:
        """Make a call of the company's user, with both account rights."""
        claims: dict[str, Any] = {"user": self.user, "company": self.id, "rights": ("REQUEST_CERTIFICATE",)}
        return make_call(**{**claims, **changes})

    def door(self) -> Call:
        """Make a call through the device door."""
        return self.call(scopes=("read", "device"))


class Door(Portal):
    """The gateway's device door without HTTP: the same paths, the room's own commands behind them."""

    def __init__(self, room: Room, company: Company) -> None:
        super().__init__(GATEWAY_URL)
        self.room, self.company = room, company
        self.down = False

    def get(self, path: str, etag: str | None = None) -> Answer:
        """Serve keys and files."""
        if path == "/v1/keys":
            return Answer(200, json.dumps(self.room.ask("signing_keys", Call())).encode(), None)
        answer = self._ask("fetch_device_file", path, etag=etag)
        if answer["state"] == "file":
            return Answer(200, answer["content"].encode(), answer["etag"])
        return Answer({"current": 304, "nothing": 204}[answer["state"]], b"", answer["etag"])

    def put(self, path: str, body: bytes, content_type: str, key: str) -> Answer:
        """Take returns."""
        assert content_type == "application/xml"
        return Answer(201, json.dumps(self._ask("return_device_licenses", path, xml=body.decode())).encode(), None)

    def post(self, path: str, body: bytes, content_type: str, key: str) -> Answer:
        """Take certificate requests."""
        assert content_type == "application/x-pem-file"
        answer = self._ask("request_device_certificate", path, pem=body.decode())
        return Answer(201, answer["content"].encode(), None)

    def _ask(self, name: str, path: str, **request: Any) -> dict[str, Any]:
        if self.down:
            raise DeviceError("unreachable", "The portal does not answer.")
        try:
            return self.room.ask(name, self.company.door(), hardware_id=path.split("/")[3], **request)
        except ServiceError as error:
            raise DeviceError("refused", error.detail, error.code) from error


@pytest.fixture
def room(database_uri: str, tmp_path: Path) -> Iterator[Room]:
    """Give the room, once on each kind of database."""
    database = make_database("licensing", database_uri, tmp_path)
    yield Room(database)
    database.close()


@pytest.fixture
def company(room: Room) -> Company:
    """Give a company."""
    return room.company()


@pytest.fixture
def door(room: Room, company: Company) -> Door:
    """Give the company's way through the device door."""
    return Door(room, company)


@pytest.fixture
def device(room: Room, company: Company, tmp_path: Path) -> Device:
    """Give an IP800 of the company with a key."""
    room.hold(IP800, company)
    made = Device(tmp_path / "ip800")
    made.keygen(IP800)
    return made


@pytest.fixture
def certified(device: Device, door: Door) -> Device:
    """Give the IP800 with a certificate."""
    device.request_certificate(door)
    return device


def crl(answer: dict[str, Any]) -> bytes:
    """Return the bytes of a published revocation list."""
    return base64.b64decode(answer["content_base64"])
