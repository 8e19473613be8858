"""What staff of the vendor do with people (ACC-9, ACC-10), and the first staff account."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.commands.telling import emit_for_user, tell_by_mail
from services.accounts.domain import (
    Membership,
    new_secret,
    normalized_email,
)
from services.accounts.kit import Argon2Hasher, Hasher
from services.accounts.store import companies, people, sessions
from services.accounts.store.people import NewPerson, Person
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, not_found
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import run


@command(
    request=api.UpdateUserStaffRequest,
    answer=api.StaffUser,
    needs=(needs.RECENT_LOGIN, needs.STAFF, needs.WRITE),
    raises=("accounts.user_not_found", "accounts.staff_self", "accounts.user_in_company"),
    emits=("user_locked", "user_unlocked", "user_changed"),
)
def update_user_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Change lock, account rights or staff mark of a user (ACC-9, ACC-10)."""
    actor = Actor.of(call)

    def work(unit: Unit) -> Shown:
        user = _held(unit, request["user_id"])
        if user.id == actor.user_id and ("locked" in request or "staff" in request):
            raise conflict(
                "accounts.staff_self",
                "You cannot lock yourself or change your own staff mark: ask another staff member.",
            )
        changed = _changes(user, request)
        if changed.get("staff"):
            _require_no_company(unit, user.id)
        if changed:
            people.change(unit, user.id, **changed)
            _tell(unit, user.id, changed)
            tell_by_mail(database, unit, "rights_changed", user)
        return staff_user(_held(unit, user.id), companies.memberships(unit.connection, user.id))

    return run(database, call, request, work, scope=actor.user_id)


def create_staff(
    database: Database, email: str, password: str | None = None, *, hasher: Hasher | None = None
) -> tuple[str, str | None]:
    """Make a working staff account, or make a staff account of the one that has this address.

    For `tessera-admin` on the machine itself; there is no call for it.

    Args:
        database: of accounts.
        email: address of the account.
        password: of a new account; None makes one up. An account that is there keeps its own.
        hasher: in place of argon2id with today's costs.

    Returns:
        The user's id, and the password when one was made up.
    Raises: accounts.user_in_company.
    Emits: user_activated for a new account, user_changed.
    """
    made_up = new_secret() if password is None else None
    chosen = made_up or password or ""
    password_hash = (hasher or Argon2Hasher()).hash(chosen)
    normalized = normalized_email(email)

    def work(unit: Unit) -> tuple[str, str | None]:
        known = people.by_email(unit.connection, normalized)
        if known is not None:
            people.locked_by_id(unit, known.id)
            _require_no_company(unit, known.id)
            people.change(unit, known.id, staff=True)
            _tell(unit, known.id, {"staff": True})
            return known.id, None
        user_id = new_id()
        person = NewPerson(
            id=user_id,
            email=email.strip(),
            email_normalized=normalized,
            password_hash=password_hash,
            forename="Staff",
            surname=email.split("@", maxsplit=1)[0][:64],
            language="en",
            staff=True,
        )
        people.add(unit, person)
        unit.emit("user_activated", subject=user_id, data={"user_id": user_id})
        _tell(unit, user_id, {"staff": True})
        return user_id, made_up

    return database.write(work)


def _held(unit: Unit, user_id: str) -> Person:
    user = people.locked_by_id(unit, user_id)
    if user is None:
        raise not_found("accounts.user_not_found", "There is no such user; check the id.")
    return user


def _require_no_company(unit: Unit, user_id: str) -> None:
    """Refuse the staff mark to a member: staff belong to no customer's company (ACC-3). The user's row is held."""
    members = companies.memberships(unit.connection, user_id)
    if members:
        raise conflict(
            "accounts.user_in_company",
            "The user belongs to a company, and staff belong to none: take the user out of it first, or use another "
            "account.",
            companies=[{"id": member.company_id, "name": member.company_name} for member in members],
        )


def _changes(user: Person, request: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {name: request[name] for name in ("locked", "staff") if name in request}
    if "account_rights" in request:
        wanted["account_rights"] = sorted(set(request["account_rights"]))
    return {name: value for name, value in wanted.items() if getattr(user, name) != value}


def _tell(unit: Unit, user_id: str, changed: Mapping[str, object]) -> None:
    if "locked" in changed:
        if changed["locked"]:
            sessions.end_all(unit, user_id, "lock")
            sessions.revoke(unit, "user", user_id)
        emit_for_user(unit, "user_locked" if changed["locked"] else "user_unlocked", user_id, {})
    others = {name: value for name, value in changed.items() if name != "locked"}
    if others:
        emit_for_user(unit, "user_changed", user_id, {"what": sorted(others), **others})


def staff_user(row: Person, members: Sequence[Membership]) -> Shown:
    """Return a user as staff see them, with the memberships."""
    places = [member.place for member in members]
    return shown(row, active=True, account_rights=sorted(row.account_rights), companies=places)
