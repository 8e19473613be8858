"""Logins: sessions, their rotating refresh tokens, and the exchanges that end in an access token.

`/sessions*` takes no idempotency key (api.md): a repeated login makes one session more, which expires by itself.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts import domain
from services.accounts.api import (
    SCOPE_ACCOUNT,
    SCOPE_DEVICE,
    SCOPE_READ,
    Actor,
    factor_demanded,
)
from services.accounts.commands import logins
from services.accounts.commands.access_tokens import access_for, access_of_api_token, memberships_of, scopes_of, waits
from services.accounts.commands.attempts import answer_or_raise
from services.accounts.commands.me import place
from services.accounts.commands.service_accounts import exchange_service_token, renewed_service_access
from services.accounts.domain import Membership
from services.accounts.kit import Kit
from services.accounts.store import companies, people, sessions, throttles
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, forbidden, not_found, unauthenticated
from services.chassis.ids import new_id

DEVICE_DOOR = (SCOPE_READ, SCOPE_DEVICE)


def create_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Log a person in.

    Raises: accounts.login_failed, accounts.otp_needed, accounts.not_activated, accounts.locked,
        accounts.too_many_attempts, accounts.company_not_found.
    Emits: session_created, or login_failed.
    """
    login = logins.begin(database, call, request["email"], request.get("client_address"))
    fits = kit.hasher.verify(login.user.password_hash if login.user else None, request["password"])
    # Registrations of known addresses have a row too: neither answer nor time tells whether an account is there.
    waits = not fits and login.waiting is not None and kit.hasher.verify(login.waiting, request["password"])

    def work(unit: Unit) -> dict[str, Any] | ServiceError:
        if waits:
            # It stays counted as failed: else a stranger's own registration would clear guesses at the real password.
            logins.refuse(unit, login, "not_activated")
            return _not_activated()
        user = people.locked_by_id(unit, login.user.id) if fits else None
        if user is None or user.password_hash != login.user.password_hash:
            return logins.refuse(unit, login, "password")
        if user.otp_confirmed_at is not None:
            if not request["otp"]:
                return unauthenticated("accounts.otp_needed", "This account has a second factor: send `otp` as well.")
            refusal = logins.check_code(unit, kit, user, login, request["otp"])
            if refusal is not None:
                return refusal
        logins.forgive(unit, login)
        member, refused = _company(unit, user, request["company_id"])
        if user.locked or refused:
            return _refusal_of_company(user.locked, request["company_id"])
        if kit.hasher.is_outdated(user.password_hash):
            people.touch(unit, user.id, password_hash=rehashed)
        throttles.remember_address(unit, user.id, login.address_hash)
        return _open(unit, kit, user, member, request.get("user_agent"))

    # Hashing is slow and must not happen while the database is held.
    outdated = fits and kit.hasher.is_outdated(login.user.password_hash)
    rehashed = kit.hasher.hash(request["password"]) if outdated else None
    return answer_or_raise(database.write(work, call=call))


def refresh_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Give new tokens for a refresh token, in the company asked for; this is also the company switch.

    A token that was used before ends its session, except within ten seconds: then the first answer got lost, and the
    successor that it named is given again. So every session has one chain, however requests meet.

    Raises: accounts.refresh_invalid, accounts.refresh_reused, accounts.locked, accounts.company_not_found.
    Emits: session_revoked when a stolen token was used.
    """

    def work(unit: Unit) -> dict[str, Any] | ServiceError:
        taken = sessions.take_refresh_token(unit, request["refresh_token"])
        invalid = unauthenticated("accounts.refresh_invalid", "The refresh token is not good any more: log in again.")
        if taken is None:
            return invalid
        token, first = taken
        session = sessions.by_id(unit.connection, token.session_id)
        if session is None or session.ended_at is not None or session.expires_at <= unit.now:
            return invalid
        if not first and (token.successor is None or domain.refresh_is_theft(token.used_at, unit.now)):
            _end(unit, session, "refresh_reused")
            return unauthenticated("accounts.refresh_reused", "The refresh token was used before: log in again.")
        # Held, so that a lock either sees this session in its company or is seen by it.
        user = people.locked_by_id(unit, session.user_id)
        if user is None or token.expires_at <= unit.now:
            return invalid
        asked = request["company_id"]
        member, refused = _company(unit, user, asked, session.company_id)
        if user.locked or refused:
            # Raised and not returned: what gave no tokens must not have used the refresh token up.
            raise _refusal_of_company(user.locked, asked)
        company_id = member.company_id if member else None
        since = session.company_since if company_id == session.company_id else None
        sessions.change(unit, session.id, last_used_at=unit.now)
        sessions.enter(unit, session.id, company_id)
        if company_id not in (None, user.last_company_id):
            people.touch(unit, user.id, last_company_id=company_id)
        successor = _successor(unit, kit, token, first)
        return _tokens(unit, kit, user, session.id, member, successor, session.authenticated_at, since)

    return answer_or_raise(database.write(work, call=call))


def delete_session(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End one of the caller's sessions; `current` is the one in use.

    Raises: accounts.session_not_found.
    Emits: session_revoked.
    """
    actor = Actor.of(call)
    current = request["session_id"] in ("current", actor.session_id)
    if not current:
        actor.require_scope(SCOPE_ACCOUNT)
    session_id = actor.session_id if current else request["session_id"]

    def work(unit: Unit) -> None:
        session = sessions.by_id(unit.connection, session_id)
        if session is None or session.user_id != actor.user_id or session.ended_at is not None:
            raise not_found("accounts.session_not_found", "There is no such session of yours; list your sessions.")
        _end(unit, session, "logout" if current else "revoked")

    database.write(work, call=call)


