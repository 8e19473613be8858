"""Who asks: the verified claims of an access token as a value. No database, no decision about objects."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from services.chassis.context import Call
from services.chassis.errors import ServiceError, forbidden, unauthenticated

MOVE_LICENSES: Final = "MOVE_LICENSES"
REQUEST_CERTIFICATE: Final = "REQUEST_CERTIFICATE"
ACCOUNT_RIGHTS: Final = (MOVE_LICENSES, REQUEST_CERTIFICATE)

ADMIN: Final = "admin"
MEMBER: Final = "member"
ROLES: Final = (ADMIN, MEMBER)

SCOPE_READ: Final = "read"
SCOPE_WRITE: Final = "write"
SCOPE_DEVICE: Final = "device"
SCOPE_EVENTS: Final = "events"
TOKEN_SCOPES: Final = (SCOPE_READ, SCOPE_WRITE, SCOPE_DEVICE, SCOPE_EVENTS)
"""The scopes that an API token can be given."""
SCOPE_ORDERS: Final = "orders"
SCOPE_SEARCH: Final = "search"
SERVICE_SCOPES: Final = (SCOPE_ORDERS, SCOPE_EVENTS, SCOPE_SEARCH)
"""The scopes that a service account can be given; a person's token never has `orders` or `search`."""
SCOPE_ACCOUNT: Final = "account"
"""The scope of an interactive login alone: password, second factor, tokens and sessions are not for API tokens."""
SCOPE_ENROLMENT: Final = "enrolment"
"""The only scope of a login that may do nothing but switch a second factor on, because one is demanded of it."""


