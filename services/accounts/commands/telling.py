"""What is told of a person: events to each of their companies, mails about what was done to the account."""

from collections.abc import Mapping

from services.accounts.store import companies, mails, sessions
from services.accounts.store.people import Person
from services.chassis.data.db import Database, Unit


def end_other_sessions(unit: Unit, user_id: str, reason: str, *, but: str | None = None) -> None:
    """End a person's sessions, each with its own revocation, so that those that stay are not touched.

    Args:
        unit: the running transaction.
        user_id: whose sessions.
        reason: `password` or another word for the history.
        but: the session in use, which stays.
    """
    for session in sessions.end_all(unit, user_id, reason, but=but):
        sessions.revoke(unit, "session", session.id)
        unit.emit(
            "session_revoked",
            subject=user_id,
            company_id=companies.share(unit, session.company_id),
            actor_id=user_id,
            data={"user_id": user_id, "session_id": session.id, "reason": reason},
        )


def tell_by_mail(database: Database, unit: Unit, template: str, user: Person, act: str | None = None) -> None:
    """Mail a person what was done to their account (ACC-13); `act` is a key of `mails.acts.ACTS`."""
    assert database.keystore is not None
    mails.queue(unit, database.keystore, template, user.language, user.email, {"act": act} if act else {})


def emit_for_user(
    unit: Unit, type: str, user_id: str, data: Mapping[str, object], *, actor_id: str | None = None
) -> None:
    """Emit one event about a person for each company that they belong to, or one without a company.

    Args:
        type: of the event.
        user_id: the person, also the event's subject.
        data: beside `user_id`.
        actor_id: who did it, when it is not the caller.
    """
    company_ids: list[str | None] = [member.company_id for member in companies.memberships(unit.connection, user_id)]
    # An import that was waited for has moved the membership, perhaps to where another one is.
    for company_id in dict.fromkeys(companies.share(unit, one) for one in company_ids or [None]):
        unit.emit(type, subject=user_id, company_id=company_id, actor_id=actor_id, data={"user_id": user_id, **data})


def tell_membership(
    unit: Unit, type: str, company_id: str, user_id: str, role: str, locked: bool, **extra: object
) -> None:
    """Emit an event about a user in a company; `extra` is its data beside `user_id`, `role` and `locked`."""
    data = {"user_id": user_id, "role": role, "locked": locked, **extra}
    unit.emit(type, subject=user_id, company_id=company_id, data=data)