def renew_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Give a fresh access token for the caller's own session, with what holds now: role, rights, aliases.

    It is for the company asked for, else for that of the token in hand, so that a switch elsewhere does not matter.
    The session is in that company from then on: its administrators see and end it, and those of another do not.

    Raises: accounts.session_ended, accounts.locked, accounts.company_not_found.
    """
    actor = Actor.of(call)
    asked = request["company_id"]
    answer, moves = database.read(lambda connection: _fresh_access(connection, actor, asked, kit, datetime.now(UTC)))
    if not moves:
        return answer
    return database.write(lambda unit: moved_access(unit, actor, asked, kit), call=call)


def exchange_token(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Give a short access token for an API token.

    Raises: token.invalid, accounts.otp_demanded, accounts.staff_otp_needed.
    """

    def work(unit: Unit) -> dict[str, Any] | None:
        if request["token"].startswith(domain.SERVICE_TOKEN_PREFIX):
            return exchange_service_token(unit, kit, request["token"])
        return _exchange(unit, kit, request["token"], None)

    answer = database.write(work, call=call)
    if answer is None:
        raise unauthenticated(
            "token.invalid", "The token is unknown or not readable, expired or withdrawn; log in, or make a new one."
        )
    return answer


def create_device_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> dict[str, Any]:
    """Give the device door a short access token for HTTP Basic: account and password, or an API token as password.

    An account with a second factor can only use an API token of scope `device` (LIC-7).

    Raises: accounts.login_failed, accounts.otp_needed, accounts.locked, accounts.otp_demanded,
        accounts.staff_otp_needed, accounts.too_many_attempts.
    Emits: login_failed.
    """
    login = logins.begin(database, call, request["login"], request.get("client_address"))
    secret = request["password"]
    by_token = secret.startswith(domain.API_TOKEN_PREFIX)
    fits = not by_token and kit.hasher.verify(login.user.password_hash if login.user else None, secret)

    def work(unit: Unit) -> dict[str, Any] | ServiceError:
        if by_token:
            answer = _exchange(unit, kit, secret, login.user.id if login.user else None, needs=SCOPE_DEVICE)
            if answer is None:
                return logins.refuse(unit, login, "token")
            logins.forgive(unit, login)
            return answer
        user = people.by_id(unit.connection, login.user.id) if fits else None
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
        member, _ = _company(unit, user, None)
        if waits(kit, user, member, None):
            return factor_demanded(staff=kit.staff_waits(user))
        # Without a company a device can do nothing, so that its person is told why here and not one request later.
        if user.locked or (member is None and memberships_of(unit.connection, user)):
            return _refusal_of_company(True, None)
        return access_for(unit.connection, unit.now, kit, user, new_id(), member, DEVICE_DOOR)

    return answer_or_raise(database.write(work, call=call))


def _company(unit: Unit, user: Any, asked: str | None, last_used: str | None = None) -> tuple[Membership | None, bool]:
    members = memberships_of(unit.connection, user)
    return domain.choose_company(members, asked, last_used or user.last_company_id)


def _successor(unit: Unit, kit: Kit, token: Any, first: bool) -> str:
    """Return the refresh token that follows a used one: a new one at first, the same one when it is asked for again."""
    purpose = f"refresh_tokens:{token.token_hash}"
    if not first:
        return kit.keys.unseal(bytes(token.successor), purpose).decode()
    secret = domain.new_secret()
    sessions.add_refresh_token(unit, token.session_id, secret)
    sessions.keep_successor(unit, token.token_hash, kit.keys.seal(secret.encode(), purpose))
    return secret


