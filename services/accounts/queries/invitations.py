"""The open invitations to the caller's address (ACC-3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.domain import FORMER_USER
from services.accounts.store import invitations, people
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import not_found
from services.chassis.fields import read_text
from services.chassis.paging import Listing


def list_my_invitations(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the open invitations to the caller's address, oldest first.

    Raises: accounts.scope_needed, accounts.user_not_found.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)
    listing = Listing(call, "list_my_invitations", request, own=True)
    after = listing.after(read_text)
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> dict[str, Any]:
        user = people.by_id(connection, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
        rows = invitations.of_address(connection, user.email_normalized, datetime.now(UTC), after, listing.limit)
        page, following = listing.page(rows, lambda row: (row.id,))
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