RECENT_SECONDS: Final = 600.0
"""A login or a confirmation counts as recent for so long (api.md, mission ACC-13)."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One logged-in person (or an API token of theirs) as accounts signed it at most 900 s ago."""

    user_id: str
    session_id: str
    company_id: str | None
    company_ids: tuple[str, ...]
    role: str | None
    rights: frozenset[str]
    staff: bool
    scopes: frozenset[str]
    project_id: str | None
    language: str
    staff_waits: bool = False
    authenticated_at: float | None = None
    service: bool = False

    @classmethod
    def of(cls, call: Call) -> Self:
        """Return the actor of a call.

        Raises: accounts.login_needed when the call carries no verified claims.
        """
        if not call.claims:
            raise unauthenticated("accounts.login_needed", "This request needs a login: send an access token.")
        return cls.from_claims(call.claims)

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Return the actor that verified access-token claims describe."""
        return cls(
            user_id=str(claims["sub"]),
            session_id=str(claims["sid"]),
            company_id=claims.get("company"),
            company_ids=tuple(claims.get("companies") or ()),
            role=claims.get("role"),
            rights=frozenset(claims.get("rights") or ()),
            staff=bool(claims.get("staff")),
            scopes=frozenset(claims.get("scopes") or ()),
            project_id=claims.get("project"),
            language=str(claims.get("lang") or "en"),
            staff_waits=bool(claims.get("staff_waits")),
            authenticated_at=claims.get("auth_time"),
            service=claims.get("service") is True,
        )

    @property
    def admin(self) -> bool:
        """Whether the actor is an administrator of the company that the token is for."""
        return self.company_id is not None and self.role == ADMIN

    def owns(self, company_id: str | None) -> bool:
        """Return whether the id is the actor's company or one that it absorbed (ACC-6: aliases live for ever)."""
        return company_id is not None and company_id in self.company_ids

    def require_company(self) -> str:
        """Return the id of the actor's company.

        Raises: accounts.company_needed.
        """
        if self.company_id is None:
            raise forbidden(
                "accounts.company_needed",
                "This session is not in a company: create one, accept an invitation, or switch to one that has not "
                "locked you out.",
            )
        return self.company_id

    def require_admin(self) -> str:
        """Return the id of the company of which the actor is an administrator.

        Raises: accounts.company_needed, accounts.admin_needed, accounts.token_bound.
        """
        company_id = self.require_company()
        if self.role != ADMIN:
            raise forbidden("accounts.admin_needed", "Only administrators of the company may do this: ask one of them.")
        self.require_unbound()
        return company_id

    def require_unbound(self) -> None:
        """Refuse a token that is bound to one project, for what concerns the company or the vendor as a whole.

        Raises: accounts.token_bound.
        """
        if self.project_id is not None:
            raise forbidden(
                "accounts.token_bound",
                "The token is bound to one project, and this goes beyond it: use one that is not bound.",
            )

    @property
    def waits(self) -> bool:
        """Whether the login may do nothing but switch a second factor on."""
        return SCOPE_ENROLMENT in self.scopes

    def require_factor(self) -> None:
        """Refuse a login of which a second factor is demanded and that has none.

        Raises: accounts.otp_demanded, accounts.staff_otp_needed.
        """
        if self.waits:
            raise factor_demanded(staff=self.staff_waits)

    def require_enrolment(self) -> None:
        """Refuse who may not even switch a second factor on: API tokens and the device door's logins.

        Raises: accounts.scope_needed.
        """
        if not self.waits:
            self.require_scope(SCOPE_ACCOUNT)

    def require_staff(self) -> None:
        """Refuse anyone but staff of the vendor, and staff who still have to switch a second factor on (S19).

        Raises: accounts.staff_needed, accounts.staff_otp_needed, accounts.token_bound.
        """
        if self.staff_waits:
            raise factor_demanded(staff=True)
        if not self.staff:
            raise forbidden("accounts.staff_needed", "Only staff of the vendor may do this; ask them to do it.")
        self.require_unbound()

    def serves(self, scope: str | None) -> bool:
        """Return whether the actor is a service account that was given the scope; it is no person and no staff."""
        return self.service and scope in SERVICE_SCOPES and scope in self.scopes

    def require_staff_or_service(self, scope: str, served: str) -> None:
        """Refuse who is neither staff with a scope nor a service account with its own (ACC-10, ACC-11).

        Args:
            scope: what a token of staff needs.
            served: what a service account needs.

        Raises: accounts.staff_needed, accounts.staff_otp_needed, accounts.token_bound, accounts.scope_needed.
        """
        if not self.serves(served):
            self.require_staff()
            self.require_scope(scope)

    def require_login(self) -> None:
        """Refuse what is no login of a person: API tokens, and the device door's logins (ACC-13).

        Raises: accounts.login_needed.
        """
        if self.authenticated_at is None:
            raise forbidden(
                "accounts.login_needed", "This is closed to API tokens: log in, and send the access token of the login."
            )

    def require_recent_login(self) -> None:
        """Refuse who did not log in or confirm within the last ten minutes (ACC-13).

        Raises: accounts.login_needed, accounts.confirmation_needed.
        """
        self.require_login()
        assert self.authenticated_at is not None
        if time.time() - self.authenticated_at > RECENT_SECONDS:
            raise forbidden(
                "accounts.confirmation_needed",
                "The login is older than ten minutes: send the password, and the code of a second factor, to "
                "POST /v1/sessions/current/confirmations, and repeat this with the access token that it returns.",
            )

    def require_right(self, name: str) -> None:
        """Refuse an actor without the account right (ACC-9).

        Raises: accounts.right_needed.
        """
        if name not in self.rights:
            raise forbidden(
                "accounts.right_needed", f"Your account needs the right {name}: ask the vendor for it.", right=name
            )

    def require_scope(self, name: str) -> None:
        """Refuse a token without the scope (ACC-11).

        Raises: accounts.scope_needed; without the second factor accounts.otp_demanded, accounts.staff_otp_needed.
        """
        if name != SCOPE_ENROLMENT:
            self.require_factor()
        if name not in self.scopes:
            if name == SCOPE_ACCOUNT:
                raise forbidden(
                    "accounts.scope_needed",
                    "No API token may do this: log in with e-mail address and password.",
                    scope=name,
                )
            raise forbidden(
                "accounts.scope_needed", f"The token lacks the scope {name}: use one that has it.", scope=name
            )


def factor_demanded(*, staff: bool) -> ServiceError:
    """Return the refusal of who needs a second factor first: staff (S19), or a user of a company that demands it."""
    if staff:
        return forbidden(
            "accounts.staff_otp_needed",
            "Staff need a second factor here, and until then this login can do nothing else: switch it on with "
            "POST /v1/me/otp and POST /v1/me/otp/confirmations, then refresh the session.",
        )
    return forbidden(
        "accounts.otp_demanded",
        "This company demands a second factor of its users: switch it on with POST /v1/me/otp and POST "
        "/v1/me/otp/confirmations, then refresh the session. A device uses an API token of scope device after that.",
    )
