"""The caller's own API tokens (ACC-11)."""

from collections.abc import Mapping
from typing import Any

from services.accounts import api
from services.accounts.api import SCOPE_ACCOUNT, Actor, needs
from services.accounts.store import sessions
from services.chassis.answers import Page
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import forbidden
from services.chassis.fields import ListRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=ListRequest, answer=api.ApiTokenList, needs=(needs.RECENT_LOGIN,), raises=("accounts.scope_needed",))
def list_api_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the caller's API tokens, newest first, without their secrets."""
    actor = Actor.of(call)
    # Whoever waits for a second factor is told this too, and not that it is demanded.
    if SCOPE_ACCOUNT not in actor.scopes:
        raise forbidden("accounts.scope_needed", "API tokens are managed with a login, not with an API token: log in.")
    listing = Listing(call, "list_api_tokens", request, own=True)
    after = listing.after(read_text)
    rows = database.read(lambda connection: sessions.api_tokens(connection, actor.user_id, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    return Page(list(page), following)
