"""Names of persons and companies by id, for other rooms."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import needs
from services.accounts.domain import FORMER_USER
from services.accounts.store import companies, people, service_accounts
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.service.declare import query


@query(request=api.GetNamesRequest, answer=api.Names, needs=(needs.LOGIN,))
def get_names(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return names of persons and companies by id; only other rooms ask this.

    Erased persons are called "former user", in the language of the request.
    """
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> dict[str, dict[str, str]]:
        # A service account stands where a person would: it enters orders.
        names = people.names(connection, request["user_ids"])
        names |= service_accounts.names(connection, request["user_ids"])
        return {
            "users": {user_id: name or former for user_id, name in names.items()},
            "companies": companies.names(connection, request["company_ids"]),
        }

    return database.read(work)
