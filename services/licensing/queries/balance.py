"""The balance of projects (BAL-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.accounts.api import SCOPE_READ, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.paging import Listing
from services.licensing import access
from services.licensing.store import projects as store
from services.licensing.store.catalogue import get_catalogue
from services.projects.api import ProjectsClient


def get_balance(
    database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient
) -> dict[str, Any]:
    """Return what one project holds, or all own projects together with their shares; foreign ones never count there.

    Raises: projects.not_found, accounts.company_needed without a project.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_READ)
    project_id = request["project"] or actor.project_id
    if project_id is not None:
        access.see_project(call, database, projects, project_id)
        chosen = [project_id]
        rows = database.read(lambda connection: store.stock(connection, project_ids=chosen))
    else:
        actor.require_company()
        rows = database.read(lambda connection: store.stock(connection, company_ids=actor.company_ids))
    listing = Listing(call, "get_balance", request)
    shares: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        share = {"id": row.project_id, "name": row.name, "quantity": row.n}
        shares.setdefault(row.license_type, []).append(share)
    catalogue = get_catalogue(database)
    held = [(place, t) for place, t in enumerate(catalogue.license_types.values()) if t.id in shares]
    page, following = listing.cut(held, lambda item: item[0])
    items = [
        {
            "license_type": t.id,
            "name": t.name,
            "version": t.version,
            "quantity": sum(share["quantity"] for share in shares[t.id]),
            "projects": shares[t.id],
        }
        for _, t in page
    ]
    return {"items": items, "next": following}
