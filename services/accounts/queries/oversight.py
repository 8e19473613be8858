"""The logins of a company's users as its administrators see them: sessions and API tokens that act for it (ACC-13)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import member_of
from services.accounts.api import Actor
from services.accounts.commands.oversight import OVERSEER
from services.accounts.store import sessions
from services.chassis.answers import Page
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=api.ListOfUserRequest, answer=api.UserSessionList, needs=OVERSEER, raises=("accounts.user_not_found",))
def list_user_sessions(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the living sessions of a user in the caller's company, newest first."""
    company_id = Actor.of(call).require_admin()
    user_id, now = request["user_id"], datetime.now(UTC)
    listing = Listing(call, "list_user_sessions", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> Page:
        member_of(connection, company_id, user_id)
        rows = sessions.living(connection, user_id, now, after, listing.limit, company_id=company_id)
        page, following = listing.page(rows, lambda row: (row.id,))
        return Page([*page], following)

    return database.read(work)


@query(request=api.ListOfUserRequest, answer=api.ApiTokenList, needs=OVERSEER, raises=("accounts.user_not_found",))
def list_user_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the API tokens of a user for the caller's company, newest first, without their secrets."""
    company_id = Actor.of(call).require_admin()
    user_id = request["user_id"]
    listing = Listing(call, "list_user_tokens", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> Page:
        member_of(connection, company_id, user_id)
        rows = sessions.api_tokens(connection, user_id, after, listing.limit, company_id=company_id)
        page, following = listing.page(rows, lambda row: (row.id,))
        return Page([*page], following)

    return database.read(work)
