"""Finding companies by the address of a user, for a right in a project (PRJ-3): counted, for addresses are guessed."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.commands.attempts import too_many
from services.accounts.domain import Limit, normalized_email
from services.accounts.store import companies, people, throttles
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.service.declare import command

PERSON_LIMIT: Final = Limit(20, timedelta(hours=1), 900, 3600)
"""Addresses that one user may have looked up in an hour."""
COMPANY_LIMIT: Final = Limit(40, timedelta(hours=1), 900, 3600)
"""Addresses that the users of one company together may have looked up in an hour."""


@command(
    request=api.FindCompaniesRequest,
    answer=api.FoundCompanies,
    needs=(needs.LOGIN,),
    raises=("accounts.company_needed", "accounts.too_many_attempts"),
)
def find_companies_by_email(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, object]:
    """Return the companies in which the user with this address works (PRJ-3).

    Every question counts before it is worked on, whatever its answer will be: addresses are not to be tried in bulk.
    """
    actor = Actor.of(call)
    if not actor.staff:
        actor.require_company()
    wait = database.write(partial(_count, actor=actor), call=call)
    if wait:
        raise too_many(wait)

    def work(connection: Connection) -> dict[str, object]:
        user = people.by_email(connection, normalized_email(request["email"]))
        if user is None or user.locked or user.staff:
            return {"companies": []}
        members = companies.memberships(connection, user.id)
        return {"companies": [{"id": one.company_id, "name": one.company_name} for one in members if not one.locked]}

    return database.read(work)


def _count(unit: Unit, actor: Actor) -> int:
    wait = throttles.count(unit, throttles.key_of("lookup", "person", actor.user_id), PERSON_LIMIT)
    if wait or actor.company_id is None:
        return wait
    return throttles.count(unit, throttles.key_of("lookup", "company", actor.company_id), COMPANY_LIMIT)
