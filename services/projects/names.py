"""Names of companies: copied from the events of accounts, and asked once for those that no event told yet."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from services.accounts.api import AccountsClient, KnownNames
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.projects import store

_TOLD = ("company_created", "company_changed")


def company_names(
    database: Database, call: Call, accounts: AccountsClient, company_ids: Collection[str]
) -> dict[str, str]:
    """Return the names of companies by id; unknown ids are left out."""
    known = database.read(lambda connection: known_names(connection, company_ids))
    return complete_names(database, call, accounts, known, company_ids)


def known_names(connection: Connection, company_ids: Collection[str]) -> dict[str, str]:
    """Return the names that are known here, for a read that needs more than them."""
    return store.company_names(connection, set(company_ids))


def complete_names(
    database: Database,
    call: Call,
    accounts: AccountsClient,
    known: Mapping[str, str],
    company_ids: Collection[str],
) -> dict[str, str]:
    """Return names of companies, those that are not known yet from accounts; these are known from then on.

    Args:
        database: of projects.
        call: who asks.
        accounts: tells names.
        known: what `known_names` returned for the same ids.
        company_ids: whose names are wanted.
    """
    missing = sorted(set(company_ids) - set(known))
    if not missing:
        return dict(known)
    told = KnownNames.of_answer(accounts.get_names(call, user_ids=[], company_ids=missing)).companies
    if told:
        database.write(lambda unit: store.add_company_names(unit, told))
    return {**known, **told}


def apply_accounts_events(unit: Unit, events: Sequence[Event]) -> None:
    """Learn the names of companies; events of other types say nothing about them."""
    for event in events:
        if event.type in _TOLD:
            store.set_company_name(unit, event.subject, str(event.data["name"]), event.sequence)
