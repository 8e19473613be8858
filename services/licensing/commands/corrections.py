"""Corrections of a balance by staff: postings with a reason, never changes of what was posted (ACC-10, L1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.accounts.api import SCOPE_WRITE, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.ids import new_id
from services.licensing import access
from services.licensing.commands.assign import insufficient
from services.licensing.commands.naming import name_of, named, unknown_type
from services.licensing.commands.running import repeatable, run
from services.licensing.store import ledger
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.ledger import Entry
from services.projects.api import CORRECT, ProjectsClient


@repeatable
def correct_balance(
    database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient
) -> dict[str, Any]:
    """Put licenses into a project, or with a negative quantity take them out.

    Raises: accounts.staff_needed, projects.not_found, access.power_needed, projects.archived, projects.closed,
        licensing.license_type_unknown, licensing.insufficient_balance.
    Emits: balance_corrected.
    """
    actor = Actor.of(call)
    actor.require_staff()
    actor.require_scope(SCOPE_WRITE)
    project = access.get_project(call, database, projects, request["project_id"], CORRECT)
    catalogue = get_catalogue(database)
    license_type, quantity = request["license_type"], request["quantity"]
    if license_type not in catalogue.license_types:
        raise unknown_type(license_type, "/license_type")
    name = name_of(catalogue, license_type)

    def work(unit: Unit) -> dict[str, Any]:
        access.hold_open(unit, project.id)
        pool, correction_id = ledger.project_pool(project.id), new_id()
        # What is taken out goes back to where licenses come from, so that the vendor's total is right again.
        entries = [Entry(ledger.ISSUED, license_type, -quantity), Entry(pool, license_type, quantity)]
        try:
            ledger.post(
                unit, correction_id, "correct", entries, company_id=project.company_id, reason=request["reason"]
            )
        except ledger.ShortError:
            missing = -quantity - ledger.balance_of(unit.connection, pool, license_type)
            shortage = {
                "license_type": license_type,
                "name": name,
                "needed": -quantity,
                "missing": missing,
                "projects": [],
            }
            raise insufficient([shortage]) from None
        unit.emit(
            "balance_corrected",
            subject=correction_id,
            data={
                "project": project.ref(),
                "licenses": named(catalogue, [(license_type, quantity)]),
                "reason": request["reason"],
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
            "reason": request["reason"],
        }

    return run(database, call, "correct_balance", request, work)
