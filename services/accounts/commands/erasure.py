"""The end of an account: everything that accounts knows of a person is overwritten or deleted (ACC-12)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import held_account
from services.accounts.api import Actor, needs
from services.accounts.commands.proving import fits_password_again, password_wrong
from services.accounts.domain import EMAIL_CHANGE, normalized_email
from services.accounts.kit import Kit
from services.accounts.store import companies, invitations, mails, people, sessions, throttles, undos
from services.accounts.store.people import Person
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data import idempotency
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, unavailable
from services.chassis.ids import first_id
from services.chassis.service.declare import command
from services.chassis.service.running import answered, run

_OVERLAP: Final = timedelta(minutes=10)
"""Longer than a transaction lasts, and than clocks of two hosts differ."""


@command(
    request=api.PasswordRequest,
    needs=(needs.ACCOUNT,),
    raises=(
        "accounts.password_wrong",
        "accounts.too_many_attempts",
        "accounts.user_not_found",
        "accounts.erasure_refused",
    ),
    emits=("company_user_removed", "user_erased"),
)
def erase_me(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Erase the caller's account: personal data are overwritten, the id stays in histories as a former user.

    The last administrator of a company with other users has to hand it over first.
    """
    actor = Actor.of(call)
    fingerprint = {"password": kit.fingerprint(request["password"])}
    # A repetition is no further guess.
    answer = answered(database, call, fingerprint, scope=actor.user_id)
    if answer is not None:
        return answer
    fits = fits_password_again(database, call, kit, actor, request["password"])
    traces = _Traces(database, kit, actor.user_id) if fits else None

    def work(unit: Unit) -> None:
        if traces is None:
            raise password_wrong()
        members = sorted(companies.memberships(unit.connection, actor.user_id), key=lambda member: member.company_id)
        for member in members:
            if not companies.hold(unit, member.company_id):
                raise unavailable(detail="One of your companies has just been imported by another: repeat the request.")
        user = held_account(unit, actor)
        for member in members:
            _leave(unit, user.id, member.company_id, member.role)
        sessions.end_all(unit, user.id, "erased")
        sessions.revoke_api_tokens(unit, user.id)
        sessions.revoke(unit, "user", user.id)
        _forget(unit, kit, user, call.command_id, traces)
        unit.emit("user_erased", subject=user.id, data={"user_id": user.id})

    return run(database, call, fingerprint, work, scope=actor.user_id)


class _Traces:
    """Where a person's addresses stand in what grows, found before the transaction that forgets them.

    That one holds locks which others wait for, so it looks through nothing but what came since.

    Args:
        database: of accounts.
        kit: has the keys of sealed mails.
        user_id: of the person.
    """

    def __init__(self, database: Database, kit: Kit, user_id: str) -> None:
        self.since = database.read(idempotency.database_time) - _OVERLAP
        self.addresses = database.read(lambda connection: _addresses(connection, user_id))
        self.mails = mails.find_waiting(database.read, kit.keys, self.addresses)
        self.answers = idempotency.find_holding(database.read, scope=user_id, holding=self.addresses)


def _addresses(connection: Connection, user_id: str) -> set[str]:
    """Return all addresses that a person has, had or asked for; as they are written, too."""
    user = people.by_id(connection, user_id)
    if user is None:
        return set()
    written = [user.email, *undos.addresses(connection, user_id)]
    pending = mails.pending_email(connection, EMAIL_CHANGE, user_id, datetime.now(UTC))
    # Whoever asks for the address of somebody's account must not delete what waits to be sent to its owner.
    if pending is not None and people.by_email(connection, normalized_email(pending)) is None:
        written.append(pending)
    return {*written, *map(normalized_email, written)}


def _forget(unit: Unit, kit: Kit, user: Person, command_id: str, traces: _Traces) -> None:
    addresses = _addresses(unit.connection, user.id)
    if not addresses <= traces.addresses:
        raise unavailable(detail="Your addresses have just changed: repeat the request.")
    undos.forget(unit, user.id)
    mails.forget(unit, kit.keys, addresses, found=traces.mails, after=first_id(traces.since))
    mails.forget_links(unit, user.id)
    invitations.forget(unit, user.email_normalized)
    people.forget_registrations(unit, user.email_normalized)
    sessions.forget_names(unit, user.id)
    throttles.clear(unit, throttles.key_of("mail", "account", user.email_normalized))
    throttles.clear(unit, throttles.key_of("login", "account", user.email_normalized, ""))
    # Answers are kept for repetitions, and some of them hold the address.
    idempotency.scrub(
        unit.connection,
        scope=user.id,
        holding=addresses,
        but=command_id,
        found=traces.answers,
        since=traces.since,
    )
    people.erase(unit, user.id)


def _leave(unit: Unit, user_id: str, company_id: str, role: str) -> None:
    companies.remove_membership(unit, company_id, user_id)
    if companies.working_admins(unit.connection, company_id) == 0 and companies.has_users(unit.connection, company_id):
        raise conflict(
            "accounts.erasure_refused",
            "You are the last administrator of a company that still has users: give another user the role first.",
            company_id=company_id,
        )
    data = {"user_id": user_id, "role": role, "locked": False}
    unit.emit("company_user_removed", subject=user_id, company_id=company_id, data=data)
