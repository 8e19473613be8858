"""The import of another company (ACC-6): check the other administrator's login, absorb the company, watch the rooms.

The switch is one transaction. Before it both companies look unchanged; after it only one exists: tokens name the ids of
both, and the rooms bring their rows up to date behind that (docs/decisions/0008).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api, otp
from services.accounts.api import ADMIN, COMPANY_MERGE_APPLIED, MERGING_ROOMS, Actor, CompanyMerge, needs
from services.accounts.commands import logins
from services.accounts.commands.attempts import too_many
from services.accounts.commands.logins import Login
from services.accounts.commands.proving import fits_otp
from services.accounts.domain import (
    PROOF_LIFE,
    Membership,
    factor_is_demanded,
    normalized_email,
)
from services.accounts.kit import Kit
from services.accounts.store import companies, imports, mails, people
from services.accounts.store.imports import MovingUser, StoredImport
from services.accounts.store.people import Person
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError, conflict, forbidden, invalid
from services.chassis.faults import fail_point
from services.chassis.ids import new_id
from services.chassis.service.declare import command, handler, running
from services.chassis.service.running import run

LATE: Final = timedelta(minutes=5)
"""An import that is open for longer raises an alarm, and the rooms are told once more (L8)."""


@command(
    request=api.ImportCompanyRequest,
    answer=api.Job,
    needs=(needs.RECENT_LOGIN, needs.ACCOUNT, needs.ADMINISTRATOR),
    rehearsable=True,
    rehearsal=api.ImportRehearsal,
    raises=(
        "accounts.company_absorbed",
        "accounts.import_login_failed",
        "accounts.import_otp_needed",
        "accounts.import_admin_needed",
        "accounts.import_ambiguous",
        "accounts.import_own_company",
        "accounts.too_many_attempts",
    ),
    emits=("company_merged", "company_user_added", "login_failed"),
)
def import_company(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Take another company into the caller's by the login of one of its administrators, or rehearse it (ACC-6).

    Both companies are told, and each user who is new; a wrong login is told to the other company's history.
    """
    actor = Actor.of(call)
    login = logins.begin(database, call, request["email"], request.get("client_address"))
    # Hashing is slow and must not happen while the database is held.
    fits = kit.hasher.verify(login.user.password_hash if login.user else None, request["password"])
    has_code = fits and login.user is not None and login.user.otp_confirmed_at is not None and request["otp"]
    # Counted for itself, since a refused import leaves nothing behind.
    if has_code and (wait := database.write(lambda unit: logins.count_code(unit, login), call=call)):
        raise too_many(wait)
    task = _Import(actor, kit, request, login, fits)
    if request["dry_run"]:
        answer = _rehearsed(database, call, task)
    else:
        answer = run(
            database, call, _fingerprint(kit, request), task.switch,
            on_refusal=task.after_refusal, name="import_company",
        )  # fmt: skip
        fail_point("accounts.import.after_commit")
    database.write(lambda unit: logins.forgive(unit, login), call=call)
    return answer


def _rehearsed(database: Database, call: Call, task: _Import) -> Answer:
    # Not rolled back: the code of a second factor is used up, and what it proved is kept for the import itself.
    try:
        return running().dump(database.write(task.rehearse, call=call), rehearsed=True)
    except ServiceError as error:
        database.write(partial(task.after_refusal, refusal=error), call=call)
        raise


@handler(emits=("company_merge_finished",))
def apply_history_events(unit: Unit, events: Sequence[Event]) -> None:
    """Note which rooms have applied an import; the last one finishes it. Other events are not ours."""
    for event in events:
        if event.type != COMPANY_MERGE_APPLIED:
            continue
        row = imports.hold(unit, str(event.data["merge_id"]))
        if row is None or not imports.note_room(unit, row.id, str(event.data["room"]), event.data["counts"]):
            continue
        moved = imports.rooms(unit.connection, row.id)
        if moved.keys() >= set(MERGING_ROOMS) and imports.finish(unit, row.id):
            fail_point("accounts.import.before_finish")
            unit.emit(
                "company_merge_finished",
                subject=row.gone_id,
                company_id=companies.current_id(unit.connection, row.company_id),
                actor_id=row.started_by,
                data={
                    "merge_id": row.id,
                    "gone_id": row.gone_id,
                    "gone_name": row.gone_name,
                    "moved": {"accounts": row.moved, **moved},
                },
            )


