"""Corrections of a balance by staff: postings with a reason, never changes of what was posted (ACC-10, L1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.accounts.api import needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import repeatable, run
from services.licensing import access, api
from services.licensing.commands.assign import insufficient
from services.licensing.commands.naming import name_of, named, unknown_type
from services.licensing.domain.amounts import Shortage
from services.licensing.store import ledger
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.projects.api import CORRECT, ProjectsClient


@command(
    request=api.CorrectBalanceRequest,
    answer=api.BalanceCorrection,
    needs=(needs.STAFF, needs.WRITE),
    raises=(
        "projects.not_found",
        "access.power_needed",
        "projects.archived",
        "projects.closed",
        "licensing.license_type_unknown",
        "licensing.insufficient_balance",
    ),
    emits=("balance_corrected",),
)
@repeatable
def correct_balance(database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient) -> Answer:
    """Put licenses into a project, or with a negative quantity take them out, by staff (ACC-10)."""
    project = access.get_project(call, database, projects, request["project_id"], CORRECT)
    catalogue = get_catalogue(database)
    license_type, quantity, reason = request["license_type"], request["quantity"], request["reason"]
    if license_type not in catalogue.license_types:
        raise unknown_type(license_type, "/license_type")
    name = name_of(catalogue, license_type)

    def work(unit: Unit) -> dict[str, object]:
        access.hold_open(unit, project.id)
        pool, correction_id = ledger.project_pool(project.id), new_id()
        # What is taken out goes back to where licenses come from, so that the vendor's total is right again.
        entries = [Entry(ledger.ISSUED, license_type, -quantity), Entry(pool, license_type, quantity)]
        try:
            ledger.post(unit, correction_id, "correct", entries, company_id=project.company_id, reason=reason)
        except ledger.ShortError:
            missing = -quantity - ledger.balance_of(unit.connection, pool, license_type)
            raise insufficient([_shortage(license_type, name, -quantity, missing)]) from None
        unit.emit(
            "balance_corrected",
            subject=correction_id,
            data={
                "project": project.ref(),
                "licenses": named(catalogue, [(license_type, quantity)]),
                "reason": reason,
            },
            company_id=project.company_id,
            project_id=project.id,
        )
        return {
            "id": correction_id,
            "project_id": project.id,
            "license_type": license_type,
            "name": name,
            "quantity": quantity,
            "balance": ledger.balance_of(unit.connection, pool, license_type),
            "reason": reason,
        }

    return run(database, call, request, work)


def _shortage(license_type: str, name: str, needed: int, missing: int) -> Shortage:
    return {"license_type": license_type, "name": name, "needed": needed, "missing": missing, "projects": []}
