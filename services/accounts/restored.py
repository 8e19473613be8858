"""Companies that accounts lost by a restore of its database, and that other rooms still keep things of (rule R25)."""

from __future__ import annotations

from collections.abc import Mapping

from services.accounts.access import present_company
from services.accounts.api import ADMIN
from services.accounts.commands.telling import tell_membership
from services.accounts.domain import normalized_email
from services.accounts.store import companies, people
from services.chassis.data.db import Database
from services.chassis.data.unit import Unit
from services.chassis.errors import conflict, not_found


def settle_companies(unit: Unit, named: Mapping[str, str], absorbed: Mapping[str, str]) -> list[str]:
    """Tell names of companies anew that others know otherwise, and what people have to do about companies.

    Args:
        unit: of accounts' database.
        named: id -> name, as projects knows them.
        absorbed: id of each company that projects knows as imported -> the one that it became.

    Returns:
        A sentence for each name told anew, each company that was lost, and each import that was lost.
    Emits: company_changed.
    """
    known = companies.known_names(unit.connection)
    done = []
    for company_id, name in sorted(named.items()):
        if company_id not in known:
            done.append(
                f"company {company_id} {name!r} was made after the backup, and nobody can log in to it: let one of its "
                f"people register again, and run: tessera-admin take-back-company {company_id} E-MAIL"
            )
        elif known[company_id] != name:
            data = {"name": known[company_id], "what": ["name"]}
            unit.emit("company_changed", subject=company_id, company_id=company_id, data=data)
            done.append(
                f"company {company_id} was called {name!r} after the backup: told as {known[company_id]!r} again"
            )
    done += [
        f"company {gone_id} {named.get(gone_id, '')!r} was imported by {company_id} after the backup: "
        "an administrator of that company imports it again"
        for gone_id, company_id in sorted(absorbed.items())
        if companies.current_id(unit.connection, gone_id) == gone_id
    ]
    return done


def take_back_company(database: Database, company_id: str, email: str, named: Mapping[str, str]) -> str:
    """Make somebody an administrator of a company, which is made again first if accounts lost it.

    For `tessera-admin` on the machine itself; there is no call for it. Done again, it changes nothing.

    Args:
        database: of accounts.
        company_id: of the company.
        email: address of an account that is no staff.
        named: id -> name of the companies that other rooms know.

    Returns:
        The company's name.
    Raises: accounts.user_not_found, accounts.staff_in_company, accounts.company_not_found.
    Emits: company_created, or company_user_added or company_user_changed for a company that is there.
    """

    def work(unit: Unit) -> str:
        found = people.by_email(unit.connection, normalized_email(email))
        user = people.locked_by_id(unit, found.id) if found is not None else None
        if user is None:
            raise not_found(
                "accounts.user_not_found", f"Nobody has registered with {email}: ask that person to register first."
            )
        if user.staff:
            raise conflict("accounts.staff_in_company", "Staff belong to no customer's company; name another account.")
        if companies.hold(unit, company_id):
            return _appointed(unit, company_id, user.id)
        if company_id not in named or company_id in companies.known_names(unit.connection):
            raise not_found("accounts.company_not_found", f"No room knows a company {company_id}; check the id.")
        companies.add(unit, company_id, named[company_id], None)
        companies.add_membership(unit, company_id, user.id, ADMIN)
        people.touch(unit, user.id, last_company_id=company_id)
        data = {"name": named[company_id]}
        unit.emit("company_created", subject=company_id, company_id=company_id, actor_id=user.id, data=data)
        return named[company_id]

    return database.write(work)


def _appointed(unit: Unit, company_id: str, user_id: str) -> str:
    company = present_company(unit.connection, company_id)
    member = companies.membership(unit.connection, company_id, user_id)
    if companies.add_membership(unit, company_id, user_id, ADMIN):
        tell_membership(unit, "company_user_added", company_id, user_id, ADMIN, False)
    elif member is not None and (member.role, member.locked) != (ADMIN, False):
        companies.change_membership(unit, company_id, user_id, role=ADMIN, locked=False)
        what = ["locked", "role"]
        tell_membership(unit, "company_user_changed", company_id, user_id, ADMIN, False, what=what)
    return company.name