@handler(emits=("company_merged",))
def watch_imports(database: Database) -> float:
    """Tell the rooms, and no company, once more about imports that one of them is late with.

    Returns:
        The age of the oldest in seconds.
    """
    now = datetime.now(UTC)
    rows = database.read(imports.open_ones)
    for row in rows:
        if now - row.told_at >= LATE:
            database.write(partial(_tell_again, row=row, told_before=now - LATE))
    return max(((now - row.started_at).total_seconds() for row in rows), default=0.0)


class _Import:
    """One import, as units of work that may run more than once."""

    def __init__(self, actor: Actor, kit: Kit, request: Mapping[str, Any], login: Login, fits: bool) -> None:
        self.actor, self.kit, self.request, self.login, self.fits = actor, kit, request, login, fits
        self.own_id = actor.require_admin()
        self.passed = False

    def rehearse(self, unit: Unit) -> dict[str, object]:
        """Return what accounts would move, and the token with which the other rooms are asked."""
        other = self._checked(unit)
        if self.request["otp"]:
            # A code works once, but the form that was rehearsed is the form that is sent.
            imports.prove(unit, self._proof(), PROOF_LIFE)
        connection = unit.connection
        members = imports.members(connection, other.company_id, self.own_id)
        assert unit.call is not None
        token = self.kit.rehearsal_token(
            unit.call.claims,
            [self.own_id, *companies.absorbed_ids(connection, self.own_id)],
            {"companies": self._gone_ids(unit, other), "name": other.company_name},
            unit.now,
        )
        return {
            "company": {"id": other.company_id, "name": other.company_name},
            "users": _counts(members, *imports.count_open(connection, other.company_id)),
            "token": token,
        }

    def switch(self, unit: Unit) -> dict[str, object]:
        """Absorb the company: from the commit on there is only one."""
        other = self._checked(unit)
        fail_point("accounts.import.before_switch")
        members = imports.members(unit.connection, other.company_id, self.own_id)
        moved = _counts(members, *imports.count_open(unit.connection, other.company_id))
        merge = CompanyMerge(
            new_id(), self.own_id, other.company_id, tuple(self._gone_ids(unit, other)), other.company_name
        )
        imports.absorb(unit, merge.gone_ids, self.own_id)
        imports.move_members(unit, members, other.company_id, self.own_id)
        imports.move_invitations(unit, other.company_id, self.own_id)
        imports.move_logins(unit, other.company_id, self.own_id)
        row = imports.add(unit, merge, moved, self.actor.user_id)
        self._tell(unit, merge, members)
        fail_point("accounts.import.in_switch")
        return job_answer(unit.connection, row)

    def after_refusal(self, unit: Unit, refusal: ServiceError) -> None:
        """Tell the history of the other company about a wrong login; a right one does not count as an attempt."""
        if refusal.code != "accounts.import_login_failed":
            # A right password alone forgives nothing: codes are guessed with one.
            if self.passed:
                logins.forgive(unit, self.login)
            return
        # The other company must not learn from it who its neighbors are (S9).
        logins.tell_failure(unit, self.login, "import", anonymous=True)

    def _checked(self, unit: Unit) -> Membership:
        """Hold both companies and the other one's users, and return the administrator's membership in the other one.

        Raises: see `import_company`.
        """
        known = self.login.user
        if known is None or not self.fits:
            raise _login_failed()
        user_id = known.id
        choice = self._choice(companies.memberships(unit.connection, user_id))
        self._hold(unit, choice)
        user = people.locked_by_id(unit, user_id)
        if user is None or user.password_hash != known.password_hash:
            raise _login_failed()
        # Which companies the user is an administrator of is told only to somebody with the second factor as well.
        self._check_otp(unit, user)
        self.passed = True
        if isinstance(choice, ServiceError):
            raise choice
        present = companies.membership(unit.connection, choice.company_id, user_id)
        if user.locked or user.staff or present is None or present.locked or present.role != ADMIN:
            raise _admin_needed()
        if user.otp_confirmed_at is None and factor_is_demanded(present, None):
            raise forbidden(
                "accounts.otp_demanded",
                "The company to import demands a second factor of its users, and this administrator has none: log in "
                "there and switch one on first.",
            )
        mine = companies.membership(unit.connection, self.own_id, self.actor.user_id)
        if mine is None or mine.locked or mine.role != ADMIN:
            raise forbidden("accounts.admin_needed", "Only administrators of the company may do this: ask one of them.")
        return present

    def _choice(self, memberships: Sequence[Membership]) -> Membership | ServiceError:
        administrated = [one for one in memberships if one.role == ADMIN and not one.locked]
        others = [one for one in administrated if one.company_id != self.own_id]
        asked = self.request["company_id"]
        if asked is not None:
            others = [one for one in others if one.company_id == asked]
        if not others:
            own = any(one.company_id == self.own_id and asked in (None, self.own_id) for one in administrated)
            return _own_company() if own else _admin_needed()
        if len(others) > 1:
            return conflict(
                "accounts.import_ambiguous",
                "The user is an administrator of several companies: name one of them as `company_id`.",
                companies=[{"id": one.company_id, "name": one.company_name} for one in others],
            )
        return others[0]

    def _hold(self, unit: Unit, choice: Membership | ServiceError) -> None:
        """Hold the rows in one order for all, so that two imports that cross have one winner."""
        other_id = None if isinstance(choice, ServiceError) else choice.company_id
        for company_id in sorted({self.own_id, other_id or self.own_id}):
            if not companies.hold(unit, company_id):
                raise _absorbed() if company_id == self.own_id else _admin_needed()
        if other_id is not None:
            imports.hold_users(unit, other_id)

    def _check_otp(self, unit: Unit, user: Person) -> None:
        if user.otp_confirmed_at is None:
            return
        if not self.request["otp"]:
            raise invalid(
                "accounts.import_otp_needed",
                "The other company's administrator has a second factor: send its code as `otp`.",
            )
        if not imports.is_proven(unit, self._proof()) and not fits_otp(unit, self.kit, user, self.request["otp"]):
            raise _login_failed()

    def _proof(self) -> str:
        """Digest who proved what: this session, the user with this password, this code."""
        user = self.login.user
        assert user is not None, "the password fits"
        code = otp.normalized_recovery_code(self.request["otp"])
        parts = (self.actor.session_id, user.id, user.password_hash, code)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _gone_ids(self, unit: Unit, other: Membership) -> list[str]:
        return [other.company_id, *companies.absorbed_ids(unit.connection, other.company_id)]

    def _tell(self, unit: Unit, merge: CompanyMerge, members: Sequence[MovingUser]) -> None:
        for company_id in (merge.company_id, merge.gone_id):
            unit.emit(
                "company_merged",
                subject=merge.gone_id,
                company_id=company_id,
                data=merge.data(copy=company_id != merge.company_id),
            )
        for member in members:
            if not member.is_member:
                data = {"user_id": member.user_id, "role": "member", "locked": member.locked}
                unit.emit("company_user_added", subject=member.user_id, company_id=merge.company_id, data=data)
            if member.role == ADMIN and not member.locked:
                mails.queue(unit, self.kit.keys, "company_imported", member.language, member.email, {})


