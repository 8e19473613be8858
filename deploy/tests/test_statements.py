"""Every list and page costs as many SQL statements for many items as for few (issue 6.4: "without N+1").

The whole installation runs in this process, so that each statement can be counted by the request that it is for.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from deploy.migrate import migrate
from deploy.rooms import GATEWAY, ROOMS, service_class
from deploy.run import finish
from deploy.staff import make_first_staff
from gateway.routes import ROWS
from services.chassis.service.runner import Runner
from services.chassis.settings import Settings
from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation, free_port
from tests.integration.tenancy.devices import PEM, certify, macs, order, send_text
from tests.integration.tenancy.people import PASSWORD, found, join, register

FEW, MANY = 2, 8
LISTS = {row.path for row in ROWS if row.method == "GET" and "limit" in row.query_names}


class Statements:
    """Counts the statements of each request, in whatever room they are made."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        sa.event.listen(sa.Engine, "before_cursor_execute", self._note)

    def close(self) -> None:
        """Count no more."""
        sa.event.remove(sa.Engine, "before_cursor_execute", self._note)

    def _note(self, *_: Any) -> None:
        self.of[str(structlog.contextvars.get_contextvars().get("request_id"))] += 1


class InProcess(Installation):
    """An installation in the process of the test."""

    runner: Runner

    def start(self, seconds: float = 300.0) -> InProcess:
        """Start it; what `make run` does, without the portal."""
        http = f"127.0.0.1:{free_port()}"
        given = {"TESSERA_DATA_DIR": str(self.folder), "TESSERA_HTTP": http, "TESSERA_STAFF_OTP": "0"}
        given |= {"TESSERA_ADMIN_HTTP": "127.0.0.1:0", "TESSERA_PORTAL": "127.0.0.1:0", "TESSERA_DEMO": "0"}
        settings = Settings.from_environment(given)
        migrate(settings)
        make_first_staff(settings)
        self.base = f"http://{http}"
        self.runner = Runner(settings, [service_class(name) for name in (*ROOMS, GATEWAY)])
        self.runner.start()
        finish(settings)
        return self

    def stop(self) -> int:
        """End it."""
        self.runner.stop()
        return 0

    def staff(self) -> Person:
        """Return the first staff account, logged in."""
        account = json.loads((self.folder / "first-staff.json").read_text())
        return self.person().login(account["email"], account["password"])


