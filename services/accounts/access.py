"""Who may do what with a company and its people: asked of the caller, and again of rows that are held."""

from sqlalchemy import Connection

from services.accounts.api import ADMIN, Actor
from services.accounts.domain import (
    Membership,
)
from services.accounts.store import companies, people
from services.accounts.store.companies import StoredCompany
from services.accounts.store.people import Person
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, forbidden, not_found


def present_company(connection: Connection, company_id: str) -> StoredCompany:
    """Return a company that was not absorbed.

    Raises: accounts.company_not_found.
    """
    row = companies.by_id(connection, company_id)
    if row is None:
        raise _no_company()
    return row


def hold_company(unit: Unit, company_id: str) -> None:
    """Hold the row of a company whose people change.

    Raises: accounts.company_not_found.
    """
    if not companies.hold(unit, company_id):
        raise _no_company()


def still_admin(unit: Unit, actor: Actor, company_id: str) -> None:
    """Refuse an administrator who was demoted or locked while the request waited for the company's row.

    Raises: accounts.admin_needed.
    """
    member = companies.membership(unit.connection, company_id, actor.user_id)
    if member is None or member.locked or member.role != ADMIN:
        raise forbidden("accounts.admin_needed", "Only administrators of the company may do this: ask one of them.")


def own_account(connection: Connection, actor: Actor) -> Person:
    """Return the caller's row.

    Raises: accounts.user_not_found for an erased one.
    """
    user = people.by_id(connection, actor.user_id)
    if user is None:
        raise _erased()
    return user


def held_account(unit: Unit, actor: Actor) -> Person:
    """Return the caller's row and hold it until the transaction ends.

    Raises: accounts.user_not_found for an erased one.
    """
    user = people.locked_by_id(unit, actor.user_id)
    if user is None:
        raise _erased()
    return user


def member_of(connection: Connection, company_id: str, user_id: str) -> Membership:
    """Return a user's membership in a company.

    Raises: accounts.user_not_found.
    """
    member = companies.membership(connection, company_id, user_id)
    if member is None:
        raise no_member()
    return member


def no_member() -> ServiceError:
    """Return the refusal of who is no user of the company."""
    return not_found(
        "accounts.user_not_found", "There is no such user in the company; list its users to see their ids."
    )


def _no_company() -> ServiceError:
    return not_found("accounts.company_not_found", "There is no such company; check the id.")


def _erased() -> ServiceError:
    return not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
