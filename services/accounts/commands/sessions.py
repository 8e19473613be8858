"""Logins: sessions and their rotating refresh tokens. What is exchanged for an access token does not belong here.

`/sessions*` takes no idempotency key (api.md): a repeated login makes one session more, which expires by itself.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.accounts import api, domain
from services.accounts.api import (
    SCOPE_ACCOUNT,
    Actor,
    needs,
)
from services.accounts.commands import logins
from services.accounts.commands.access_tokens import (
    access_for,
    company_of,
    memberships_of,
    refusal_of_company,
    scopes_of,
    waits,
)
from services.accounts.commands.attempts import answer_or_raise
from services.accounts.domain import Membership
from services.accounts.kit import Kit
from services.accounts.store import companies, people, sessions, throttles
from services.accounts.store.people import Person
from services.accounts.store.sessions import StoredRefreshToken, StoredSession
from services.chassis.answers import Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, forbidden, not_found, unauthenticated
from services.chassis.ids import new_id
from services.chassis.service.declare import command


@command(
    request=api.CreateSessionRequest,
    answer=api.Session,
    raises=(
        "accounts.login_failed",
        "accounts.otp_needed",
        "accounts.not_activated",
        "accounts.locked",
        "accounts.company_not_found",
        "accounts.too_many_attempts",
    ),
    emits=("session_created", "login_failed"),
    callers=("gateway",),
)
def create_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Shown:
    """Log a person in (ACC-8, S2, S3)."""
    login = logins.begin(database, call, request["email"], request.get("client_address"))
    known = login.user
    fits = kit.hasher.verify(known.password_hash if known else None, request["password"])
    # Registrations of known addresses have a row too: neither answer nor time tells whether an account is there.
    waits = not fits and login.waiting is not None and kit.hasher.verify(login.waiting, request["password"])

    def work(unit: Unit) -> Shown | ServiceError:
        if waits:
            # It stays counted as failed: else a stranger's own registration would clear guesses at the real password.
            logins.refuse(unit, login, "not_activated")
            return _not_activated()
        user = people.locked_by_id(unit, known.id) if fits and known else None
        if user is None or known is None or user.password_hash != known.password_hash:
            return logins.refuse(unit, login, "password")
        if user.otp_confirmed_at is not None:
            if not request["otp"]:
                return unauthenticated(
                    "accounts.otp_needed", "This account has a second factor: send its code as `otp`."
                )
            refusal = logins.check_code(unit, kit, user, login, request["otp"])
            if refusal is not None:
                return refusal
        logins.forgive(unit, login)
        member, refused = company_of(unit, user, request["company_id"])
        if user.locked or refused:
            return refusal_of_company(user.locked, request["company_id"])
        if rehashed is not None:
            people.touch(unit, user.id, password_hash=rehashed)
        throttles.remember_address(unit, user.id, login.address_hash)
        return _open(unit, kit, user, member, request.get("user_agent"))

    # Hashing is slow and must not happen while the database is held.
    outdated = fits and known is not None and kit.hasher.is_outdated(known.password_hash)
    rehashed = kit.hasher.hash(request["password"]) if outdated else None
    return answer_or_raise(database.write(work, call=call))


@command(
    request=api.RefreshSessionRequest,
    answer=api.Session,
    raises=("accounts.refresh_invalid", "accounts.refresh_reused", "accounts.locked", "accounts.company_not_found"),
    emits=("session_revoked",),
    callers=("gateway",),
)
def refresh_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Shown:
    """Give new tokens for a refresh token, in the company asked for; this is also the company switch.

    A token that was used before ends its session, except within ten seconds: then the first answer got lost, and the
    successor that it named is given again. So every session has one chain, however requests meet.
    """

    def work(unit: Unit) -> Shown | ServiceError:
        taken = sessions.take_refresh_token(unit, request["refresh_token"])
        invalid = unauthenticated("accounts.refresh_invalid", "The refresh token is no longer valid: log in again.")
        if taken is None:
            return invalid
        token, first = taken
        session = sessions.by_id(unit.connection, token.session_id)
        if session is None or not session.lives(unit.now):
            return invalid
        if not first and (token.successor is None or domain.refresh_is_theft(token.used_at, unit.now)):
            _end(unit, session, "refresh_reused")
            return unauthenticated("accounts.refresh_reused", "The refresh token was used before: log in again.")
        # Held, so that a lock either sees this session in its company or is seen by it.
        user = people.locked_by_id(unit, session.user_id)
        if user is None or token.expires_at <= unit.now:
            return invalid
        asked = request["company_id"]
        member, refused = company_of(unit, user, asked, session.company_id)
        if user.locked or refused:
            # Raised and not returned: what gave no tokens must not have used the refresh token up.
            raise refusal_of_company(user.locked, asked)
        company_id = member.company_id if member else None
        since = session.company_since if company_id == session.company_id else None
        sessions.change(unit, session.id, last_used_at=unit.now)
        sessions.enter(unit, session.id, company_id)
        if company_id not in (None, user.last_company_id):
            people.touch(unit, user.id, last_company_id=company_id)
        successor = _successor(unit, kit, token)
        return _tokens(unit, kit, user, session.id, member, successor, session.authenticated_at, since)

    return answer_or_raise(database.write(work, call=call))


@command(
    request=api.SessionRequest,
    needs=(needs.LOGIN,),
    raises=(
        "accounts.session_not_found",
        "accounts.scope_needed",
        "accounts.otp_demanded",
        "accounts.staff_otp_needed",
    ),
    emits=("session_revoked",),
)
def delete_session(database: Database, call: Call, request: Mapping[str, Any]) -> None:
    """End one of the caller's sessions; `current` is the one in use."""
    actor = Actor.of(call)
    current = request["session_id"] in ("current", actor.session_id)
    if not current:
        actor.require_scope(SCOPE_ACCOUNT)
    session_id = actor.session_id if current else request["session_id"]

    def work(unit: Unit) -> None:
        session = sessions.by_id(unit.connection, session_id)
        if session is None or session.user_id != actor.user_id or session.ended_at is not None:
            raise not_found("accounts.session_not_found", "You have no such session; list your sessions.")
        _end(unit, session, "logout" if current else "revoked")

    database.write(work, call=call)