def _counts(members: Sequence[MovingUser], invitations: int, api_tokens: int) -> dict[str, int]:
    return {
        "moving": sum(1 for one in members if not one.is_member),
        "already_members": sum(1 for one in members if one.is_member),
        "admins": sum(1 for one in members if one.role == ADMIN and not one.is_member),
        "invitations": invitations,
        "api_tokens": api_tokens,
    }


def _fingerprint(kit: Kit, request: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "email": normalized_email(request["email"]),
        "password": kit.fingerprint(request["password"]),
        "otp": kit.fingerprint(request["otp"]) if request["otp"] else None,
        "company_id": request["company_id"],
    }


def _tell_again(unit: Unit, row: StoredImport, told_before: datetime) -> None:
    if imports.tell_again(unit, row.id, told_before):
        unit.emit("company_merged", subject=row.gone_id, data=row.merge.data())


def _login_failed() -> ServiceError:
    return invalid(
        "accounts.import_login_failed",
        "The e-mail address, the password or the second factor of the other company's administrator is wrong: check "
        "them and try again.",
    )


def _admin_needed() -> ServiceError:
    return conflict(
        "accounts.import_admin_needed",
        "The login is right, but its user is not an administrator of another company: use an administrator's.",
    )


def _own_company() -> ServiceError:
    return invalid(
        "accounts.import_own_company",
        "This login belongs to an administrator of your own company: use one from the company to import.",
    )


def _absorbed() -> ServiceError:
    return conflict(
        "accounts.company_absorbed",
        "Your company was imported by another one: log in again to continue there.",
    )


def job_answer(connection: Connection, row: StoredImport) -> dict[str, object]:
    """Return an import as `Job`: the switch is the first step, then one per room."""
    moved = imports.rooms(connection, row.id)
    done = row.finished_at is not None
    result = {
        "company": {"id": row.gone_id, "name": row.gone_name},
        "moved": {"accounts": row.moved, **moved},
    }
    return {
        "id": row.id,
        "kind": "company_import",
        "state": "done" if done else "running",
        "done": 1 + len(moved),
        "total": 1 + len(MERGING_ROOMS),
        "created_at": row.started_at,
        "finished_at": row.finished_at,
        "result": result if done else None,
    }
