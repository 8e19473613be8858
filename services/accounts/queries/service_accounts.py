"""Service accounts and their tokens, for staff (ACC-11)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.commands.service_accounts import PROVEN_STAFF, no_account
from services.accounts.store import service_accounts
from services.accounts.store.service_accounts import StoredServiceToken
from services.chassis.answers import Page
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import ListRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=ListRequest, answer=api.ServiceAccountList, needs=PROVEN_STAFF)
def list_service_accounts(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the service accounts that were not ended, newest first."""
    listing = Listing(call, "list_service_accounts", request)
    after = listing.after(read_text)
    rows = database.read(lambda connection: service_accounts.page(connection, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    return Page([*page], following)


@query(
    request=api.ListServiceTokensRequest,
    answer=api.ServiceTokenList,
    needs=PROVEN_STAFF,
    raises=("accounts.service_account_not_found",),
)
def list_service_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the tokens of a service account, newest first, without their secrets."""
    listing, account_id = Listing(call, "list_service_tokens", request), request["account_id"]
    after = listing.after(read_text)

    def work(connection: Connection) -> list[StoredServiceToken]:
        if service_accounts.by_id(connection, account_id) is None:
            raise no_account()
        return service_accounts.tokens(connection, account_id, after, listing.limit)

    page, following = listing.page(database.read(work), lambda row: (row.id,))
    return Page([*page], following)