def _not_activated() -> ServiceError:
    return forbidden(
        "accounts.not_activated",
        "The registration of this address was not activated yet: open the link of the mail that was sent to it, or ask "
        "for it again with /registrations/resends.",
    )


def _refusal_of_company(locked: bool, asked: str | None) -> ServiceError:
    if asked is not None and not locked:
        return forbidden(
            "accounts.company_not_found",
            "You are no unlocked user of a company with this id: refresh the session to see your companies.",
        )
    return forbidden("accounts.locked", "The account is locked: ask an administrator to unlock it.")


def _open(unit: Unit, kit: Kit, user: Any, member: Membership | None, user_agent: str | None) -> dict[str, Any]:
    session_id = new_id()
    company_id = member.company_id if member else None
    sessions.add(
        unit,
        {
            "id": session_id,
            "user_id": user.id,
            "company_id": company_id,
            "user_agent": user_agent,
            "expires_at": unit.now + domain.SESSION_LIFE,
        },
    )
    if company_id not in (None, user.last_company_id):
        people.touch(unit, user.id, last_company_id=company_id)
    unit.emit(
        "session_created",
        subject=user.id,
        company_id=company_id,
        actor_id=user.id,
        data={"user_id": user.id, "session_id": session_id},
    )
    refresh_token = domain.new_secret()
    sessions.add_refresh_token(unit, session_id, refresh_token)
    return _tokens(unit, kit, user, session_id, member, refresh_token, unit.now)


def _tokens(
    unit: Unit,
    kit: Kit,
    user: Any,
    session_id: str,
    member: Membership | None,
    refresh_token: str,
    authenticated_at: datetime | None,
    since: datetime | None = None,
) -> dict[str, Any]:
    access = access_for(
        unit.connection, unit.now, kit, user, session_id, member, scopes_of(kit, user), authenticated_at, since
    )
    return {
        **access,
        "otp_demanded": waits(kit, user, member, since),
        "refresh_token": refresh_token,
        "user": {
            "id": user.id,
            "email": user.email,
            "forename": user.forename,
            "surname": user.surname,
            "language": user.language,
        },
        "company": company_ref(member) if member else None,
        "companies": [place(one) for one in memberships_of(unit.connection, user)],
    }


def company_ref(member: Membership) -> dict[str, Any]:
    """Return a membership as answers carry it."""
    return {"id": member.company_id, "name": member.company_name, "role": member.role}


def _end(unit: Unit, session: Any, reason: str) -> None:
    if sessions.end(unit, session.id, reason):
        sessions.revoke(unit, "session", session.id)
        unit.emit(
            "session_revoked",
            subject=session.user_id,
            company_id=companies.share(unit, session.company_id),
            actor_id=session.user_id,
            data={"user_id": session.user_id, "session_id": session.id, "reason": reason},
        )


def moved_access(unit: Unit, actor: Actor, asked: str | None, kit: Kit) -> dict[str, Any]:
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
) -> tuple[dict[str, Any], list[str | None]]:
    """Return an access token with what holds now, and the company that the session must move to for it, if any."""
    user = people.by_id(connection, actor.user_id)
    session = sessions.by_id(connection, actor.session_id)
    if user is not None and user.locked:
        raise _refusal_of_company(True, None)
    if user is not None and session is not None and session.ended_at is None and session.expires_at > now:
        wanted = asked or actor.company_id or session.company_id
        member, refused = domain.choose_company(memberships_of(connection, user), wanted, None)
        if refused:
            raise _refusal_of_company(False, asked)
        # A token of another company than the session's is one of a switch: nothing tells how long it has been there.
        company_id = member.company_id if member is not None else None
        there = company_id == session.company_id
        since, scopes = session.company_since if there else None, scopes_of(kit, user)
        answer = access_for(connection, now, kit, user, session.id, member, scopes, session.authenticated_at, since)
        return answer, [] if there else [company_id]
    token = sessions.api_token_by_id(connection, actor.session_id)
    if token is not None:
        answer_or_none = access_of_api_token(connection, now, kit, token)
    else:
        answer_or_none = renewed_service_access(connection, kit, actor.session_id, now)
    if answer_or_none is None:
        raise unauthenticated("accounts.session_ended", "The session of this token was ended: log in again.")
    return answer_or_none, []


def _exchange(
    unit: Unit, kit: Kit, secret: str, user_id: str | None, *, needs: str | None = None
) -> dict[str, Any] | None:
    token = sessions.api_token(unit.connection, secret)
    if token is None or (needs is not None and (needs not in token.scopes or token.user_id != user_id)):
        return None
    answer = access_of_api_token(unit.connection, unit.now, kit, token)
    if answer is not None:
        sessions.use_api_token(unit, token.id)
    return answer
