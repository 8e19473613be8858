"""Access tokens for what is in hand: a token that is renewed, an API token, a login at the device door.

Like `/sessions*` they take no idempotency key (api.md): nothing is lost when the answer is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api, domain
from services.accounts.api import SCOPE_DEVICE, SCOPE_READ, Actor, factor_demanded, needs
from services.accounts.commands import logins
from services.accounts.commands.access_tokens import (
    access_for,
    access_of_api_token,
    company_of,
    memberships_of,
    refusal_of_company,
    scopes_of,
    waits,
)
from services.accounts.commands.attempts import answer_or_raise
from services.accounts.commands.service_accounts import exchange_service_token, renewed_service_access
from services.accounts.kit import Access, Kit
from services.accounts.store import people, sessions
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, unauthenticated
from services.chassis.ids import new_id
from services.chassis.service.declare import command

DEVICE_DOOR: Final = (SCOPE_READ, SCOPE_DEVICE)


@command(
    request=api.RenewTokenRequest,
    answer=api.AccessToken,
    needs=(needs.LOGIN,),
    raises=(
        "accounts.session_ended",
        "accounts.locked",
        "accounts.company_not_found",
        "accounts.otp_demanded",
        "accounts.staff_otp_needed",
    ),
)
def renew_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Access:
    """Give a fresh access token for the caller's own session, with what holds now: role, rights, aliases.

    It is for the company asked for, else for that of the token in hand, so that a switch elsewhere does not matter.
    The session is in that company from then on: its administrators see and end it, and those of another do not.
    """
    actor = Actor.of(call)
    asked = request["company_id"]
    answer, moves = database.read(lambda connection: _fresh_access(connection, actor, asked, kit, datetime.now(UTC)))
    if not moves:
        return answer
    return database.write(lambda unit: moved_access(unit, actor, asked, kit), call=call)


@command(
    request=api.ExchangeTokenRequest,
    answer=api.AccessToken,
    raises=("token.invalid", "accounts.otp_demanded", "accounts.staff_otp_needed"),
    callers=("gateway",),
)
def exchange_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Access:
    """Give a short access token for an API token."""

    def work(unit: Unit) -> Access | None:
        if request["token"].startswith(domain.SERVICE_TOKEN_PREFIX):
            return exchange_service_token(unit, kit, request["token"])
        return _exchange(unit, kit, request["token"], None)

    answer = database.write(work, call=call)
    if answer is None:
        raise unauthenticated(
            "token.invalid", "The token is unknown, unreadable, expired or withdrawn; log in, or create a new one."
        )
    return answer


@command(
    request=api.CreateDeviceSessionRequest,
    answer=api.AccessToken,
    raises=(
        "accounts.login_failed",
        "accounts.otp_needed",
        "accounts.locked",
        "accounts.otp_demanded",
        "accounts.staff_otp_needed",
        "accounts.too_many_attempts",
    ),
    emits=("login_failed",),
    callers=("gateway",),
)
def create_device_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Access:
    """Give the device door a short access token for HTTP Basic: account and password, or an API token as password.

    An account with a second factor can only use an API token of scope `device` (LIC-7).
    """
    login = logins.begin(database, call, request["login"], request.get("client_address"))
    secret = request["password"]
    by_token = secret.startswith(domain.API_TOKEN_PREFIX)
    known = login.user
    fits = not by_token and kit.hasher.verify(known.password_hash if known else None, secret)

    def work(unit: Unit) -> Access | ServiceError:
        if by_token:
            answer = _exchange(unit, kit, secret, known.id if known else None, scope=SCOPE_DEVICE)
            if answer is None:
                return logins.refuse(unit, login, "token")
            logins.forgive(unit, login)
            return answer
        user = people.by_id(unit.connection, known.id) if fits and known else None
        if user is None:
            return logins.refuse(unit, login, "password")
        if user.otp_confirmed_at is not None:
            # Counted like a wrong password; who has the right one learns this from a login to the portal as well.
            logins.refuse(unit, login, "otp")
            return unauthenticated(
                "accounts.otp_needed",
                "This account has a second factor: a device sends an API token of scope device as the password.",
            )
        logins.forgive(unit, login)
        member, _ = company_of(unit, user, None)
        if waits(kit, user, member, None):
            return factor_demanded(staff=kit.staff_waits(user))
        # Without a company a device can do nothing, so that its person is told why here and not one request later.
        if user.locked or (member is None and memberships_of(unit.connection, user)):
            return refusal_of_company(True, None)
        return access_for(unit.connection, unit.now, kit, user, new_id(), member, DEVICE_DOOR)

    return answer_or_raise(database.write(work, call=call))


def moved_access(unit: Unit, actor: Actor, asked: str | None, kit: Kit) -> Access:
    """Return an access token for a login or an API token that lives; a session moves to the company of its token.

    Args:
        unit: the running transaction.
        actor: whose token is in hand.
        asked: the company that the new one is wanted for; None for that of the token in hand.
        kit: keys.

    Raises: accounts.session_ended, accounts.locked, accounts.company_not_found.
    """
    # Held, so that a lock either sees this session in its company or is seen by it.
    people.locked_by_id(unit, actor.user_id)
    answer, moves = _fresh_access(unit.connection, actor, asked, kit, unit.now)
    for company_id in moves:
        sessions.enter(unit, actor.session_id, company_id)
    return answer


def _fresh_access(
    connection: Connection, actor: Actor, asked: str | None, kit: Kit, now: datetime
) -> tuple[Access, list[str | None]]:
    """Return an access token with what holds now, and the company that the session must move to for it, if any."""
    user = people.by_id(connection, actor.user_id)
    session = sessions.by_id(connection, actor.session_id)
    if user is not None and user.locked:
        raise refusal_of_company(True, None)
    if user is not None and session is not None and session.lives(now):
        wanted = asked or actor.company_id or session.company_id
        member, refused = domain.choose_company(memberships_of(connection, user), wanted, None)
        if refused:
            raise refusal_of_company(False, asked)
        # A token of another company than the session's is one of a switch: nothing tells how long it has been there.
        company_id = member.company_id if member is not None else None
        there = company_id == session.company_id
        since, scopes = session.company_since if there else None, scopes_of(kit, user)
        answer = access_for(connection, now, kit, user, session.id, member, scopes, session.authenticated_at, since)
        return answer, [] if there else [company_id]
    token = sessions.api_token_by_id(connection, actor.session_id)
    if token is not None:
        access = access_of_api_token(connection, now, kit, token)
    else:
        access = renewed_service_access(connection, kit, actor.session_id, now)
    if access is None:
        raise unauthenticated("accounts.session_ended", "The session of this token was ended: log in again.")
    return access, []


def _exchange(unit: Unit, kit: Kit, secret: str, user_id: str | None, *, scope: str | None = None) -> Access | None:
    token = sessions.api_token(unit.connection, secret)
    if token is None or (scope is not None and (scope not in token.scopes or token.user_id != user_id)):
        return None
    answer = access_of_api_token(unit.connection, unit.now, kit, token)
    if answer is not None:
        sessions.use_api_token(unit, token.id)
    return answer