class Full:
    """Somebody who has many of everything, and the addresses of their lists."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation = installation
        self.staff = installation.staff()
        self.owner = found(installation, "Olympia", "Owl", "Owl Ltd")
        self.things: dict[str, str] = {}
        addresses = macs(0xE90000)
        self.macs = [next(addresses) for _ in range(MANY)]
        (own,) = self.owner.get("/v1/projects").expect(200)["items"]
        self.project = str(own["id"])
        self._orders()
        self._projects_and_guests()
        self._people()
        self._device(folder)
        self._services()
        eventually(lambda: len(self.history()) == MANY, "the history", 120)

    def history(self) -> list[Any]:
        """Return a page of the company's history."""
        items: list[Any] = self.owner.get("/v1/history", limit=MANY).expect(200)["items"]
        return items

    def _orders(self) -> None:
        listed = self.owner.get("/v1/catalogue/license-types", version=7, limit=200).expect(200)["items"]
        types = [item["license_type"] for item in listed if item["kind"] != "floating"][:40]
        first = order(self.staff, "FULL-0", self.macs, {**dict.fromkeys(types, 3), "port8": 100})
        small = [order(self.staff, f"FULL-{n}", [], {"port8": 1}) for n in range(1, MANY)]
        for entered in (first, *small):
            body = {"project_id": self.project, "key": entered["activation_key"]}
            self.owner.post("/v1/activations", body).expect(201)
        added = self.owner.post("/v1/devices", {"project_id": self.project, "order_number": "FULL-0"}).expect(200)
        self.devices = {item["hardware_id"]: item["device_id"] for item in added["items"]}

    def _projects_and_guests(self) -> None:
        self.guests = [found(self.installation, "Gwen", f"Guest{n}", f"Guest {n} Ltd") for n in range(MANY)]
        for guest in self.guests:
            rights = f"/v1/projects/{self.project}/rights"
            self.owner.post(rights, {"email": guest.tokens["user"]["email"]}).expect(201)
        for n in range(MANY):
            made = self.owner.post("/v1/projects", {"name": f"Project {n}"}).expect(201)
            rights = f"/v1/projects/{made['id']}/rights"
            self.owner.post(rights, {"email": self.guests[0].tokens["user"]["email"]}).expect(201)

    def _people(self) -> None:
        members = [join(self.owner, register(self.installation, "Mel", f"Member{n}")) for n in range(MANY)]
        self.member = members[0]
        self.loner = register(self.installation, "Leander", "Loner")
        for host in (self.owner, *self.guests):
            host.post("/v1/company/users", {"email": self.loner.tokens["user"]["email"]}).expect(201)
        for n in range(MANY):
            self.member.post("/v1/me/tokens", {"name": f"Token {n}", "scopes": ["read"]}).expect(201)
            self.installation.person().login(self.member.tokens["user"]["email"], PASSWORD)

    def _device(self, folder: Path) -> None:
        user = self.owner.tokens["user"]["id"]
        body = {"account_rights": ["REQUEST_CERTIFICATE"]}
        self.staff.send("PATCH", f"/v1/staff/users/{user}", body).expect(200)
        self.owner.refresh()
        self.full, self.empty = self.devices[self.macs[0]], self.devices[self.macs[1]]
        for _ in range(MANY):
            licenses = {"licenses": [{"license_type": "port8", "quantity": 1}]}
            self.owner.post(f"/v1/devices/{self.full}/licenses", licenses).expect(201)
        device = certify(self.owner, self.full, self.macs[0], folder / "device")
        for _ in range(MANY):
            device.keygen(self.macs[0], renew=True)
            path = f"/v1/devices/{self.full}/certificates"
            device.install_certificate(send_text(self.owner, "POST", path, device.certificate_request(), PEM))

    def _services(self) -> None:
        made = [
            self.staff.post("/v1/staff/service-accounts", {"name": f"ERP {n}", "scopes": ["orders"]}).expect(201)
            for n in range(MANY)
        ]
        self.service = made[0]["id"]
        for _ in range(MANY):
            path = f"/v1/staff/service-accounts/{self.service}/tokens"
            self.staff.post(path, {}).expect(201)

    def asked(self) -> dict[str, list[tuple[Person, dict[str, str]]]]:
        """Return who asks for each list, and what stands in its address or its query."""
        company, member = self.owner.tokens["company"]["id"], self.member.tokens["user"]["id"]
        plain: dict[str, str] = {}
        device = {"device_id": self.full}
        return {
            "/v1/sessions": [(self.member, plain)],
            "/v1/me/tokens": [(self.member, plain)],
            "/v1/me/invitations": [(self.loner, plain)],
            "/v1/company/users": [(self.owner, plain), (self.member, plain)],
            "/v1/company/users/{user_id}/sessions": [(self.owner, {"user_id": member})],
            "/v1/company/users/{user_id}/tokens": [(self.owner, {"user_id": member})],
            "/v1/projects": [(self.owner, plain), (self.guests[0], plain)],
            "/v1/projects/{project_id}/rights": [(self.owner, {"project_id": self.project})],
            "/v1/balance": [(self.owner, plain), (self.owner, {"project": self.project})],
            "/v1/activations": [(self.owner, plain), (self.guests[1], {"project": self.project})],
            "/v1/devices": [(self.owner, plain), (self.guests[1], {"project": self.project})],
            "/v1/orders/{number}/devices": [(self.owner, {"number": "FULL-0"})],
            "/v1/devices/{device_id}/license-options": [(self.owner, {**device, "version": "7"})],
            "/v1/devices/{device_id}/licenses": [(self.owner, device), (self.guests[1], device)],
            "/v1/devices/{device_id}/certificates": [(self.owner, device)],
            "/v1/catalogue/device-types": [(self.owner, plain)],
            "/v1/catalogue/license-types": [(self.owner, plain)],
            "/v1/history": [
                (self.owner, plain),
                (self.owner, {"project": self.project}),
                (self.owner, {"context": "user", "id": self.owner.tokens["user"]["id"]}),
                (self.guests[1], {"project": self.project}),
            ],
            "/v1/staff/orders": [(self.staff, plain)],
            "/v1/staff/companies": [(self.staff, plain)],
            "/v1/staff/companies/{company_id}/users": [(self.staff, {"company_id": company})],
            "/v1/staff/users": [(self.staff, plain)],
            "/v1/staff/service-accounts": [(self.staff, plain)],
            "/v1/staff/service-accounts/{account_id}/tokens": [(self.staff, {"account_id": self.service})],
        }


