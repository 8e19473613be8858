"""A small world for licensing's tests: its own database, the neighbors' doubles, and people who may do things."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from services.accounts.fake import FakeAccounts
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.chassis.settings import Settings
from services.devices.fake import FakeDevices
from services.licensing import api
from services.licensing.audit import check_ledger
from services.licensing.commands.assign import assign_licenses
from services.licensing.commands.certificates import request_certificate, revoke_certificate
from services.licensing.commands.corrections import correct_balance
from services.licensing.commands.deletion import delete_project
from services.licensing.commands.device_lines import take_back
from services.licensing.commands.files import issue_license_file
from services.licensing.commands.floating import remove_floating, set_floating
from services.licensing.commands.keys import activate_key
from services.licensing.commands.orders import enter_order
from services.licensing.commands.returns import return_licenses
from services.licensing.queries.balance import get_balance
from services.licensing.queries.catalogue import list_device_types, list_license_types
from services.licensing.queries.keys import get_order, list_activations, list_orders
from services.licensing.queries.licenses import get_license_options, list_device_licenses
from services.projects.fake import FakeProjects

_NEIGHBORS: Mapping[Any, tuple[str, ...]] = {
    enter_order: ("devices",),
    activate_key: ("projects",),
    list_activations: ("projects", "accounts"),
    get_balance: ("projects",),
    correct_balance: ("projects",),
    delete_project: ("devices", "projects"),
    assign_licenses: ("devices", "projects"),
    take_back: ("devices",),
    set_floating: ("devices", "projects"),
    remove_floating: ("devices", "projects"),
    get_license_options: ("devices",),
    list_device_licenses: ("devices",),
    issue_license_file: ("devices",),
    return_licenses: ("devices",),
    request_certificate: ("devices",),
    revoke_certificate: (),
    list_device_types: (),
    list_license_types: (),
    list_orders: (),
    get_order: (),
}
_SIGNING = (issue_license_file, request_certificate)
_COMMANDS = {command.__name__: command for command in _NEIGHBORS}


class World:
    """Licensing over a database, with one company, its project `home`, and staff."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.accounts = FakeAccounts()
        self.projects = FakeProjects()
        self.devices = FakeDevices()
        self.company = new_id()
        self.user = new_id()
        self.home = self.projects.add(self.company, "Home")
        self._built = 0x100000

    def ask(self, name: str, call: Call, **body: Any) -> dict[str, Any]:
        """Load a request by its schema, as the entrypoint does, and run the command or query."""
        request = {**api.REQUESTS, **api.files.REQUESTS}[name]().load(body)
        command = _COMMANDS[name]
        given: dict[str, Any] = {neighbor: getattr(self, neighbor) for neighbor in _NEIGHBORS[command]}
        if command is request_certificate:
            given["settings"] = Settings.from_environment({})
        keys = [self.database.keystore] if command in _SIGNING else []
        answer: dict[str, Any] = command(self.database, *keys, call, request, **given)
        return answer

    def admin(self, command_id: str | None = None, **changes: Any) -> Call:
        """Return a call of the company's admin."""
        return make_call(**{"user": self.user, "company": self.company, "command_id": command_id, **changes})

    def staff(self, command_id: str | None = None) -> Call:
        """Return a call of the vendor's staff."""
        return make_call(staff=True, command_id=command_id)

    def project(self, name: str, company: str | None = None) -> str:
        """Make one more project."""
        return self.projects.add(company or self.company, name)

    def device(self, model: str = "IP6000", project: str | None = None, company: str | None = None) -> str:
        """Let the company have a new device; returns the id of its record."""
        self._built += 1
        digits = f"009033{self._built:06X}"
        hardware_id = self.devices.produce(digits, model)
        return self.devices.hold(hardware_id, company_id=company or self.company, project_id=project or self.home)

    def order_key(self, licenses: Mapping[str, int], number: str | None = None) -> str:
        """Enter an order of licenses and return its key."""
        answer = self.ask(
            "enter_order",
            self.staff(),
            number=number or f"O-{new_id()}",
            licenses=[{"license_type": t, "quantity": n} for t, n in licenses.items()],
        )
        return str(answer["activation_key"])

    def stock(self, licenses: Mapping[str, int], project: str | None = None) -> None:
        """Put licenses into a project by a key."""
        self.ask("activate_key", self.admin(), project_id=project or self.home, key=self.order_key(licenses))

    def assign(self, device: str, licenses: Mapping[str, int], call: Call | None = None, **more: Any) -> dict[str, Any]:
        """Assign licenses to a device."""
        lines = [{"license_type": t, "quantity": n} for t, n in licenses.items()]
        return self.ask("assign_licenses", call or self.admin(), device_id=device, licenses=lines, **more)

    def balance(self, project: str | None = None, call: Call | None = None) -> dict[str, int]:
        """Return what a project, or all own ones, hold."""
        answer = self.ask("get_balance", call or self.admin(), project=project)
        return {item["license_type"]: item["quantity"] for item in answer["items"]}

    def installed(self, device: str) -> dict[str, int]:
        """Return what is on a device, the floating license included."""
        answer = self.ask("list_device_licenses", self.admin(), device_id=device)
        found: dict[str, int] = {}
        for line in [*answer["items"], *([answer["floating"]] if answer["floating"] else [])]:
            found[line["license_type"]] = found.get(line["license_type"], 0) + line["quantity"]
        return found

    def events(self) -> list[tuple[str, str | None]]:
        """Return type and company of all events so far, oldest first."""
        rows = self.database.read(
            lambda connection: connection.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
        )
        documents = [json.loads(row) for row in rows]
        return [(document["type"], document.get("companyid")) for document in documents]

    def told(self, type: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Return company and data of all events of a type so far, oldest first."""
        rows = self.database.read(
            lambda connection: (
                connection.execute(sa.select(outbox.c.event).where(outbox.c.type == type).order_by(outbox.c.id))
                .scalars()
                .all()
            )
        )
        return [(document.get("companyid"), document["data"]) for document in map(json.loads, rows)]

    def check(self) -> None:
        """Fail if the auditor finds anything wrong in the ledger."""
        flaws = [flaw for check in self.database.read(check_ledger, snapshot=True) for flaw in check.flaws]
        if flaws:
            raise AssertionError("\n".join(flaws))
