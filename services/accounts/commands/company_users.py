"""Who works in a company: roles, locks, removal (ACC-4, ACC-5, ACC-8); how somebody comes in is `invitations`.

Every change holds the company's row first, so that changes come one after the other and never leave it without an
administrator, however they meet.
"""

from collections.abc import Mapping
from typing import Any

from services.accounts.access import administrated, hold_company, member_of, still_admin
from services.accounts.api import SCOPE_WRITE, Actor
from services.accounts.commands.telling import tell_by_mail, tell_membership
from services.accounts.domain import INVITATION
from services.accounts.store import companies, invitations, mails, people, sessions
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict


def update_company_user(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give or take the administrator role, lock or unlock a user of the caller's company; staff name the company.

    A lock ends the user's sessions in this company and no others (ACC-8).

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.company_needed, accounts.admin_needed,
        accounts.staff_needed, accounts.scope_needed, accounts.company_not_found, accounts.user_not_found,
        accounts.last_admin.
    Emits: company_user_changed.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_scope(SCOPE_WRITE)
    company_id = administrated(actor, request)
    user_id = request["user_id"]

    def work(unit: Unit) -> dict[str, Any]:
        hold_company(unit, company_id)
        if "company_id" not in request:
            still_admin(unit, actor, company_id)
        member = member_of(unit.connection, company_id, user_id)
        wanted = {name: request[name] for name in ("role", "locked") if name in request}
        changed = {name: value for name, value in wanted.items() if getattr(member, name) != value}
        if changed:
            companies.change_membership(unit, company_id, user_id, **changed)
            _keep_an_admin(unit, company_id)
            if changed.get("locked"):
                _end(unit, company_id, user_id, "lock")
            role, locked = changed.get("role", member.role), changed.get("locked", member.locked)
            tell_membership(unit, "company_user_changed", company_id, user_id, role, locked, what=sorted(changed))
        user = people.by_id(unit.connection, user_id)
        present = member_of(unit.connection, company_id, user_id)
        assert user is not None
        if changed:
            tell_by_mail(database, unit, "rights_changed", user)
        return {
            "id": user.id,
            "email": user.email,
            "forename": user.forename,
            "surname": user.surname,
            "role": present.role,
            "locked": present.locked,
            "state": "member",
        }

    return database.command(call, "update_company_user", request, work) or {}


def remove_company_user(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """Take a user out of the caller's company, or an invitation back; staff name the company.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.company_needed, accounts.admin_needed,
        accounts.staff_needed, accounts.scope_needed, accounts.company_not_found, accounts.user_not_found,
        accounts.last_admin.
    Emits: company_user_removed, or invitation_withdrawn.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    actor.require_scope(SCOPE_WRITE)
    company_id = administrated(actor, request)
    user_id = request["user_id"]

    def work(unit: Unit) -> None:
        hold_company(unit, company_id)
        if "company_id" not in request:
            still_admin(unit, actor, company_id)
        invitation = invitations.by_id(unit.connection, user_id, unit.now)
        if invitation is not None and invitation.company_id == company_id:
            invitations.withdraw(unit, invitation.id)
            mails.void_links(unit, INVITATION, invitation.id)
            data = {"invitation_id": invitation.id}
            unit.emit("invitation_withdrawn", subject=invitation.id, company_id=company_id, data=data)
            return
        member = member_of(unit.connection, company_id, user_id)
        companies.remove_membership(unit, company_id, user_id)
        if (user := people.by_id(unit.connection, user_id)) is not None:
            tell_by_mail(database, unit, "rights_changed", user)
        _keep_an_admin(unit, company_id)
        _end(unit, company_id, user_id, "removed")
        sessions.revoke_api_tokens(unit, user_id, company_id)
        # Nothing that happens to the person from now on is told to this company.
        people.leave_company(unit, user_id, company_id)
        tell_membership(unit, "company_user_removed", company_id, user_id, member.role, member.locked)

    database.command(call, "remove_company_user", request, work)


def _keep_an_admin(unit: Unit, company_id: str) -> None:
    if companies.working_admins(unit.connection, company_id) == 0:
        raise conflict(
            "accounts.last_admin",
            "The company would be left without an administrator: give another user the role first.",
        )


def _end(unit: Unit, company_id: str, user_id: str, reason: str) -> None:
    # A login that is under way ends first, or begins after this and sees it.
    people.locked_by_id(unit, user_id)
    sessions.end_in_company(unit, user_id, company_id, reason)
    sessions.revoke(unit, "membership", user_id, company_id)
