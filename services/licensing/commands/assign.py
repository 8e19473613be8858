"""Assigning licenses to a device (LIC-1 to LIC-3): the busiest write of the product, so its statements are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts.api import Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, unavailable
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import repeatable, run
from services.devices.api import DevicesClient
from services.licensing import access, api
from services.licensing.access import Device
from services.licensing.commands.naming import merged_lines, name_of, refuse_not_offered, rule_violated
from services.licensing.domain.amounts import LineAmount, Share, Shortage
from services.licensing.domain.catalogue import Catalogue, DeviceType, LicenseType
from services.licensing.domain.drawing import Draw, plan_draws
from services.licensing.domain.rules import RuleViolationError, check_assignment
from services.licensing.store import ledger, lines, projects
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.licensing.store.lines import NewLine
from services.projects.api import ADD, DRAW, OPEN, ProjectCopy, ProjectsClient


@command(
    request=api.AssignLicensesRequest,
    answer=api.AssignedLicenses,
    needs=(needs.WRITE,),
    rehearsable=True,
    raises=(
        "devices.device_not_found",
        "projects.not_found",
        "projects.archived",
        "projects.closed",
        "access.power_needed",
        "licensing.license_type_unknown",
        "licensing.version_not_offered",
        "licensing.device_rma",
        "licensing.rule_violated",
        "licensing.insufficient_balance",
        "licensing.source_not_usable",
    ),
    emits=("licenses_assigned",),
)
@repeatable
def assign_licenses(
    database: Database, call: Call, request: Mapping[str, Any], *, devices: DevicesClient, projects: ProjectsClient
) -> Answer:
    """Put licenses on a device, or rehearse it; its project pays, then `sources` as listed (LIC-1 to LIC-3)."""
    actor = Actor.of(call)
    device = access.get_device(call, devices, request["device_id"], ADD)
    catalogue = get_catalogue(database)
    new = merged_lines(catalogue, request["licenses"])
    refuse_not_offered(catalogue, new)
    if request["sources"]:
        device.require(DRAW)
        access.own_projects(call, database, projects, request["sources"])
    assignment = _Assignment(actor, device, catalogue, new, request["sources"], is_rehearsal=request["dry_run"])
    try:
        return run(database, call, request, assignment)
    except UnknownProjectError:
        # Nothing was changed: the device moved into a project that was never heard of here.
        access.know_project(call, database, projects, device.project_id)
        return run(database, call, request, assignment)


def device_type_of(catalogue: Catalogue, model: str) -> DeviceType:
    """Return a model's row of the catalogue; a model without one can hold nothing but what has no maximum."""
    return catalogue.device_types.get(model) or DeviceType(model, "gateway", 0, {})


def resolved(catalogue: Catalogue, quantities: Mapping[str, int]) -> dict[LicenseType, int]:
    """Return quantities by license type instead of by its id."""
    return {catalogue.license_types[license_type]: n for license_type, n in quantities.items()}


class UnknownProjectError(Exception):
    """A device is in a project that has no copy here yet; nothing was changed."""


