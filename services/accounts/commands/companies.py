"""Companies: making and renaming them (ACC-3)."""

from collections.abc import Mapping
from typing import Any

from services.accounts.access import administrated
from services.accounts.api import ADMIN, SCOPE_ACCOUNT, SCOPE_WRITE, Actor
from services.accounts.commands.invitations import staff_in_company
from services.accounts.domain import COMPANIES_AT_MOST
from services.accounts.store import companies, mails, notices, people, sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, not_found, stale
from services.chassis.ids import new_id


def create_company(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a company with the caller as its first administrator; the caller's session is in it from now on.

    The token in hand does not name the company yet: the next refresh or `renew_token` does.

    Raises: accounts.scope_needed, accounts.user_not_found, accounts.staff_in_company, accounts.too_many_companies.
    Emits: company_created.
    """
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)

    def work(unit: Unit) -> dict[str, Any]:
        user = people.locked_by_id(unit, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
        if user.staff:
            raise staff_in_company()
        if len(companies.memberships(unit.connection, actor.user_id)) >= COMPANIES_AT_MOST:
            raise conflict(
                "accounts.too_many_companies",
                f"You are in {COMPANIES_AT_MOST} companies already: leave one, or ask the vendor.",
                limit=COMPANIES_AT_MOST,
            )
        company_id = new_id()
        companies.add(
            unit,
            {
                "id": company_id,
                "name": request["name"],
                "vendor_customer_number": request["vendor_customer_number"],
            },
        )
        companies.add_membership(unit, company_id, actor.user_id, ADMIN)
        people.touch(unit, actor.user_id, last_company_id=company_id)
        sessions.enter(unit, actor.session_id, company_id)
        unit.emit("company_created", subject=company_id, company_id=company_id, data={"name": request["name"]})
        return {"id": company_id, "name": request["name"], "role": ADMIN}

    # The scope is the person: the same key must not make a second company after the switch.
    return database.command(call, "create_company", request, work, scope=actor.user_id) or {}


def update_company(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Change name or vendor account id of the caller's company, or by staff of the one that the request names.

    `device_notices` is closed to API tokens. `otp_demanded` needs a recent login, and is mailed to the administrators:
    from their next login on, users need a second factor.

    Raises: accounts.company_needed, accounts.admin_needed, accounts.staff_needed, accounts.scope_needed,
        accounts.token_bound, accounts.login_needed, accounts.confirmation_needed, accounts.company_not_found,
        request.stale.
    Emits: company_changed.
    """
    actor = Actor.of(call)
    if "otp_demanded" in request:
        actor.require_recent_login()
    if "device_notices" in request:
        # A stolen API token must not silence what is told of stolen devices.
        actor.require_login()
    actor.require_scope(SCOPE_WRITE)
    company_id = administrated(actor, request)
    wanted = {name: request[name] for name in ("name", "vendor_customer_number") if name in request}

    def work(unit: Unit) -> dict[str, Any]:
        companies.hold(unit, company_id)
        row = companies.by_id(unit.connection, company_id)
        if row is None:
            raise not_found("accounts.company_not_found", "There is no such company; check the id.")
        if request.get("if_version") not in (None, row.version):
            raise stale("request.stale", "The company was changed since it was read: read it again.")
        changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
        noticed = notices.wanted(unit.connection, company_id)
        wants = request.get("device_notices", noticed)
        if wants != noticed:
            notices.want(unit, company_id, wanted=wants)
        demands = row.otp_demanded_at is not None
        if request.get("otp_demanded", demands) != demands:
            changed["otp_demanded_at"] = None if demands else unit.now
            for admin in notices.admins(unit.connection, company_id):
                assert database.keystore is not None
                act = {"act": "otp_demand_off" if demands else "otp_demand_on"}
                mails.queue(unit, database.keystore, "otp_demand_changed", admin.language, admin.email, act)
        if changed or wants != noticed:
            companies.change(unit, company_id, **changed)
            what = [name.removesuffix("_at") for name in changed]
            row = companies.by_id(unit.connection, company_id)
            assert row is not None
            unit.emit(
                "company_changed",
                subject=company_id,
                company_id=company_id,
                data={"name": row.name, "what": sorted([*what, *(["device_notices"] if wants != noticed else [])])},
            )
        return {**company_answer(row, actor.role if actor.owns(company_id) else None), "device_notices": wants}

    return database.command(call, "update_company", request, work) or {}


def company_answer(row: Any, role: str | None) -> dict[str, Any]:
    """Return a company as answers carry it."""
    return {
        "id": row.id,
        "name": row.name,
        "vendor_customer_number": row.vendor_customer_number,
        "role": role,
        "otp_demanded": row.otp_demanded_at is not None,
        "created_at": iso(row.created_at),
        "version": row.version,
    }
