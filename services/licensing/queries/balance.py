"""The balance of projects (BAL-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.accounts.api import Actor, needs
from services.chassis.answers import Page, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.licensing import access, api
from services.licensing.store import projects as store
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.projects import Stock
from services.projects.api import ProjectsClient


@query(
    request=api.GetBalanceRequest,
    answer=api.Balance,
    needs=(needs.READ,),
    raises=("projects.not_found", "accounts.company_needed"),
)
def get_balance(database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient) -> Page:
    """Return what one project holds, or all own projects together with their shares (BAL-1).

    Foreign ones never count among the own ones.
    """
    actor = Actor.of(call)
    project_id = request["project"] or actor.project_id
    if project_id is not None:
        access.see_project(call, database, projects, project_id)
        chosen = [project_id]
        rows = database.read(lambda connection: store.stock(connection, project_ids=chosen))
    else:
        actor.require_company()
        rows = database.read(lambda connection: store.stock(connection, company_ids=actor.company_ids))
    listing = Listing(call, "get_balance", request)
    shares: dict[str, list[Stock]] = {}
    for row in rows:
        shares.setdefault(row.license_type, []).append(row)
    catalogue = get_catalogue(database)
    held = [(place, t) for place, t in enumerate(catalogue.license_types.values()) if t.id in shares]
    page, following = listing.cut(held, lambda item: item[0])
    items = [
        shown(t, license_type=t.id, quantity=sum(share.quantity for share in shares[t.id]), projects=shares[t.id])
        for _, t in page
    ]
    return Page(items, following)
