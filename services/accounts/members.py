"""Who is in a company and who is invited to one: the reads."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.domain import FORMER_USER, iso
from services.accounts.queries import page_of, present_company
from services.accounts.store import invitations, people
from services.chassis.context import Call
from services.chassis.db import Database
from services.chassis.errors import not_found

_INVITED: Final = "invited:"
"""How a place among the invitations of a company begins; others are among its users."""


def list_company_users(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the users of the caller's company, open invitations at the end.

    Raises: accounts.company_needed, accounts.token_bound.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    actor.require_unbound()
    return database.read(lambda connection: _users(connection, company_id, request))


def list_company_users_staff(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the users of any company, open invitations at the end.

    Raises: accounts.staff_needed, accounts.company_not_found.
    """
    Actor.of(call).require_staff()
    company_id = request["company_id"]

    def work(connection: Connection) -> dict[str, Any]:
        present_company(connection, company_id)
        return _users(connection, company_id, request)

    return database.read(work)


def list_my_invitations(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the open invitations to the caller's address, oldest first.

    Raises: accounts.scope_needed, accounts.user_not_found.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> dict[str, Any]:
        user = people.by_id(connection, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased.")
        rows = invitations.of_address(
            connection, user.email_normalized, datetime.now(UTC), request["cursor"], request["limit"]
        )
        page, following = page_of(rows, request["limit"], "id")
        names = people.names(connection, [row.invited_by for row in page])
        items = [
            {
                "id": row.id,
                "company": {"id": row.company_id, "name": row.company_name},
                "invited_by": names.get(row.invited_by) or former,
                "expires_at": iso(row.expires_at),
            }
            for row in page
        ]
        return {"items": items, "next": following}

    return database.read(work)


def _users(connection: Connection, company_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    cursor, limit = request["cursor"], request["limit"]
    items: list[dict[str, Any]] = []
    after = cursor.removeprefix(_INVITED) if cursor is not None and cursor.startswith(_INVITED) else None
    if after is None:
        rows = people.of_company(connection, company_id, cursor, limit)
        page, following = page_of(rows, limit, "membership_id")
        items = [_company_user(row) for row in page]
        if following is not None:
            return {"items": items, "next": following}
    room, now = limit - len(items), datetime.now(UTC)
    invited = invitations.of_company(connection, company_id, now, after or None, room)
    items += [_invited(row) for row in invited[:room]]
    if len(invited) <= room:
        return {"items": items, "next": None}
    # Where the users fill a page to the brim, the invitations begin on the next one.
    return {"items": items, "next": f"{_INVITED}{invited[room - 1].id if room else ''}"}


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
