"""The caller's own API tokens (ACC-11)."""

from collections.abc import Mapping
from typing import Any

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.store import sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import forbidden
from services.chassis.fields import read_text
from services.chassis.paging import Listing


def list_api_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's API tokens, newest first, without their secrets.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    if SCOPE_ACCOUNT not in actor.scopes:
        raise forbidden("accounts.scope_needed", "API tokens are managed after a login, not by an API token: log in.")
    listing = Listing(call, "list_api_tokens", request, own=True)
    after = listing.after(read_text)
    rows = database.read(lambda connection: sessions.api_tokens(connection, actor.user_id, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    return {"items": [api_token_item(row) for row in page], "next": following}


def api_token_item(row: Any) -> dict[str, Any]:
    """Return an API token as lists carry it, without its secret."""
    return {
        "id": row.id,
        "name": row.name,
        "scopes": list(row.scopes),
        "project_id": row.project_id,
        "company_id": row.company_id,
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "last_used_at": iso(row.last_used_at),
    }
