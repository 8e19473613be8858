"""How somebody comes into a company: invited by one of its users, and by saying yes (ACC-3, S25).

Whatever address is invited, the inviter gets the same answer: whether it has an account, and where that belongs, is
told to nobody. Only that the vendor's staff belong to no customer's company is said aloud.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from services.accounts import api
from services.accounts.access import hold_company
from services.accounts.api import MEMBER, Actor, needs
from services.accounts.commands.attempts import count_mail, too_many
from services.accounts.commands.proving import link_invalid
from services.accounts.commands.telling import tell_membership
from services.accounts.domain import INVITATION, INVITATION_LIFE, MAIL_LIMIT, Limit, new_secret, normalized_email
from services.accounts.kit import Kit
from services.accounts.store import companies, invitations, mails, people, throttles
from services.accounts.store.invitations import StoredInvitation
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, conflict, forbidden, not_found, unavailable
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run

COMPANY_LIMIT: Final = Limit(100, timedelta(hours=1), 900, 3600)
"""Invitations of one company in an hour, whoever of its users sends them."""
PERSON_LIMIT: Final = Limit(50, timedelta(hours=1), 900, 3600)
"""Invitations of one user in an hour, in whatever company."""


@command(
    request=api.AddCompanyUserRequest,
    answer=api.InvitedUser,
    needs=(needs.RECENT_LOGIN, needs.WRITE, needs.COMPANY, needs.UNBOUND),
    raises=(
        "accounts.company_not_found",
        "accounts.user_not_found",
        "accounts.already_member",
        "accounts.staff_in_company",
        "accounts.too_many_attempts",
    ),
    emits=("company_user_invited",),
)
def add_company_user(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Invite an address to the caller's company, or send an open invitation again (ACC-3)."""
    actor = Actor.of(call)
    company_id = actor.require_company()
    # A repetition is no further invitation.
    answer = answered(database, call, request)
    if answer is not None:
        return answer
    normalized = normalized_email(request["email"])
    _count(database, call, actor, company_id)

    def work(unit: Unit) -> dict[str, str]:
        hold_company(unit, company_id)
        inviter = companies.membership(unit.connection, company_id, actor.user_id)
        if inviter is None or inviter.locked:
            raise not_found(
                "accounts.user_not_found", "You are no longer a user of this company: switch to another one."
            )
        user = people.by_email(unit.connection, normalized)
        if user is not None and user.staff:
            raise staff_in_company()
        if user is not None and companies.membership(unit.connection, company_id, user.id) is not None:
            raise conflict(
                "accounts.already_member", "This user already belongs to the company: change the role instead."
            )
        language = user.language if user is not None else actor.language
        return _invite(unit, kit, actor, company_id, request["email"], language)

    return run(database, call, request, work)


