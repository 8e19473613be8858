"""Lists of added keys (BAL-3) and of orders (ACC-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from services.accounts.api import SCOPE_ORDERS, SCOPE_READ, AccountsClient, Actor, KnownNames, needs
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, not_found
from services.chassis.fields import read_moment, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query
from services.devices.api import MalformedOrderNumberError, canonical_order_number
from services.licensing import access, api
from services.licensing.commands.naming import named
from services.licensing.commands.orders import order_answer
from services.licensing.domain.activation_keys import masked_key
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import keys, orders
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.keys import UsedKey
from services.licensing.store.orders import StoredOrder
from services.projects.api import ProjectsClient

READING_STAFF: Final = needs.staff_or_service(SCOPE_READ, SCOPE_ORDERS)


@query(
    request=api.ListActivationsRequest,
    answer=api.AddedKeyList,
    needs=(needs.READ,),
    raises=("projects.not_found", "accounts.company_needed"),
)
def list_activations(
    database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient, accounts: AccountsClient
) -> Page:
    """List the keys added to a project or to all own projects, newest first (BAL-3)."""
    actor = Actor.of(call)
    listing = Listing(call, "list_activations", request)
    before = listing.after(read_moment, read_text)
    project_id = request["project"] or actor.project_id
    if project_id is not None:
        access.see_project(call, database, projects, project_id)
    else:
        actor.require_company()
    rows = database.read(
        lambda connection: keys.used_keys(
            connection, limit=listing.limit + 1, before=before, project_id=project_id, company_ids=actor.company_ids
        )
    )
    page, following = listing.page(rows, lambda row: (row.used_at, row.id))
    names = _names(call, accounts, [row.used_by for row in page])
    catalogue = get_catalogue(database)
    return Page([_added_key(catalogue, row, names) for row in page], following)


@query(request=api.ListOrdersRequest, answer=api.OrderList, needs=(READING_STAFF,))
def list_orders(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """List orders, newest first, by staff (ACC-10)."""
    listing = Listing(call, "list_orders", request)
    before = listing.after(read_moment, read_text)
    rows = database.read(lambda connection: orders.newest(connection, limit=listing.limit + 1, before=before))
    page, following = listing.page(rows, lambda row: (row.created_at, row.number))
    return Page(_orders(database, page), following)


@query(request=api.OrderRequest, answer=api.Order, needs=(READING_STAFF,), raises=("licensing.order_not_found",))
def get_order(database: Database, call: Call, request: Mapping[str, Any]) -> Shown:
    """Return one order by its number, by staff; its activation key is told at its entry only (ACC-10)."""
    row = None
    with suppress(MalformedOrderNumberError):
        number = canonical_order_number(request["number"])
        row = database.read(lambda connection: orders.get(connection, number))
    if row is None:
        raise not_found("licensing.order_not_found", "There is no order with this number; list the orders.")
    return _orders(database, [row])[0]


def _orders(database: Database, rows: Sequence[StoredOrder]) -> list[Shown]:
    states = database.read(
        lambda connection: keys.key_states(connection, [row.key_id for row in rows if row.key_id is not None])
    )
    catalogue = get_catalogue(database)
    return [order_answer(catalogue, row, key=None, key_state=states.get(row.key_id or "")) for row in rows]


def _added_key(catalogue: Catalogue, row: UsedKey, names: Mapping[str, str]) -> Shown:
    return shown(
        row,
        key=masked_key(row.last_group),
        project={"id": row.used_project_id, "name": row.project_name},
        licenses=named(catalogue, row.licenses),
        added_by={"id": row.used_by, "name": names.get(row.used_by)},
        added_at=row.used_at,
    )


def _names(call: Call, accounts: AccountsClient, user_ids: Sequence[str]) -> Mapping[str, str]:
    if not user_ids:
        return {}
    try:
        return KnownNames.of_answer(accounts.get_names(call, user_ids=sorted(set(user_ids)), company_ids=[])).users
    except ServiceError as error:
        # The list is worth having without names while accounts is away.
        if error.kind != "unavailable":
            raise
        return {}
