"""What a procedure may need of its caller, for its declaration: each is checked before the procedure runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.accounts.api.actor import SCOPE_ACCOUNT, SCOPE_DEVICE, SCOPE_READ, SCOPE_WRITE, Actor
from services.accounts.api.merges import MergeRehearsal
from services.chassis.context import Call


@dataclass(frozen=True, slots=True)
class Needed:
    """One thing that a caller must be.

    Args:
        raises: the codes that `check` refuses with.
        check: refuses a call whose caller is not that.
        implied: codes of calls without a login, which no bus lets through to the procedure.
    """

    raises: tuple[str, ...]
    check: Callable[[Call], object]
    implied: tuple[str, ...] = ("accounts.login_needed",)


_FACTOR: Final = ("accounts.otp_demanded", "accounts.staff_otp_needed")
_BOUND: Final = ("accounts.token_bound",)


def scope(name: str) -> Needed:
    """Return the need of a token's scope (ACC-11)."""
    return Needed((*_FACTOR, "accounts.scope_needed"), lambda call: Actor.of(call).require_scope(name))


LOGIN: Final = Needed((), Actor.of)
READ: Final = scope(SCOPE_READ)
WRITE: Final = scope(SCOPE_WRITE)
ACCOUNT: Final = scope(SCOPE_ACCOUNT)
DEVICE: Final = scope(SCOPE_DEVICE)
COMPANY: Final = Needed(("accounts.company_needed",), lambda call: Actor.of(call).require_company())
ADMINISTRATOR: Final = Needed(
    (*COMPANY.raises, "accounts.admin_needed", *_BOUND), lambda call: Actor.of(call).require_admin()
)
STAFF: Final = Needed(
    ("accounts.staff_needed", "accounts.staff_otp_needed", *_BOUND), lambda call: Actor.of(call).require_staff()
)
RECENT_LOGIN: Final = Needed(
    ("accounts.login_needed", "accounts.confirmation_needed"), lambda call: Actor.of(call).require_recent_login()
)
PERSON: Final = Needed(("accounts.login_needed",), lambda call: Actor.of(call).require_login())
ENROLMENT: Final = Needed(("accounts.scope_needed",), lambda call: Actor.of(call).require_enrolment())
UNBOUND: Final = Needed(_BOUND, lambda call: Actor.of(call).require_unbound())


def staff_or_service(name: str, served: str) -> Needed:
    """Return the need of staff with a scope, or of a service account with its own (ACC-10, ACC-11).

    Args:
        name: the scope that a token of staff needs.
        served: the scope that a service account needs.
    """
    return Needed(
        (*STAFF.raises, "accounts.otp_demanded", "accounts.scope_needed"),
        lambda call: Actor.of(call).require_staff_or_service(name, served),
    )


REHEARSAL: Final = Needed(("accounts.scope_needed",), MergeRehearsal.of)