class _Assignment:
    """One assignment, as a unit of work that may run more than once."""

    def __init__(
        self,
        actor: Actor,
        device: Device,
        catalogue: Catalogue,
        new: Mapping[LicenseType, int],
        sources: Sequence[str],
        *,
        is_rehearsal: bool,
    ) -> None:
        self.actor = actor
        self.device = device
        self.catalogue = catalogue
        self.new = new
        self.sources = [source for source in sources if source != device.project_id]
        self.is_rehearsal = is_rehearsal

    def __call__(self, unit: Unit) -> Mapping[str, object]:
        """Check, book, note the lines, tell the companies."""
        access.refuse_rma(self.device)
        access.lock(unit, self.actor, self.device)
        project, installed = projects.get_beside_pool(
            unit.connection, self.device.project_id, ledger.device_pool(self.device.hardware_id)
        )
        if project is None:
            raise UnknownProjectError(self.device.project_id)
        project.require_open()
        self._check_rules(installed)
        known = {project.id: project, **self._sources_as_they_are(unit)}
        transfer_id = new_id()
        draws = self._draw(unit)
        assigned = self._note_lines(unit, transfer_id, draws)
        ledger.post_at_end(
            unit, transfer_id, "assign", self._entries(draws),
            company_id=self.device.company_id, shortage=lambda: self._shortage(unit),
        )  # fmt: skip
        return self._tell(unit, assigned, draws, known)

    def _sources_as_they_are(self, unit: Unit) -> dict[str, ProjectCopy]:
        """Return the chosen projects, looked at again in the transaction (L20)."""
        known = projects.get_many(unit.connection, self.sources)
        if any(copy.state != OPEN or not self.actor.owns(copy.company_id) for copy in known.values()):
            raise unavailable(detail="A chosen project has just changed; nothing was booked. Repeat the request.")
        return known

    def _check_rules(self, installed: Mapping[str, int]) -> None:
        try:
            check_assignment(
                device_type_of(self.catalogue, self.device.type), resolved(self.catalogue, installed), self.new
            )
        except RuleViolationError as violation:
            raise rule_violated(violation) from None

    @property
    def _needed(self) -> dict[str, int]:
        return {license_type.id: n for license_type, n in self.new.items() if license_type.from_stock}

    def _draw(self, unit: Unit) -> list[Draw]:
        if not self.sources:
            # The conditional update of the booking decides; a look before it would only cost a statement.
            return [Draw(self.device.project_id, license_type, n) for license_type, n in self._needed.items()]
        order = [self.device.project_id, *self.sources]
        pools = {ledger.project_pool(project_id): project_id for project_id in order}
        locked = ledger.lock_stock(unit.connection, list(pools), list(self._needed))
        stock = {(pools[pool_id], license_type): n for (pool_id, license_type), n in locked.items()}
        draws, missing = plan_draws(self._needed, stock, order)
        if missing:
            raise self._shortage(unit)
        return draws

    def _entries(self, draws: Sequence[Draw]) -> list[Entry]:
        target = ledger.device_pool(self.device.hardware_id)
        entries = [Entry(ledger.project_pool(d.project_id), d.license_type, -d.quantity) for d in draws]
        entries += [Entry(ledger.ISSUED, t.id, -n) for t, n in self.new.items() if not t.from_stock]
        return entries + [Entry(target, license_type.id, n) for license_type, n in self.new.items()]

    def _note_lines(self, unit: Unit, transfer_id: str, draws: Sequence[Draw]) -> list[LineAmount]:
        new: list[NewLine] = []
        assigned: list[LineAmount] = []
        for license_type, quantity in self.new.items():
            line_id = new_id()
            paid = [(d.project_id, d.quantity) for d in draws if d.license_type == license_type.id]
            new.append(
                NewLine(
                    id=line_id,
                    hardware_id=self.device.hardware_id,
                    license_type=license_type.id,
                    quantity=quantity,
                    transfer_id=transfer_id,
                    company_id=self.device.company_id,
                    project_id=self.device.project_id,
                    paid=paid or [(ledger.ISSUED, quantity)],
                    assigned_by=self.actor.user_id,
                    assigned_at=unit.now,
                )
            )
            told = None if self.is_rehearsal else line_id
            assigned.append(
                {"id": told, "license_type": license_type.id, "name": license_type.name, "quantity": quantity}
            )
        lines.insert(unit.connection, new)
        return assigned

    def _tell(
        self, unit: Unit, assigned: list[LineAmount], draws: Sequence[Draw], known: Mapping[str, ProjectCopy]
    ) -> Mapping[str, object]:
        drawn: list[Share] = [
            {
                "id": d.project_id,
                "name": known[d.project_id].name,
                "license_type": d.license_type,
                "quantity": d.quantity,
            }
            for d in draws
        ]
        for company_id in self.device.concerned(self.actor):
            unit.emit(
                "licenses_assigned",
                subject=self.device.hardware_id,
                data={
                    "project": known[self.device.project_id].ref(),
                    "licenses": assigned,
                    "drawn": self.device.shares_of(company_id, self.actor, drawn, known),
                    "copy": company_id != self.device.company_id,
                },
                company_id=company_id,
                project_id=self.device.project_id,
                device_id=self.device.device_id,
                hardware_id=self.device.hardware_id,
            )
        return {"licenses": assigned, "drawn": drawn}

    def _shortage(self, unit: Unit) -> ServiceError:
        """Make the refusal of LIC-3: what is missing, and which own projects hold some."""
        needed = self._needed
        chosen = [self.device.project_id, *self.sources]
        held = projects.stock(unit.connection, project_ids=chosen, license_types=list(needed))
        stock = {(row.id, row.license_type): row.quantity for row in held}
        _, missing = plan_draws(needed, stock, chosen)
        if not missing:
            # Somebody put licenses back between the booking and this look; the same request may work now.
            return unavailable(detail="The balance changed in the meantime; nothing was booked. Repeat the request.")
        others = projects.stock(unit.connection, company_ids=self.actor.company_ids, license_types=list(missing))
        shortages: list[Shortage] = [
            {
                "license_type": license_type,
                "name": name_of(self.catalogue, license_type),
                "needed": needed[license_type],
                "missing": quantity,
                "projects": [
                    {"id": row.id, "name": row.name, "available": row.quantity}
                    for row in others
                    if row.license_type == license_type
                    and row.id != self.device.project_id
                    # A token that is bound to one project learns of no other.
                    and self.actor.project_id in (None, row.id)
                ],
            }
            for license_type, quantity in missing.items()
        ]
        return insufficient(shortages, with_sources=bool(self.sources))


def insufficient(shortages: Sequence[Shortage], *, with_sources: bool = False) -> ServiceError:
    """Make `licensing.insufficient_balance`."""
    texts = [f"{s['missing']} {s['name']}" for s in shortages]
    others = any(s["projects"] for s in shortages)
    where = "in the project and the chosen others" if with_sources else "in the project"
    remedy = (
        "choose projects that hold some as `sources`, in the order in which to draw."
        if others
        else "take fewer, or add an activation key."
    )
    return conflict(
        "licensing.insufficient_balance",
        f"There are too few licenses {where}: {', '.join(texts)} missing; {remedy}",
        shortages=list(shortages),
    )
