"""Access tokens: what a login or an API token is good for now, and what a demanded second factor leaves of it.

Who proved what, and which sessions there are, does not belong here.
"""

from datetime import datetime
from typing import Final

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
from services.accounts.kit import Access, Kit
from services.accounts.store import companies, people
from services.accounts.store.people import Person
from services.accounts.store.sessions import StoredApiToken
from services.chassis.data.db import Unit
from services.chassis.errors import ServiceError, forbidden

INTERACTIVE: Final = (SCOPE_READ, SCOPE_WRITE, SCOPE_DEVICE, SCOPE_ACCOUNT)


def memberships_of(connection: Connection, user: Person) -> list[Membership]:
    """Return where a user may work: staff of the vendor in no customer's company, whoever put them into one."""
    return [] if user.staff else companies.memberships(connection, user.id)


def scopes_of(kit: Kit, user: Person) -> tuple[str, ...]:
    """Return the scopes of a login."""
    return (*INTERACTIVE, SCOPE_EVENTS) if kit.is_staff(user) else INTERACTIVE


def waits(kit: Kit, user: Person, member: Membership | None, since: datetime | None) -> bool:
    """Return whether a login may do nothing but switch a second factor on."""
    if user.otp_confirmed_at is not None:
        return False
    return kit.staff_waits(user) or domain.factor_is_demanded(member, since)


def access_for(
    connection: Connection,
    now: datetime,
    kit: Kit,
    user: Person,
    session_id: str,
    member: Membership | None,
    scopes: tuple[str, ...],
    authenticated_at: datetime | None = None,
    since: datetime | None = None,
) -> Access:
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
    return kit.access_token(
        user,
        session_id=session_id,
        membership=member,
        absorbed=companies.absorbed_ids(connection, member.company_id) if member else (),
        scopes=scopes,
        now=now,
        authenticated_at=authenticated_at,
        limited=waits(kit, user, member, since),
    )


def access_of_api_token(connection: Connection, now: datetime, kit: Kit, token: StoredApiToken) -> Access | None:
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
    return kit.access_token(
        user,
        session_id=token.id,
        membership=member,
        absorbed=companies.absorbed_ids(connection, member.company_id) if member else (),
        scopes=scopes,
        now=now,
        project_id=token.project_id,
        not_after=token.expires_at,
    )


def company_of(
    unit: Unit, user: Person, asked: str | None, last_used: str | None = None
) -> tuple[Membership | None, bool]:
    """Return the company that a login is for, and whether it must be refused (`domain.choose_company`)."""
    members = memberships_of(unit.connection, user)
    return domain.choose_company(members, asked, last_used or user.last_company_id)


def refusal_of_company(locked: bool, asked: str | None) -> ServiceError:
    """Return the refusal of a login to an account that is locked, or to the company that was asked for."""
    if asked is not None and not locked:
        return forbidden(
            "accounts.company_not_found",
            "You are not a user of a company with this id, or are locked out of it: refresh the session to see your "
            "companies.",
        )
    return forbidden(
        "accounts.locked",
        "The account is locked: ask the vendor, or an administrator of your company, to unlock it.",
    )