@pytest.fixture(scope="module")
def statements() -> Iterator[Statements]:
    made = Statements()
    yield made
    made.close()


@pytest.fixture(scope="module")
def full(statements: Statements, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    folder = tmp_path_factory.mktemp("full")
    installation = InProcess("embedded", folder / "data").start()
    yield Full(installation, folder)
    assert installation.stop() == 0


def cost(statements: Statements, person: Person, path: str, **query: Any) -> tuple[int, Any]:
    """Return how many statements a request makes, and its answer; the least of three, as caches are filled at times."""
    counts, body = [], None
    for _ in range(3):
        answer = person.get(path, **query)
        body = answer.expect(200)
        counts.append(statements.of[answer.headers["X-Request-Id"]])
    assert min(counts) > 0 or "/catalogue/" in path, f"{path}: no statement was counted"
    return min(counts), body


def test_every_list_of_the_gateway_is_counted(full: Full) -> None:
    assert set(full.asked()) == LISTS


@pytest.mark.parametrize("route", sorted(LISTS))
def test_a_list_costs_as_many_statements_for_many_items_as_for_few(
    full: Full, statements: Statements, route: str
) -> None:
    for person, given in full.asked()[route]:
        query = {name: value for name, value in given.items() if f"{{{name}}}" not in route}
        path = route.format_map(given)
        few, short = cost(statements, person, path, limit=FEW, **query)
        many, whole = cost(statements, person, path, limit=MANY, **query)
        assert (len(short["items"]), len(whole["items"])) == (FEW, MANY), (path, query)
        assert many == few, f"{path} {query}: {few} statements for {FEW} items, {many} for {MANY}"


def test_a_page_costs_as_many_statements_for_a_thing_with_many_parts(full: Full, statements: Statements) -> None:
    few = [f"/v1/devices/{full.empty}", "/v1/staff/orders/FULL-1", f"/v1/devices/{full.empty}/license-options"]
    many = [f"/v1/devices/{full.full}", "/v1/staff/orders/FULL-0", f"/v1/devices/{full.full}/license-options"]
    for small, large in zip(few, many, strict=True):
        person = full.staff if "staff" in small else full.owner
        query = {"version": "7"} if "options" in small else {}
        assert cost(statements, person, small, **query)[0] == cost(statements, person, large, **query)[0], large


def test_two_rooms_are_counted_for_one_request(full: Full, statements: Statements) -> None:
    """The counting itself: names of persons are asked of accounts, so a list of devices costs more than the history."""
    unknown = str(uuid.uuid4())
    assert statements.of[unknown] == 0
    assert cost(statements, full.owner, f"/v1/devices/{full.full}/licenses")[0] >= 3
