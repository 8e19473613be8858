"""Service accounts and their tokens, for staff (ACC-11)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.commands.service_accounts import account_answer, no_account, staff_of
from services.accounts.store import service_accounts
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing


def list_service_accounts(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service accounts that were not ended, newest first.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed.
    """
    staff_of(call)
    listing = Listing(call, "list_service_accounts", request)
    after = listing.after(read_text)
    rows = database.read(lambda connection: service_accounts.page(connection, after, listing.limit))
    shown, following = listing.page(rows, lambda row: (row.id,))
    return {"items": [account_answer(row) for row in shown], "next": following}


def list_service_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens of a service account, newest first, without their secrets.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.service_account_not_found.
    """
    staff_of(call)
    listing, account_id = Listing(call, "list_service_tokens", request), request["account_id"]
    after = listing.after(read_text)

    def work(connection: Connection) -> Any:
        if service_accounts.by_id(connection, account_id) is None:
            raise no_account()
        return service_accounts.tokens(connection, account_id, after, listing.limit)

    shown, following = listing.page(database.read(work), lambda row: (row.id,))
    times = ("created_at", "expires_at", "last_used_at")
    items = [
        {"id": row.id, "created_by": row.created_by, **{name: iso(getattr(row, name)) for name in times}}
        for row in shown
    ]
    return {"items": items, "next": following}
