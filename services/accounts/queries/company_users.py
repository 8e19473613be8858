"""Who is in a company and who is invited to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.access import present_company
from services.accounts.api import Actor
from services.accounts.store import invitations, people
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing

_USER, _INVITATION = 0, 1
"""The two parts of the list of a company's users, in their order."""


def list_company_users(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the users of the caller's company, open invitations at the end.

    Raises: accounts.company_needed, accounts.token_bound.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    actor.require_unbound()
    listing = Listing(call, "list_company_users", request)
    return database.read(lambda connection: _users(connection, company_id, listing))


def list_company_users_staff(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the users of any company, open invitations at the end.

    Raises: accounts.staff_needed, accounts.company_not_found.
    """
    Actor.of(call).require_staff()
    company_id, listing = request["company_id"], Listing(call, "list_company_users_staff", request)

    def work(connection: Connection) -> dict[str, Any]:
        present_company(connection, company_id)
        return _users(connection, company_id, listing)

    return database.read(work)


def _users(connection: Connection, company_id: str, listing: Listing) -> dict[str, Any]:
    part, last = listing.after(_part, read_text) or (_USER, None)
    rows: list[tuple[int, str, Any]] = []
    if part == _USER:
        members = people.of_company(connection, company_id, last, listing.limit)
        rows = [(_USER, row.membership_id, row) for row in members]
    if len(rows) <= listing.limit:
        after, room = last if part == _INVITATION else None, listing.limit - len(rows)
        invited = invitations.of_company(connection, company_id, datetime.now(UTC), after, room)
        rows += [(_INVITATION, row.id, row) for row in invited]
    page, following = listing.page(rows, lambda row: row[:2])
    items = [_company_user(row) if kind == _USER else _invited(row) for kind, _, row in page]
    return {"items": items, "next": following}


def _part(value: Any) -> int:
    if value not in (_USER, _INVITATION):
        raise ValueError(value)
    return int(value)


def _company_user(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "email": row.email,
        "forename": row.forename,
        "surname": row.surname,
        "role": row.role,
        "locked": row.membership_locked,
        "state": "member",
    }


def _invited(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "email": row.email,
        "forename": None,
        "surname": None,
        "role": "member",
        "locked": False,
        "state": "invited",
    }