def _successor(unit: Unit, kit: Kit, token: StoredRefreshToken) -> str:
    """Return the refresh token that follows a used one: a new one at first, the same one when it is asked for again."""
    purpose = f"refresh_tokens:{token.token_hash}"
    if token.successor is not None:
        return kit.keys.unseal(bytes(token.successor), purpose).decode()
    secret = domain.new_secret()
    sessions.add_refresh_token(unit, token.session_id, secret)
    sessions.keep_successor(unit, token.token_hash, kit.keys.seal(secret.encode(), purpose))
    return secret


def _not_activated() -> ServiceError:
    return forbidden(
        "accounts.not_activated",
        "The registration of this address has not been activated yet: open the link in the e-mail that was sent to it, "
        "or ask for it again with /registrations/resends.",
    )


def _open(unit: Unit, kit: Kit, user: Person, member: Membership | None, user_agent: str | None) -> Shown:
    session_id = new_id()
    company_id = member.company_id if member else None
    sessions.add(unit, session_id, user.id, company_id=company_id, user_agent=user_agent, life=domain.SESSION_LIFE)
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
    user: Person,
    session_id: str,
    member: Membership | None,
    refresh_token: str,
    authenticated_at: datetime | None,
    since: datetime | None = None,
) -> Shown:
    access = access_for(
        unit.connection, unit.now, kit, user, session_id, member, scopes_of(kit, user), authenticated_at, since
    )
    return shown(
        access,
        otp_demanded=waits(kit, user, member, since),
        refresh_token=refresh_token,
        user=user,
        company=member.company if member else None,
        companies=[one.place for one in memberships_of(unit.connection, user)],
    )


def _end(unit: Unit, session: StoredSession, reason: str) -> None:
    if sessions.end(unit, session.id, reason):
        sessions.revoke(unit, "session", session.id)
        unit.emit(
            "session_revoked",
            subject=session.user_id,
            company_id=companies.share(unit, session.company_id),
            actor_id=session.user_id,
            data={"user_id": session.user_id, "session_id": session.id, "reason": reason},
        )
