"""Access tokens: what a login or an API token is good for now, and what a demanded second factor leaves of it.

Who proved what, and which sessions there are, does not belong here.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import domain
from services.accounts.api import (
    SCOPE_ACCOUNT,
    SCOPE_DEVICE,
    SCOPE_EVENTS,
    SCOPE_READ,
    SCOPE_WRITE,
    factor_demanded,
)
from services.accounts.domain import Membership
from services.accounts.kit import Kit
from services.accounts.store import companies, people

INTERACTIVE: Final = (SCOPE_READ, SCOPE_WRITE, SCOPE_DEVICE, SCOPE_ACCOUNT)


def memberships_of(connection: Connection, user: Any) -> list[Membership]:
    """Return where a user may work: staff of the vendor in no customer's company, whoever put them into one."""
    return [] if user.staff else companies.memberships(connection, user.id)


def scopes_of(kit: Kit, user: Any) -> tuple[str, ...]:
    """Return the scopes of a login."""
    return (*INTERACTIVE, SCOPE_EVENTS) if kit.is_staff(user) else INTERACTIVE


def waits(kit: Kit, user: Any, member: Membership | None, since: datetime | None) -> bool:
    """Return whether a login may do nothing but switch a second factor on."""
    if user.otp_confirmed_at is not None:
        return False
    return kit.staff_waits(user) or domain.factor_is_demanded(member, since)


def access_for(
    connection: Connection,
    now: datetime,
    kit: Kit,
    user: Any,
    session_id: str,
    member: Membership | None,
    scopes: tuple[str, ...],
    authenticated_at: datetime | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Return an access token with its life, good for a second factor alone where one is demanded and missing.

    Args:
        connection: where absorbed companies are looked up.
        now: database time.
        kit: keys.
        user: row of the user.
        session_id: what the token stands for.
        member: the company that it is for.
        scopes: what it may be used for, if no second factor is demanded.
        authenticated_at: when the person last proved who they are.
        since: when the session came into the company; None for a login of now.
    """
    token, seconds = kit.access_token(
        user,
        session_id=session_id,
        membership=member,
        absorbed=companies.absorbed_ids(connection, member.company_id) if member else (),
        scopes=scopes,
        now=now,
        authenticated_at=authenticated_at,
        limited=waits(kit, user, member, since),
    )
    return {"access_token": token, "expires_in": seconds}


def access_of_api_token(connection: Connection, now: datetime, kit: Kit, token: Any) -> dict[str, Any] | None:
    """Return an access token for an API token as long as it, its owner and the membership behind it are good.

    Raises: accounts.otp_demanded, accounts.staff_otp_needed where its owner would first need a second factor.
    """
    user = people.by_id(connection, token.user_id)
    expired = token.expires_at is not None and token.expires_at <= now
    if user is None or user.locked or token.revoked_at is not None or expired:
        return None
    member = None
    if token.company_id is not None:
        if user.staff:
            return None
        member = companies.membership(connection, token.company_id, user.id)
        if member is None or member.locked:
            return None
    if waits(kit, user, member, None):
        raise factor_demanded(staff=kit.staff_waits(user))
    scopes = [scope for scope in token.scopes if scope != SCOPE_EVENTS or kit.is_staff(user)]
    access, seconds = kit.access_token(
        user,
        session_id=token.id,
        membership=member,
        absorbed=companies.absorbed_ids(connection, member.company_id) if member else (),
        scopes=scopes,
        now=now,
        project_id=token.project_id,
        not_after=token.expires_at,
    )
    return {"access_token": access, "expires_in": seconds}
