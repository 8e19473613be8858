"""The logins of a company's users as its administrators see them: sessions and API tokens that act for it (ACC-13)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.access import member_of, overseer
from services.accounts.queries.api_tokens import api_token_item
from services.accounts.store import sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing


def list_user_sessions(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the living sessions of a user in the caller's company, newest first.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.user_not_found.
    """
    _, company_id = overseer(call)
    user_id, now = request["user_id"], datetime.now(UTC)
    listing = Listing(call, "list_user_sessions", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> dict[str, Any]:
        member_of(connection, company_id, user_id)
        rows = sessions.living(connection, user_id, now, after, listing.limit, company_id=company_id)
        page, following = listing.page(rows, lambda row: (row.id,))
        items = [
            {
                "id": row.id,
                "created_at": iso(row.created_at),
                "last_used_at": iso(row.last_used_at),
                "expires_at": iso(row.expires_at),
                "user_agent": row.user_agent,
            }
            for row in page
        ]
        return {"items": items, "next": following}

    return database.read(work)


def list_user_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the API tokens of a user for the caller's company, newest first, without their secrets.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.user_not_found.
    """
    _, company_id = overseer(call)
    user_id = request["user_id"]
    listing = Listing(call, "list_user_tokens", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> dict[str, Any]:
        member_of(connection, company_id, user_id)
        rows = sessions.api_tokens(connection, user_id, after, listing.limit, company_id=company_id)
        page, following = listing.page(rows, lambda row: (row.id,))
        return {"items": [api_token_item(row) for row in page], "next": following}

    return database.read(work)
