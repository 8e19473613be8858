"""Lists of added keys (BAL-3) and of orders (ACC-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from services.accounts.api import SCOPE_ORDERS, SCOPE_READ, AccountsClient, Actor
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError, not_found
from services.chassis.fields import read_moment, read_text, write_moment
from services.chassis.paging import Listing
from services.devices.api import MalformedOrderNumberError, canonical_order_number
from services.licensing import access
from services.licensing.commands.naming import named
from services.licensing.commands.orders import order_answer
from services.licensing.domain.activation_keys import masked_key
from services.licensing.domain.catalogue import Catalogue
from services.licensing.store import keys
from services.licensing.store.catalogue import get_catalogue
from services.licensing.store.keys import Row
from services.projects.api import ProjectsClient


def list_activations(
    database: Database, call: Call, request: Mapping[str, Any], *, projects: ProjectsClient, accounts: AccountsClient
) -> dict[str, Any]:
    """List the keys added to a project or to all own projects, newest first.

    Raises: projects.not_found, request.invalid for a cursor of elsewhere, accounts.company_needed without a project.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_READ)
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
    shown, following = listing.page(rows, lambda row: (row.used_at, row.id))
    names = _names(call, accounts, [row.used_by for row in shown])
    catalogue = get_catalogue(database)
    return {"items": [_added_key(catalogue, row, names) for row in shown], "next": following}


def list_orders(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """List orders, newest first.

    Raises: accounts.staff_needed, request.invalid for a cursor of elsewhere.
    """
    _require_reading_staff(call)
    listing = Listing(call, "list_orders", request)
    before = listing.after(read_moment, read_text)
    rows = database.read(lambda connection: keys.list_orders(connection, limit=listing.limit + 1, before=before))
    shown, following = listing.page(rows, lambda row: (row.created_at, row.number))
    return {"items": _orders(database, shown), "next": following}


def get_order(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one order by its number; its activation key is told at its entry only.

    Raises: accounts.staff_needed, licensing.order_not_found.
    """
    _require_reading_staff(call)
    row = None
    with suppress(MalformedOrderNumberError):
        number = canonical_order_number(request["number"])
        row = database.read(lambda connection: keys.get_order(connection, number))
    if row is None:
        raise not_found("licensing.order_not_found", "There is no order with this number; list the orders.")
    return _orders(database, [row])[0]


def _require_reading_staff(call: Call) -> None:
    Actor.of(call).require_staff_or_service(SCOPE_READ, SCOPE_ORDERS)


def _orders(database: Database, rows: Sequence[Row]) -> list[dict[str, Any]]:
    states = database.read(
        lambda connection: keys.key_states(connection, [row.key_id for row in rows if row.key_id is not None])
    )
    catalogue = get_catalogue(database)
    return [order_answer(catalogue, row, key=None, key_state=states.get(row.key_id)) for row in rows]


def _added_key(catalogue: Catalogue, row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "key": masked_key(row.last_group),
        "project": {"id": row.used_project_id, "name": row.project_name},
        "comment": row.comment,
        "licenses": named(catalogue, ((str(t), int(n)) for t, n in row.licenses)),
        "added_by": {"id": row.used_by, "name": names.get(row.used_by)},
        "added_at": write_moment(row.used_at),
    }


def _names(call: Call, accounts: AccountsClient, user_ids: Sequence[str]) -> Mapping[str, str]:
    if not user_ids:
        return {}
    try:
        names = accounts.get_names(call, user_ids=sorted(set(user_ids)), company_ids=[])
    except ServiceError as error:
        # The list is worth having without names while accounts is away.
        if error.kind != "unavailable":
            raise
        return {}
    users: Mapping[str, str] = names["users"]
    return users
