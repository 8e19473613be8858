"""Names of persons and companies by id, for other rooms."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import Actor
from services.accounts.domain import FORMER_USER
from services.accounts.store import companies, people, service_accounts
from services.chassis.context import Call
from services.chassis.data.db import Database


def get_names(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return names of persons and companies by id; only other rooms ask this.

    Erased persons are called "former user", in the language of the request.
    """
    Actor.of(call)
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> dict[str, Any]:
        # A service account stands where a person would: it enters orders.
        names = people.names(connection, request["user_ids"])
        names |= service_accounts.names(connection, request["user_ids"])
        return {
            "users": {user_id: name or former for user_id, name in names.items()},
            "companies": companies.names(connection, request["company_ids"]),
        }

    return database.read(work)
