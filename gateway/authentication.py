"""Says who asks: checks access tokens locally, and exchanges what is none at accounts for one.

Three things are exchanged: a token that is older than a change of its user, an API token, and the HTTP Basic
login of the device door. What the caller may do is not decided here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from gateway.messages import Request
from gateway.revocations import Revocations, Verdict
from gateway.row import Right, Rooms, Row
from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.errors import ServiceError, forbidden, unauthenticated, unavailable
from services.projects.api import GUEST, OWN, STAFF, may_have, roles_of

EXCHANGED_SECONDS: Final = 60.0
# Older than any clock difference and any request: what was ended before came by its own answer or event.
_RECENT_SECONDS: Final = 30.0
_CACHE_SIZE: Final = 4096

log = structlog.get_logger()
Verify = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: verified claims and the token that proves them to the rooms."""

    claims: Mapping[str, Any]
    token: str


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """A token that accounts gave for something else, good until `until`; it knows events up to `as_of`."""

    identity: Identity
    until: float
    as_of: float


class Authentication:
    """Turns the Authorization header of a request into an identity.

    Args:
        rooms: calls accounts.
        verify: returns the claims of a good access token (services.chassis.keys.tokens.verify).
    """

    def __init__(self, rooms: Rooms, verify: Verify) -> None:
        self._rooms = rooms
        self._verify = verify
        self.revocations = Revocations()
        self.is_ready = False
        self._exchanged: OrderedDict[bytes, _Exchanged] = OrderedDict()
        # Secrets are remembered only under a key that dies with the process.
        self._salt = os.urandom(32)

    def load_revocations(self) -> None:
        """Ask accounts what was revoked of late; until then no token is believed.

        Raises:
            service.unavailable: accounts cannot be reached.
        """
        reply = self._rooms.call("accounts", "list_revocations", Call(), {})
        self.revocations.load(reply.result["items"])
        self.is_ready = True

    def learn_revocations(self, call: Call) -> None:
        """Learn what a request has just ended, so that nothing that begins after its answer is believed here.

        Other processes learn it from the event, within a second; so does this one when accounts does not answer now.
        """
        since = datetime.fromtimestamp(time.time() - _RECENT_SECONDS, UTC).isoformat()
        try:
            # In the gateway's own name, which is signed only where no user's token goes along.
            asked = replace(call.derive("revocations"), claims={}, token="")
            reply = self._rooms.call("accounts", "list_revocations", asked, {"since": since})
        except ServiceError as error:
            log.warning("revocations_not_learned", code=error.code)
            return
        self.revocations.learn(reply.result["items"])

    def forget(self) -> None:
        """Forget every exchanged login, so that accounts is asked again."""
        self._exchanged.clear()

    def look_at(self, row: Row, request: Request) -> None:
        """Refuse who clearly is nobody, before anything is read or waited for on their behalf.

        Raises:
            token.missing, token.invalid, token.expired: no login that could be good.
        """
        if row.right is Right.NONE:
            return
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        scheme, credentials = scheme.lower(), credentials.strip()
        if scheme == "bearer" and credentials.count(".") == 2 and self.is_ready:
            self._verify(credentials)
        elif not credentials or scheme not in (("bearer", "basic") if row.right is Right.DEVICE else ("bearer",)):
            raise unauthenticated("token.missing", "A login is needed; send an access token.")

    def identify(self, row: Row, request: Request, call: Call) -> Identity | None:
        """Return who asks, None where nobody has to.

        Raises:
            token.missing, token.invalid, token.expired, token.revoked: no good login.
            accounts.login_failed and others: the device door's login is refused.
            service.starting: it is not known yet which tokens were revoked.
        """
        if row.right is Right.NONE:
            return None
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        scheme, credentials = scheme.lower(), credentials.strip()
        if not self.is_ready:
            raise unavailable("service.starting", "Logins cannot be checked yet; try again in a moment.")
        if scheme == "basic" and row.right is Right.DEVICE:
            return self._of_basic(credentials, request, call)
        if scheme != "bearer" or not credentials:
            raise unauthenticated("token.missing", "A login is needed; send an access token.")
        if credentials.count(".") != 2:
            return self._of_api_token(credentials, request, call)
        return self._current(Identity(self._verify(credentials), credentials), call)

    def require_fresh(self, identity: Identity | None, call: Call) -> None:
        """Tell the holder of a token without a company to refresh it, when its session has a company by now.

        Raises:
            token.outdated: a company was founded or joined since the token was made.
        """
        if identity is None or identity.claims.get("company") is not None:
            return
        asked = Call(identity.claims, identity.token, call.request_id, call.deadline, language=call.language)
        try:
            fresh = self._rooms.call("accounts", "renew_token", asked, {}).result.get("access_token")
        except ServiceError:
            return
        if fresh is not None and self._verify(str(fresh)).get("company") is not None:
            raise unauthenticated(
                "token.outdated",
                "The access token was made before you belonged to a company: refresh the session, then repeat the "
                "request.",
            )

    def _current(self, identity: Identity, call: Call, as_of: float | None = None) -> Identity:
        """Return the identity as it is after what happened since its token was made."""
        verdict, at = self.revocations.judge(identity.claims, as_of)
        if verdict is Verdict.GOOD:
            return identity
        if verdict is Verdict.DEAD:
            raise _revoked()
        key = self._key("renewed", identity.token)
        known = self._exchanged.get(key)
        if known is not None and known.until > time.time() and known.as_of >= at:
            return known.identity
        asked = Call(identity.claims, identity.token, call.request_id, call.deadline, language=call.language)
        try:
            fresh = self._rooms.call("accounts", "renew_token", asked, {}).result
        except ServiceError as error:
            if error.kind in ("unauthenticated", "forbidden", "not_found"):
                raise _revoked() from None
            raise
        return self._remember(key, fresh, at, float(fresh["expires_in"]))

    def _of_basic(self, credentials: str, request: Request, call: Call) -> Identity:
        try:
            login, colon, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
        except ValueError:
            # Also for characters outside of ASCII, which are no base64 either.
            login, colon, password = "", "", ""
        # NUL is legal in UTF-8, and no database takes it.
        if not colon or not login or not password or "\0" in login + password:
            raise unauthenticated(
                "token.missing", "Send the e-mail address and password of the portal account (HTTP Basic)."
            )
        arguments = {"login": login, "password": password}
        return self._exchange("create_device_session", credentials, arguments, request, call)

    def _of_api_token(self, credentials: str, request: Request, call: Call) -> Identity:
        if len(credentials) > 512:
            raise unauthenticated("token.invalid", "The access token is not valid; log in again.")
        return self._exchange("exchange_token", credentials, {"token": credentials}, request, call)

    def _exchange(
        self, rpc: str, credentials: str, arguments: dict[str, Any], request: Request, call: Call
    ) -> Identity:
        """Return the identity that accounts gives for credentials, from memory for at most a minute."""
        key = self._key(rpc, credentials)
        known = self._exchanged.get(key)
        if known is not None and known.until > time.time():
            verdict, _ = self.revocations.judge(known.identity.claims, known.as_of)
            if verdict is Verdict.GOOD:
                return known.identity
        self._exchanged.pop(key, None)
        asked_at = time.time()
        arguments |= {"client_address": request.address, "user_agent": request.headers.get("user-agent", "")[:300]}
        fresh = self._rooms.call("accounts", rpc, call, arguments).result
        return self._remember(key, fresh, asked_at, min(EXCHANGED_SECONDS, float(fresh["expires_in"])))

    def _remember(self, key: bytes, fresh: Mapping[str, Any], as_of: float, seconds: float) -> Identity:
        token = str(fresh["access_token"])
        identity = Identity(self._verify(token), token)
        self._exchanged[key] = _Exchanged(identity, time.time() + seconds, as_of)
        if len(self._exchanged) > _CACHE_SIZE:
            self._exchanged.popitem(last=False)
        return identity

    def _key(self, purpose: str, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode(), key=self._salt, person=purpose.encode()[:16]).digest()


