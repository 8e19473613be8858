"""The double of licensing for other rooms' tests: in memory, the same catalogue, rules and refusals, no files.

Held true by `tests/test_contract.py`, which runs against it and against the real room. It books without a ledger,
neither counts wrong keys nor emits events, and knows a repetition only by the number of an order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.errors import conflict, invalid, not_found
from services.chassis.ids import new_id
from services.devices.api import DevicesClient
from services.licensing import access
from services.licensing.api import REQUESTS
from services.licensing.commands.assign import device_type_of, insufficient
from services.licensing.commands.naming import merged_lines, name_of, named, refuse_not_offered, rule_violated
from services.licensing.domain.activation_keys import MistypedKeyError, format_key, new_key, parse_key
from services.licensing.domain.amounts import LineAmount, Source
from services.licensing.domain.catalogue import Catalogue, expand
from services.licensing.domain.drawing import plan_draws
from services.licensing.domain.rules import RuleViolationError, check_assignment
from services.projects.api import ADD, MANAGE_DEVICES, SEE, ProjectAccess, ProjectsClient

_CATALOGUE = Path(__file__).parent / "catalogue.json"


def shipped_catalogue() -> Catalogue:
    """Return the catalogue as shipped."""
    types, models, versions = expand(json.loads(_CATALOGUE.read_text()))
    return Catalogue.of(types, models, [version for version, offered in versions.items() if offered])


class FakeLicensing:
    """Orders, keys, balances and assignments in memory, over the doubles of devices and projects."""

    def __init__(self, devices: DevicesClient, projects: ProjectsClient) -> None:
        """Start with the shipped catalogue and without licenses."""
        self.catalogue = shipped_catalogue()
        self.devices = devices
        self.projects = projects
        self.orders: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self.keys: dict[str, dict[str, int]] = {}
        self.used: set[str] = set()
        self.names: dict[str, tuple[str, str]] = {}
        self.stock: Counter[tuple[str, str]] = Counter()
        self.lines: dict[str, dict[str, dict[str, Any]]] = {}

    def enter_order(self, call: Call, **body: Any) -> dict[str, Any]:
        """Enter an order and return it with its key; the same order again gets the same answer.

        Raises: accounts.staff_needed, licensing.order_empty, licensing.order_exists, licensing.license_type_unknown.
        """
        Actor.of(call).require_staff()
        request = REQUESTS["enter_order"]().load(body)
        if not request["devices"] and not request["licenses"]:
            raise invalid("licensing.order_empty", "The order names neither a device nor a license.")
        licenses = {t.id: n for t, n in merged_lines(self.catalogue, request["licenses"]).items()}
        if request["number"] in self.orders:
            first, answer = self.orders[request["number"]]
            if first != request:
                raise conflict("licensing.order_exists", "An order with this number and other contents exists.")
            return answer
        key = None
        if licenses:
            canonical = new_key()
            self.keys[canonical], key = licenses, format_key(canonical)
        answer = {
            "number": request["number"],
            "licenses": named(self.catalogue, licenses.items()),
            "state": "done",
            "activation_key": key,
        }
        self.orders[request["number"]] = (request, answer)
        return answer

    def activate_key(self, call: Call, **body: Any) -> dict[str, Any]:
        """Add a key to a project, or rehearse it.

        Raises: projects.not_found, access.power_needed, licensing.key_mistyped, licensing.key_unknown,
            licensing.key_used.
        """
        request = REQUESTS["activate_key"]().load(body)
        project = self._project(call, request["project_id"], ADD)
        try:
            key = parse_key(request["key"])
        except MistypedKeyError as error:
            raise invalid("licensing.key_mistyped", str(error)) from None
        if key not in self.keys:
            raise not_found("licensing.key_unknown", "This key was never given out.")
        if key in self.used:
            raise conflict("licensing.key_used", "The key has been added already.")
        answer = {"id": None, "licenses": named(self.catalogue, self.keys[key].items())}
        if request["dry_run"]:
            return answer
        self.used.add(key)
        self.stock.update({(project, license_type): n for license_type, n in self.keys[key].items()})
        return {**answer, "id": new_id()}

    def get_balance(self, call: Call, **body: Any) -> dict[str, Any]:
        """Return what a project, or all own projects together, hold.

        Raises: projects.not_found.
        """
        request, actor = REQUESTS["get_balance"]().load(body), Actor.of(call)
        if request["project"] is not None:
            chosen = {self._project(call, request["project"], SEE)}
        else:
            chosen = {project for project, (company, _) in self.names.items() if actor.owns(company)}
        items = []
        for license_type in self.catalogue.license_types.values():
            shares = [
                {"id": project, "name": self.names[project][1], "quantity": self.stock[project, license_type.id]}
                for project in sorted(chosen, key=lambda project: self.names[project][1])
                if self.stock[project, license_type.id]
            ]
            if shares:
                total = sum(self.stock[project, license_type.id] for project in chosen)
                version = license_type.version
                items.append({"license_type": license_type.id, "name": license_type.name, "version": version,
                              "quantity": total, "projects": shares})  # fmt: skip
        return {"items": items, "next": None}

    def assign_licenses(self, call: Call, **body: Any) -> dict[str, Any]:
        """Put licenses on a device, or rehearse it.

        Raises: devices.device_not_found, access.power_needed, licensing.license_type_unknown,
            licensing.version_not_offered, licensing.device_rma, licensing.rule_violated,
            licensing.insufficient_balance.
        """
        request = REQUESTS["assign_licenses"]().load(body)
        device = access.get_device(call, self.devices, request["device_id"], ADD)
        access.refuse_rma(device)
        new = merged_lines(self.catalogue, request["licenses"])
        refuse_not_offered(self.catalogue, new)
        there = self.lines.setdefault(device.hardware_id, {})
        installed = self._quantities(there.values())
        try:
            check_assignment(
                device_type_of(self.catalogue, device.type),
                {self.catalogue.license_types[t]: n for t, n in installed.items()},
                new,
            )
        except RuleViolationError as violation:
            raise rule_violated(violation) from None
        order = [self._project(call, p, ADD) for p in (device.project_id, *request["sources"])]
        needed = {t.id: n for t, n in new.items()}
        draws, missing = plan_draws(needed, self.stock, order)
        if missing:
            raise insufficient(
                [
                    {
                        "license_type": t,
                        "name": name_of(self.catalogue, t),
                        "needed": needed[t],
                        "missing": n,
                        "projects": self._others(call, t),
                    }
                    for t, n in missing.items()
                ]
            )
        amounts = named(self.catalogue, ((t.id, n) for t, n in new.items()))
        lines: list[LineAmount] = [{"id": new_id(), **amount} for amount in amounts]
        drawn = [
            {
                "id": d.project_id,
                "name": self.names[d.project_id][1],
                "license_type": d.license_type,
                "quantity": d.quantity,
            }
            for d in draws
        ]
        if request["dry_run"]:
            return {"licenses": [{**line, "id": None} for line in lines], "drawn": drawn}
        for draw in draws:
            self.stock[draw.project_id, draw.license_type] -= draw.quantity
        for line in lines:
            paid = [share for share in drawn if share["license_type"] == line["license_type"]]
            there[str(line["id"])] = {**line, "paid": paid}
        return {"licenses": lines, "drawn": drawn}

    def take_back(self, call: Call, **body: Any) -> dict[str, Any]:
        """Take an assignment back in full.

        Raises: devices.device_not_found, access.power_needed, licensing.line_not_found.
        """
        request = REQUESTS["take_back"]().load(body)
        device = access.get_device(call, self.devices, request["device_id"], MANAGE_DEVICES)
        line = self.lines.get(device.hardware_id, {}).pop(request["line_id"], None)
        if line is None:
            raise not_found("licensing.line_not_found", "The device has no such license line.")
        for share in line["paid"]:
            self.stock[share["id"], share["license_type"]] += share["quantity"]
        return {"licenses": [{k: v for k, v in line.items() if k != "paid"}], "credited": line["paid"]}

    def list_device_licenses(self, call: Call, **body: Any) -> dict[str, Any]:
        """List what is on a device.

        Raises: devices.device_not_found.
        """
        request = REQUESTS["list_device_licenses"]().load(body)
        device = access.get_device(call, self.devices, request["device_id"], SEE)
        items = [
            {k: v for k, v in line.items() if k != "paid"} for line in self.lines.get(device.hardware_id, {}).values()
        ]
        return {
            "items": items,
            "next": None,
            "floating": None,
            "file": {"state": "none", "serial": None, "fetched_at": None},
        }

    def _project(self, call: Call, project_id: str, power: str) -> str:
        found = ProjectAccess.of_answer(self.projects.get_access(call, project_id=project_id), Actor.of(call))
        found.require(power)
        self.names[project_id] = (found.project.company_id, found.project.name)
        return project_id

    def _others(self, call: Call, license_type: str) -> list[Source]:
        actor = Actor.of(call)
        return [
            {"id": project, "name": name, "available": self.stock[project, license_type]}
            for project, (company, name) in sorted(self.names.items(), key=lambda item: item[1][1])
            if actor.owns(company) and self.stock[project, license_type]
        ]

    def _quantities(self, lines: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for line in lines:
            found[line["license_type"]] += line["quantity"]
        return dict(found)