@command(
    request=api.AcceptInvitationRequest,
    needs=(needs.ACCOUNT,),
    raises=(
        "accounts.link_invalid",
        "accounts.invitation_of_another",
        "accounts.invitation_not_found",
        "accounts.staff_in_company",
    ),
    emits=("company_user_added",),
)
def accept_invitation(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Join the company of an invitation by the token of its mail, which went to the caller's address (ACC-3)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        link = mails.open_link(unit.connection, INVITATION, request["token"], unit.now)
        found = invitations.by_id(unit.connection, link.subject_id, unit.now) if link is not None else None
        user = people.by_id(unit.connection, actor.user_id)
        if found is None or user is None:
            raise link_invalid()
        if user.email_normalized != found.email_normalized:
            raise forbidden(
                "accounts.invitation_of_another",
                "The invitation went to another address: accept it with the account of that address.",
            )
        # The company's row before the link's, in the order of whoever sends the invitation again.
        _hold(unit, found)
        if mails.take_link(unit, INVITATION, request["token"]) is None:
            raise link_invalid()
        _join(unit, actor, found)

    fingerprint = {"token": kit.fingerprint(request["token"])}
    return run(database, call, fingerprint, work, scope=actor.user_id)


@command(
    request=api.InvitationRequest,
    needs=(needs.ACCOUNT,),
    raises=("accounts.invitation_not_found", "accounts.staff_in_company"),
    emits=("company_user_added",),
)
def accept_my_invitation(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Join the company of one of the open invitations to the caller's address (ACC-3)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        _join(unit, actor, _mine(unit, actor, request["invitation_id"]))

    return run(database, call, request, work, scope=actor.user_id)


@command(
    request=api.InvitationRequest,
    needs=(needs.ACCOUNT,),
    raises=("accounts.invitation_not_found",),
    emits=("invitation_declined",),
)
def decline_invitation(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Say no to one of the open invitations to the caller's address (ACC-3); its mailed link works no more."""
    actor = Actor.of(call)

    def work(unit: Unit) -> None:
        found = _mine(unit, actor, request["invitation_id"])
        _hold(unit, found)
        _close(unit, found.id)
        unit.emit(
            "invitation_declined",
            subject=found.id,
            company_id=found.company_id,
            # Who has an account is not told to a company that only guessed an address.
            anonymous=True,
            data={"invitation_id": found.id},
        )

    return run(database, call, request, work, scope=actor.user_id)


def staff_in_company() -> ServiceError:
    """Return the refusal of everything that would put the vendor's staff into a customer's company."""
    return conflict(
        "accounts.staff_in_company",
        "The vendor's staff belong to no company: use an account without the staff mark.",
    )


def _count(database: Database, call: Call, actor: Actor, company_id: str) -> None:
    """Count before any look-up, and for good: a refusal afterwards does not take it back."""

    def count(unit: Unit) -> int:
        wait = throttles.count(unit, throttles.key_of("invitation", "person", actor.user_id), PERSON_LIMIT)
        return wait or throttles.count(unit, throttles.key_of("invitation", "company", company_id), COMPANY_LIMIT)

    wait = database.write(count, call=call)
    if wait:
        raise too_many(wait)


def _invite(unit: Unit, kit: Kit, actor: Actor, company_id: str, email: str, language: str) -> dict[str, str]:
    secret, normalized = new_secret(), normalized_email(email)
    invitation_id = invitations.invite(unit, company_id, email, actor.user_id, unit.now + INVITATION_LIFE)
    mails.void_links(unit, INVITATION, invitation_id)
    mails.add_link(unit, INVITATION, secret, invitation_id, INVITATION_LIFE)
    # Too many mails to one address are left out; the invitation is shown after a login all the same.
    deliver = count_mail(unit, f"invitation:{normalized}", MAIL_LIMIT)
    mails.queue(unit, kit.keys, "invitation", language, email, {"token": secret}, deliver=deliver)
    unit.emit(
        "company_user_invited",
        subject=invitation_id,
        company_id=company_id,
        data={"invitation_id": invitation_id},
    )
    # In the form by which an erasure finds the stored answer again.
    return {"id": invitation_id, "email": normalized, "state": "invited"}


def _mine(unit: Unit, actor: Actor, invitation_id: str) -> StoredInvitation:
    user = people.by_id(unit.connection, actor.user_id)
    found = invitations.by_id(unit.connection, invitation_id, unit.now)
    if user is None or found is None or found.email_normalized != user.email_normalized:
        raise not_found(
            "accounts.invitation_not_found", "There is no such open invitation to your address; list your invitations."
        )
    return found


def _hold(unit: Unit, found: StoredInvitation) -> None:
    """Hold the company of an invitation, and see that the invitation did not end or move while that was waited for."""
    held = companies.hold(unit, found.company_id)
    present = invitations.by_id(unit.connection, found.id, unit.now)
    if present is None:
        raise not_found(
            "accounts.invitation_not_found",
            "The invitation has just been withdrawn or answered; list your invitations.",
        )
    if not held or present.company_id != found.company_id:
        raise unavailable(detail="The company has just been imported by another one: repeat the request.")


def _join(unit: Unit, actor: Actor, found: StoredInvitation) -> None:
    _hold(unit, found)
    # The row is held, so that a staff mark, an erasure or another address either comes first or sees the membership.
    user = people.locked_by_id(unit, actor.user_id)
    if user is None or user.email_normalized != found.email_normalized:
        raise not_found(
            "accounts.invitation_not_found", "There is no such open invitation to your address; list your invitations."
        )
    if user.staff:
        raise staff_in_company()
    _close(unit, found.id)
    if companies.add_membership(unit, found.company_id, user.id, MEMBER):
        tell_membership(unit, "company_user_added", found.company_id, user.id, MEMBER, False)


def _close(unit: Unit, invitation_id: str) -> None:
    invitations.withdraw(unit, invitation_id)
    mails.void_links(unit, INVITATION, invitation_id)
