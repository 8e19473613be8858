"""Who is in a company and who is invited to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import present_company
from services.accounts.api import MEMBER, Actor, needs
from services.accounts.store import companies, invitations
from services.accounts.store.companies import CompanyMember
from services.accounts.store.invitations import StoredInvitation
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import ListRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query

_USER: Final = 0
_INVITATION: Final = 1
"""The two parts of the list of a company's users, in their order."""


@query(request=ListRequest, answer=api.CompanyUserList, needs=(needs.COMPANY, needs.UNBOUND))
def list_company_users(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the users of the caller's company, open invitations at the end."""
    company_id = Actor.of(call).require_company()
    listing = Listing(call, "list_company_users", request)
    return database.read(lambda connection: _users(connection, company_id, listing))


@query(
    request=api.ListCompanyUsersStaffRequest,
    answer=api.CompanyUserList,
    needs=(needs.STAFF,),
    raises=("accounts.company_not_found",),
)
def list_company_users_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the users of any company, open invitations at the end (ACC-10)."""
    company_id, listing = request["company_id"], Listing(call, "list_company_users_staff", request)

    def work(connection: Connection) -> Page:
        present_company(connection, company_id)
        return _users(connection, company_id, listing)

    return database.read(work)


def _users(connection: Connection, company_id: str, listing: Listing) -> Page:
    part, last = listing.after(_part, read_text) or (_USER, None)
    rows: list[tuple[int, str, Shown]] = []
    if part == _USER:
        members = companies.members(connection, company_id, last, listing.limit)
        rows = [(_USER, member.membership_id, _shown_member(member)) for member in members]
    if len(rows) <= listing.limit:
        after, room = last if part == _INVITATION else None, listing.limit - len(rows)
        invited = invitations.of_company(connection, company_id, datetime.now(UTC), after, room)
        rows += [(_INVITATION, invitation.id, _shown_invitation(invitation)) for invitation in invited]
    page, following = listing.page(rows, lambda row: row[:2])
    return Page([user for _, _, user in page], following)


def _part(value: Any) -> int:
    if value not in (_USER, _INVITATION):
        raise ValueError(value)
    return int(value)


def _shown_member(member: CompanyMember) -> Shown:
    return shown(member, state="member")


def _shown_invitation(invitation: StoredInvitation) -> Shown:
    return shown(invitation, forename=None, surname=None, role=MEMBER, locked=False, state="invited")
