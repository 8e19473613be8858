"""Users as staff see them (ACC-10)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import needs
from services.accounts.commands.staff import staff_user
from services.accounts.store import companies, people
from services.chassis.answers import Page
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=api.SearchRequest, answer=api.StaffUserList, needs=(needs.STAFF,))
def list_users_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return users whose address or name holds a text."""
    listing = Listing(call, "list_users_staff", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> Page:
        rows = people.search(connection, request["q"], after, listing.limit)
        page, following = listing.page(rows, lambda row: (row.id,))
        members = companies.memberships_of(connection, [row.id for row in page])
        return Page([staff_user(row, members[row.id]) for row in page], following)

    return database.read(work)
