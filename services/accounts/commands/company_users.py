"""Who works in a company: adding, inviting, roles, locks, removal (ACC-3 to ACC-5, ACC-8).

Every change holds the company's row first, so that changes come one after the other and never leave it without an
administrator, however they meet.
"""

from collections.abc import Mapping
from typing import Any

from services.accounts.api import ADMIN, MEMBER, SCOPE_ACCOUNT, SCOPE_WRITE, Actor
from services.accounts.commands.common import administrated, too_many
from services.accounts.domain import (
    INVITATION,
    INVITATION_LIFE,
    MAIL_LIMIT,
    Membership,
    new_secret,
    normalized_email,
)
from services.accounts.kit import Kit
from services.accounts.store import companies, mails, people, sessions, throttles
from services.chassis.context import Call
from services.chassis.db import Database, Unit
from services.chassis.errors import conflict, forbidden, not_found


def add_company_user(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Add the account with an address to the caller's company, or invite it by mail.

    An account without a company is a member at once; one that has a company, and an unknown address, decide themselves.

    Raises: accounts.company_needed, accounts.scope_needed, accounts.token_bound, accounts.already_member,
        accounts.too_many_attempts.
    Emits: company_user_added or company_user_invited.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    company_id = actor.require_company()
    actor.require_unbound()
    normalized = normalized_email(request["email"])

    def work(unit: Unit) -> dict[str, Any]:
        _hold(unit, company_id)
        user = people.by_email(unit.connection, normalized)
        members = companies.memberships(unit.connection, user.id) if user is not None else []
        if any(member.company_id == company_id for member in members):
            raise conflict("accounts.already_member", "This user belongs to the company already.")
        wait = throttles.count(unit, throttles.key_of("mail", "account", normalized), MAIL_LIMIT)
        if wait:
            raise too_many(wait)
        if user is not None and not members:
            companies.add_membership(unit, company_id, user.id, MEMBER)
            mails.queue(unit, kit.keys, "added_to_company", user.language, user.email, {})
            _tell(unit, "company_user_added", company_id, user.id, MEMBER, False)
            return {"id": user.id, "email": user.email, "state": "member"}
        language = user.language if user is not None else actor.language
        return _invite(unit, kit, actor, company_id, request["email"], language)

    return database.command(call, "add_company_user", request, work) or {}


def accept_invitation(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> None:
    """Join the company of an invitation that went to the caller's address.

    Raises: accounts.scope_needed, accounts.link_invalid, accounts.invitation_of_another.
    Emits: company_user_added.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)

    def work(unit: Unit) -> None:
        link = mails.take_link(unit, INVITATION, request["token"])
        invitation = companies.invitation(unit.connection, link.subject_id) if link is not None else None
        user = people.by_id(unit.connection, actor.user_id)
        if invitation is None or user is None:
            raise not_found("accounts.link_invalid", "This link is unknown, used or expired: ask for a new one.")
        if user.email_normalized != invitation.email_normalized:
            raise forbidden(
                "accounts.invitation_of_another",
                "The invitation went to another address: accept it with that account.",
            )
        _hold(unit, invitation.company_id)
        companies.withdraw_invitation(unit, invitation.id)
        if companies.add_membership(unit, invitation.company_id, user.id, MEMBER):
            _tell(unit, "company_user_added", invitation.company_id, user.id, MEMBER, False)

    fingerprint = {"token": kit.fingerprint(request["token"])}
    database.command(call, "accept_invitation", fingerprint, work, scope=actor.user_id)


def update_company_user(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give or take the administrator role, lock or unlock a user of the caller's company; staff name the company.

    A lock ends the user's sessions in this company and no others (ACC-8).

    Raises: accounts.company_needed, accounts.admin_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.company_not_found, accounts.user_not_found, accounts.last_admin.
    Emits: company_user_changed.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    company_id = administrated(actor, request)
    user_id = request["user_id"]

    def work(unit: Unit) -> dict[str, Any]:
        _hold(unit, company_id)
        if "company_id" not in request:
            _still_admin(unit, actor, company_id)
        member = _member(unit, company_id, user_id)
        wanted = {name: request[name] for name in ("role", "locked") if name in request}
        changed = {name: value for name, value in wanted.items() if getattr(member, name) != value}
        if changed:
            companies.change_membership(unit, company_id, user_id, **changed)
            _keep_an_admin(unit, company_id)
            if changed.get("locked"):
                _end(unit, company_id, user_id, "lock")
            role, locked = changed.get("role", member.role), changed.get("locked", member.locked)
            _tell(unit, "company_user_changed", company_id, user_id, role, locked, what=sorted(changed))
        user = people.by_id(unit.connection, user_id)
        present = _member(unit, company_id, user_id)
        assert user is not None
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

    Raises: accounts.company_needed, accounts.admin_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.company_not_found, accounts.user_not_found, accounts.last_admin.
    Emits: company_user_removed.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_WRITE)
    company_id = administrated(actor, request)
    user_id = request["user_id"]

    def work(unit: Unit) -> None:
        _hold(unit, company_id)
        if "company_id" not in request:
            _still_admin(unit, actor, company_id)
        invitation = companies.invitation(unit.connection, user_id)
        if invitation is not None and invitation.company_id == company_id:
            companies.withdraw_invitation(unit, invitation.id)
            return
        member = _member(unit, company_id, user_id)
        companies.remove_membership(unit, company_id, user_id)
        _keep_an_admin(unit, company_id)
        _end(unit, company_id, user_id, "removed")
        sessions.revoke_api_tokens(unit, user_id, company_id)
        _tell(unit, "company_user_removed", company_id, user_id, member.role, member.locked)

    database.command(call, "remove_company_user", request, work)


def _hold(unit: Unit, company_id: str) -> None:
    if not companies.hold(unit, company_id):
        raise not_found("accounts.company_not_found", "There is no such company.")


def _still_admin(unit: Unit, actor: Actor, company_id: str) -> None:
    """Refuse an administrator who was demoted or locked while the request waited for the company's row."""
    member = companies.membership(unit.connection, company_id, actor.user_id)
    if member is None or member.locked or member.role != ADMIN:
        raise forbidden("accounts.admin_needed", "Only an administrator of the company may do this.")


def _member(unit: Unit, company_id: str, user_id: str) -> Membership:
    member = companies.membership(unit.connection, company_id, user_id)
    if member is None:
        raise not_found("accounts.user_not_found", "There is no such user in the company.")
    return member


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


def _invite(unit: Unit, kit: Kit, actor: Actor, company_id: str, email: str, language: str) -> dict[str, Any]:
    secret = new_secret()
    values = {
        "company_id": company_id,
        "email": email,
        "email_normalized": normalized_email(email),
        "invited_by": actor.user_id,
        "expires_at": unit.now + INVITATION_LIFE,
    }
    invitation_id = companies.invite(unit, values)
    mails.void_links(unit, INVITATION, invitation_id)
    mails.add_link(unit, INVITATION, secret, invitation_id, INVITATION_LIFE)
    mails.queue(unit, kit.keys, "invitation", language, email, {"token": secret})
    unit.emit(
        "company_user_invited",
        subject=invitation_id,
        company_id=company_id,
        data={"invitation_id": invitation_id},
    )
    # In the form by which an erasure finds the stored answer again.
    return {"id": invitation_id, "email": values["email_normalized"], "state": "invited"}


def _tell(unit: Unit, type: str, company_id: str, user_id: str, role: str, locked: bool, **extra: Any) -> None:
    data = {"user_id": user_id, "role": role, "locked": locked, **extra}
    unit.emit(type, subject=user_id, company_id=company_id, data=data)
