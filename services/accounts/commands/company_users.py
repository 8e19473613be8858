"""Who works in a company: roles, locks, removal (ACC-4, ACC-5, ACC-8); how somebody comes in is `invitations`.

Every change holds the company's row first, so that changes come one after the other and never leave it without an
administrator, however they meet.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.accounts import api
from services.accounts.access import hold_company, member_of, no_member, still_admin
from services.accounts.api import Actor, needs
from services.accounts.commands.telling import tell_by_mail, tell_membership
from services.accounts.domain import INVITATION
from services.accounts.store import companies, invitations, mails, people, sessions
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict
from services.chassis.service.declare import command
from services.chassis.service.running import run

_REFUSED: Final = ("accounts.company_not_found", "accounts.user_not_found", "accounts.last_admin")


@command(
    request=api.UpdateCompanyUserRequest,
    answer=api.CompanyUser,
    needs=(needs.RECENT_LOGIN, needs.WRITE, needs.ADMINISTRATOR),
    raises=_REFUSED,
    emits=("company_user_changed",),
)
def update_company_user(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Give or take the administrator role, lock or unlock a user of the caller's company (ACC-4, ACC-5).

    A lock ends the user's sessions in this company and no others (ACC-8).
    """
    actor = Actor.of(call)
    return _update(database, call, request, actor.require_admin(), actor)


@command(
    request=api.UpdateCompanyUserStaffRequest,
    answer=api.CompanyUser,
    needs=(needs.RECENT_LOGIN, needs.WRITE, needs.STAFF),
    raises=_REFUSED,
    emits=("company_user_changed",),
)
def update_company_user_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Change a user of any company as its administrators can, by staff (ACC-10)."""
    return _update(database, call, request, request["company_id"])


@command(
    request=api.CompanyUserRequest,
    needs=(needs.RECENT_LOGIN, needs.WRITE, needs.ADMINISTRATOR),
    raises=_REFUSED,
    emits=("company_user_removed", "invitation_withdrawn"),
)
def remove_company_user(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Take a user out of the caller's company, or an invitation back (ACC-4)."""
    actor = Actor.of(call)
    return _remove(database, call, request, actor.require_admin(), actor)


@command(
    request=api.CompanyUserStaffRequest,
    needs=(needs.RECENT_LOGIN, needs.WRITE, needs.STAFF),
    raises=_REFUSED,
    emits=("company_user_removed", "invitation_withdrawn"),
)
def remove_company_user_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Take a user out of any company, or an invitation back, by staff (ACC-10)."""
    return _remove(database, call, request, request["company_id"])


def _update(
    database: Database, call: Call, request: Mapping[str, Any], company_id: str, admin: Actor | None = None
) -> Answer:
    """Change a user; `admin` is who has to be an administrator still when it is done, None for staff."""
    user_id = request["user_id"]

    def work(unit: Unit) -> Shown:
        hold_company(unit, company_id)
        if admin is not None:
            still_admin(unit, admin, company_id)
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
        if user is None:
            # Whoever is erased leaves every company in the same transaction.
            raise no_member()
        present = member_of(unit.connection, company_id, user_id)
        if changed:
            tell_by_mail(database, unit, "rights_changed", user)
        return shown(user, role=present.role, locked=present.locked, state="member")

    return run(database, call, request, work, name="update_company_user")


def _remove(
    database: Database, call: Call, request: Mapping[str, Any], company_id: str, admin: Actor | None = None
) -> Answer:
    """Take a user out; `admin` is who has to be an administrator still when it is done, None for staff."""
    user_id = request["user_id"]

    def work(unit: Unit) -> None:
        hold_company(unit, company_id)
        if admin is not None:
            still_admin(unit, admin, company_id)
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

    return run(database, call, request, work, name="remove_company_user")


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
