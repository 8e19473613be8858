"""The double of devices for other rooms' tests: in memory, the same domain rules, the same answers.

Held true by the contract tests in `tests/test_contract.py`, which run against it and against the real room. It knows
access by what a test says (`share`), and neither counts look-ups nor emits events.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from services.accounts.api import Actor
from services.chassis.answers import dump
from services.chassis.context import Call
from services.chassis.errors import conflict, invalid, not_found
from services.chassis.ids import new_id
from services.devices.api import CLAIMED, ERRORS, PROVEN, WarrantyAnswer, canonical_hardware_id, canonical_order_number
from services.devices.domain.adding import judge, read_lines, summarize
from services.devices.domain.hardware_ids import MalformedIdError, expand_range, split_text
from services.devices.domain.holders import holder_mark
from services.devices.domain.warranty import BASE_MONTHS, warranty_on
from services.projects.api import GUEST, OWN, STAFF, powers_in


@dataclass(frozen=True, slots=True)
class _Built:
    hardware_id: str
    type: str
    order_number: str
    shipped_on: date | None = None
    warranty_months: int = BASE_MONTHS
    rma: bool = False


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    hardware_id: str
    company_id: str
    project_id: str
    comment: str = ""
    license_comment: str = ""
    proven: bool = False


@dataclass(slots=True)
class FakeDevices:
    """Devices in memory; implements `DevicesClient` as far as other rooms call it."""

    built: dict[str, _Built] = field(default_factory=dict)
    records: dict[str, _Record] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    shares: set[tuple[str, str]] = field(default_factory=set)
    closings: dict[str, str] = field(default_factory=dict)

    # --- what a test arranges ---

    def produce(self, hardware_id: str, type_name: str, order_number: str = "1", *, rma: bool = False) -> str:
        """Let a device be built; returns its canonical id."""
        canonical = canonical_hardware_id(hardware_id)
        self.built[canonical] = _Built(canonical, type_name, order_number, rma=rma)
        return canonical

    def hold(self, hardware_id: str, *, company_id: str, project_id: str, proven: bool = True) -> str:
        """Let a company have a built device in a project, proven or claimed; returns the id of the record."""
        canonical = canonical_hardware_id(hardware_id)
        self.projects[project_id] = company_id
        record = _Record(new_id(), self.built[canonical].hardware_id, company_id, project_id, proven=proven)
        self.records[record.id] = record
        return record.id

    def share(self, project_id: str, company_id: str) -> None:
        """Let a company work in a project of another one."""
        self.shares.add((project_id, company_id))

    def mark_rma(self, hardware_id: str, *, rma: bool = True) -> None:
        """Set the RMA mark or take it off."""
        canonical = canonical_hardware_id(hardware_id)
        self.built[canonical] = replace(self.built[canonical], rma=rma)

    # --- what other rooms call ---

    def get_device_facts(self, call: Call, *, device_id: str) -> dict[str, Any]:
        """Tell `DeviceFacts`; 404 `devices.device_not_found` for unknown and foreign ones alike."""
        record = self.records.get(device_id)
        facts = self._facts(Actor.of(call), record) if record is not None else None
        if facts is None:
            raise not_found("devices.device_not_found", ERRORS["devices.device_not_found"])
        return facts

    def find_device(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Tell `DeviceFacts` of the caller's company's record, else of one in a project shared with it."""
        found = self.find_devices(call, hardware_id=hardware_id)["items"]
        if not found:
            raise not_found("devices.device_not_found", ERRORS["devices.device_not_found"])
        first: dict[str, Any] = found[0]
        return first

    def find_devices(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Tell `DeviceFacts` of every record that the caller sees, own ones first."""
        actor = Actor.of(call)
        canonical = self._canonical(hardware_id)
        records = [record for record in self.records.values() if record.hardware_id == canonical]
        records.sort(key=lambda record: not actor.owns(record.company_id))
        return {"items": [facts for record in records if (facts := self._facts(actor, record)) is not None]}

    def prove_possession(self, call: Call, *, device_id: str, order_number: str) -> dict[str, Any]:
        """Prove a record by the number of the device's own order."""
        facts = self.get_device_facts(call, device_id=device_id)
        if self.built[facts["hardware_id"]].order_number != canonical_order_number(order_number):
            raise conflict("devices.not_in_order", ERRORS["devices.not_in_order"])
        return self.confirm_possession(call, device_id=device_id)

    def confirm_possession(self, call: Call, *, device_id: str) -> dict[str, Any]:
        """Prove a record."""
        facts = self.get_device_facts(call, device_id=device_id)
        self.records[device_id] = replace(self.records[device_id], proven=True)
        return {"device_id": device_id, "hardware_id": facts["hardware_id"], "possession": PROVEN}

    def register_production(
        self, call: Call, *, order_number: str, devices: list[dict[str, Any]], dry_run: bool = False
    ) -> dict[str, Any]:
        """Register an order's devices; the same again answers the same, others are refused."""
        Actor.of(call).require_staff()
        number = canonical_order_number(order_number)
        asked = {built.hardware_id: built for built in (self._read_built(number, device) for device in devices)}
        stored = {built.hardware_id: built for built in self.built.values() if built.order_number == number}
        if stored and stored != asked:
            raise conflict("devices.order_changed", ERRORS["devices.order_changed"], order_number=number)
        taken = sorted(asked.keys() & self.built.keys()) if not stored else []
        if taken:
            detail = f"Already registered under another order: {', '.join(taken[:3])}; correct the list."
            raise conflict("devices.in_other_order", detail, hardware_ids=taken)
        if not dry_run:
            self.built.update(asked)
        return {"number": number, "items": [self._order_device(asked[key]) for key in sorted(asked)]}

    def add_devices(self, call: Call, **request: Any) -> dict[str, Any]:
        """Add devices to a project that the test has made known by `hold` or `projects`."""
        actor = Actor.of(call)
        project_id, dry_run = request["project_id"], request.get("dry_run", False)
        company_id = self.projects.setdefault(project_id, actor.require_company())
        if project_id in self.closings:
            raise conflict("devices.project_closed", ERRORS["devices.project_closed"])
        accepted = {(canonical_hardware_id(w["hardware_id"]), w["code"]) for w in request.get("accept_warnings", [])}
        items = []
        for line in read_lines(self._inputs(request)):
            holders = {r.company_id for r in self.records.values() if r.hardware_id == line.hardware_id}
            ids = {line.hardware_id or ""}
            verdict = judge(
                line,
                {key: built.type for key, built in self.built.items()},
                ids if company_id in holders else (),
                ids if holders - {company_id} else (),
                accepted,
            )
            added = verdict.good and not dry_run
            result = verdict.rehearsed_result() if dry_run else "added" if added else "refused"
            device_id = (
                self.hold(
                    str(line.hardware_id),
                    company_id=company_id,
                    project_id=project_id,
                    proven="order_number" in request,
                )
                if added
                else None
            )
            code = None if result in ("added", "ok") else verdict.error or verdict.warning
            items.append(
                {
                    "input": line.shown,
                    "hardware_id": line.hardware_id,
                    "type": verdict.type,
                    "result": result,
                    "code": code,
                    "detail": (line.detail or ERRORS[code]) if code else None,
                    "device_id": device_id,
                }
            )
        return {"summary": summarize(str(item["result"]) for item in items), "items": items}

    def close_project(self, call: Call, *, project_id: str, closing_id: str, dry_run: bool = False) -> dict[str, Any]:
        """Count a project's devices and close it for a deletion if there are none."""
        Actor.of(call).require_company()
        if self.closings.get(project_id, closing_id) != closing_id and not dry_run:
            raise conflict("devices.project_closed", ERRORS["devices.project_closed"])
        count = sum(1 for record in self.records.values() if record.project_id == project_id)
        if not count and not dry_run:
            self.closings[project_id] = closing_id
        return {"devices": count}

    def reopen_project(self, call: Call, *, project_id: str, closing_id: str) -> dict[str, Any]:
        """Open a project again that this deletion closed."""
        Actor.of(call).require_company()
        if self.closings.get(project_id) == closing_id:
            del self.closings[project_id]
        return {}

    def check_warranty(self, call: Call, *, hardware_id: str) -> dict[str, Any]:
        """Tell `WarrantyAnswer` of any built device."""
        Actor.of(call)
        built = self.built.get(self._canonical(hardware_id))
        if built is None:
            raise not_found("devices.not_found", ERRORS["devices.not_found"])
        warranty = warranty_on(datetime.now(UTC).date(), built.shipped_on, built.warranty_months, 0)
        shown = {"hardware_id": built.hardware_id, "type": built.type, "rma": built.rma}
        return dump(WarrantyAnswer, {**shown, "warranty": warranty, "ssa_ends_on": None})

    def _facts(self, actor: Actor, record: _Record) -> dict[str, Any] | None:
        if actor.owns(record.company_id):
            access = OWN
        elif any((record.project_id, company_id) in self.shares for company_id in actor.company_ids):
            access = GUEST
        elif actor.staff:
            access = STAFF
        else:
            return None
        powers = powers_in(access, actor)
        built = self.built[record.hardware_id]
        group = actor.company_ids if access == OWN else (record.company_id,)
        held = [other for other in self.records.values() if other.hardware_id == record.hardware_id]
        others = {other.company_id for other in held} - {*group}
        return {
            "device_id": record.id,
            "hardware_id": record.hardware_id,
            "type": built.type,
            "company_id": record.company_id,
            "project_id": record.project_id,
            "rma": built.rma,
            "possession": PROVEN if record.proven else CLAIMED,
            "held_by_others": bool(others),
            "other_holders": sorted(holder_mark(record.hardware_id, other) for other in others),
            "access": access,
            "powers": list(powers),
            "comment": record.comment,
            "license_comment": record.license_comment,
        }

    def _inputs(self, request: dict[str, Any]) -> list[str]:
        if "range" in request:
            return expand_range(request["range"]["first"], request["range"]["last"])
        if "text" in request:
            return split_text(request["text"])
        if "order_number" in request:
            number = canonical_order_number(request["order_number"])
            return sorted(built.hardware_id for built in self.built.values() if built.order_number == number)
        return list(request["hardware_ids"])

    def _read_built(self, number: str, device: dict[str, Any]) -> _Built:
        shipped = device["shipped_on"]
        return _Built(
            hardware_id=self._canonical(device["hardware_id"]),
            type=device["type"],
            order_number=number,
            shipped_on=date.fromisoformat(shipped) if isinstance(shipped, str) else shipped,
            warranty_months=device.get("warranty_months", BASE_MONTHS),
        )

    @staticmethod
    def _order_device(built: _Built) -> dict[str, Any]:
        shipped = built.shipped_on.isoformat() if built.shipped_on else None
        return {"hardware_id": built.hardware_id, "type": built.type, "shipped_on": shipped}

    @staticmethod
    def _canonical(text: str) -> str:
        try:
            return canonical_hardware_id(text)
        except MalformedIdError as error:
            raise invalid("devices.malformed_id", str(error)) from error