def authorize(row: Row, identity: Identity | None) -> None:
    """Refuse who lacks the right or the scope of a row.

    Raises:
        accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed, accounts.company_needed,
        accounts.admin_needed, accounts.staff_needed, accounts.otp_demanded, accounts.staff_otp_needed,
        access.power_needed.
    """
    if identity is None:
        return
    actor = Actor.from_claims(identity.claims)
    if actor.serves(row.served):
        return
    if row.recent:
        actor.require_login()
    if not row.enrolment:
        actor.require_factor()
    if row.needed_scope is not None and not actor.waits:
        # The scopes of a service account are those of `served` rows; `events` is a scope of persons too.
        if actor.service:
            raise forbidden(
                "accounts.scope_needed",
                f"A service account can use only the routes of its scopes, which are {', '.join(sorted(actor.scopes))}"
                ".",
                scope=row.needed_scope,
            )
        actor.require_scope(row.needed_scope)
    if row.right is Right.STAFF:
        actor.require_staff()
    elif row.right is Right.ADMIN:
        actor.require_admin()
    elif row.right in (Right.COMPANY, Right.DEVICE) and not actor.staff:
        actor.require_company()
    if row.power is not None and not may_have(row.power, _columns(actor)):
        raise forbidden("access.power_needed", "Only users of a company can do this: log in as one.", power=row.power)
    # Last: who has not the right would confirm for nothing.
    if row.recent:
        actor.require_recent_login()


def _columns(actor: Actor) -> list[str]:
    """Return the columns of the table of powers in which the caller can stand, in whatever project."""
    accesses = [OWN, GUEST] if actor.company_id is not None else []
    accesses += [STAFF] if actor.staff else []
    return [column for access in accesses for column in roles_of(access, admin=actor.admin, staff=actor.staff)]


def _revoked() -> ServiceError:
    return unauthenticated("token.revoked", "The session was ended or the account was locked; log in again.")
