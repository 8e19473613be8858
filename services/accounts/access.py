"""Who may do what with a company and its people: asked of the caller, and again of rows that are held."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import ADMIN, SCOPE_ACCOUNT, Actor
from services.accounts.domain import (
    Membership,
)
from services.accounts.store import (
    companies,
)
from services.chassis.context import Call
from services.chassis.data.db import Unit
from services.chassis.errors import forbidden, not_found


def administrated(actor: Actor, request: Mapping[str, Any]) -> str:
    """Return the company that a request changes: the caller's own, or for staff the one that the request names.

    Raises: accounts.company_needed, accounts.admin_needed, accounts.staff_needed.
    """
    named: str | None = request.get("company_id")
    if named is None:
        return actor.require_admin()
    actor.require_staff()
    return named


def overseer(call: Call) -> tuple[Actor, str]:
    """Return who asks and the company that they administrate, by a recent login.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.token_bound.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_scope(SCOPE_ACCOUNT)
    return actor, actor.require_admin()


def present_company(connection: Connection, company_id: str) -> Any:
    """Return a company that was not absorbed.

    Raises: accounts.company_not_found.
    """
    row = companies.by_id(connection, company_id)
    if row is None:
        raise not_found("accounts.company_not_found", "There is no such company; check the id.")
    return row


def hold_company(unit: Unit, company_id: str) -> None:
    """Hold the row of a company whose people change.

    Raises: accounts.company_not_found.
    """
    if not companies.hold(unit, company_id):
        raise not_found("accounts.company_not_found", "There is no such company; check the id.")


def still_admin(unit: Unit, actor: Actor, company_id: str) -> None:
    """Refuse an administrator who was demoted or locked while the request waited for the company's row.

    Raises: accounts.admin_needed.
    """
    member = companies.membership(unit.connection, company_id, actor.user_id)
    if member is None or member.locked or member.role != ADMIN:
        raise forbidden("accounts.admin_needed", "Only an administrator of the company may do this: ask one of them.")


def member_of(connection: Connection, company_id: str, user_id: str) -> Membership:
    """Return a user's membership in a company.

    Raises: accounts.user_not_found.
    """
    member = companies.membership(connection, company_id, user_id)
    if member is None:
        raise not_found(
            "accounts.user_not_found", "There is no such user in the company; list its users to see their ids."
        )
    return member
