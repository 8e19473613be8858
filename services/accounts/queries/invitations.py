"""The open invitations to the caller's address (ACC-3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.domain import FORMER_USER
from services.accounts.store import invitations, people
from services.chassis.answers import Page, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import not_found
from services.chassis.fields import ListRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=ListRequest, answer=api.MyInvitationList, needs=(needs.ACCOUNT,), raises=("accounts.user_not_found",))
def list_my_invitations(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the open invitations to the caller's address, oldest first."""
    actor = Actor.of(call)
    listing = Listing(call, "list_my_invitations", request, own=True)
    after = listing.after(read_text)
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> Page:
        user = people.by_id(connection, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
        rows = invitations.of_address(connection, user.email_normalized, datetime.now(UTC), after, listing.limit)
        page, following = listing.page(rows, lambda row: (row.id,))
        names = people.names(connection, [row.invited_by for row in page])
        items = [
            shown(
                row,
                company={"id": row.company_id, "name": row.company_name},
                invited_by=names.get(row.invited_by) or former,
            )
            for row in page
        ]
        return Page(items, following)

    return database.read(work)
