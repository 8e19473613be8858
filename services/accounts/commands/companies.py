"""Companies: making and renaming them (ACC-3)."""

from collections.abc import Mapping
from typing import Any, Final

from services.accounts import api
from services.accounts.access import present_company
from services.accounts.api import ADMIN, Actor, needs
from services.accounts.commands.invitations import staff_in_company
from services.accounts.domain import COMPANIES_AT_MOST
from services.accounts.store import companies, mails, notices, people, sessions
from services.chassis.answers import Answer, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, not_found, stale
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import run

_CHANGING: Final = (
    *needs.RECENT_LOGIN.raises,
    *needs.WRITE.raises,
    "accounts.company_not_found",
    "request.stale",
)
"""What a change of a company is refused with, besides who may not do it; a login is asked for by fields."""


@command(
    request=api.CreateCompanyRequest,
    answer=api.CompanyRef,
    needs=(needs.ACCOUNT,),
    raises=("accounts.user_not_found", "accounts.staff_in_company", "accounts.too_many_companies"),
    emits=("company_created",),
)
def create_company(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Make a company with the caller as its first administrator (ACC-3, ACC-4); the caller's session is in it then.

    The token in hand does not name the company yet: the next refresh or `renew_token` does.
    """
    actor = Actor.of(call)

    def work(unit: Unit) -> dict[str, str]:
        user = people.locked_by_id(unit, actor.user_id)
        if user is None:
            raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
        if user.staff:
            raise staff_in_company()
        if len(companies.memberships(unit.connection, actor.user_id)) >= COMPANIES_AT_MOST:
            raise conflict(
                "accounts.too_many_companies",
                f"You are already in {COMPANIES_AT_MOST} companies: leave one, or ask the vendor.",
                limit=COMPANIES_AT_MOST,
            )
        company_id = new_id()
        companies.add(unit, company_id, request["name"], request["vendor_customer_number"])
        companies.add_membership(unit, company_id, actor.user_id, ADMIN)
        people.touch(unit, actor.user_id, last_company_id=company_id)
        sessions.enter(unit, actor.session_id, company_id)
        unit.emit("company_created", subject=company_id, company_id=company_id, data={"name": request["name"]})
        return {"id": company_id, "name": request["name"], "role": ADMIN}

    # The scope is the person: the same key must not make a second company after the switch.
    return run(database, call, request, work, scope=actor.user_id)


@command(
    request=api.UpdateCompanyRequest,
    answer=api.Company,
    raises=(*_CHANGING, *needs.ADMINISTRATOR.raises),
    emits=("company_changed",),
)
def update_company(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Change name or vendor account id of the caller's company; what is absent stays.

    `device_notices` is closed to API tokens. `otp_demanded` needs a recent login, and is mailed to the administrators:
    from their next login on, users need a second factor.
    """
    actor = _changing(call, request)
    return _update(database, call, request, actor.require_admin())


@command(
    request=api.UpdateCompanyStaffRequest,
    answer=api.Company,
    raises=(*_CHANGING, *needs.STAFF.raises),
    emits=("company_changed",),
)
def update_company_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Answer:
    """Change any company as its administrators can, by staff (ACC-10)."""
    _changing(call, request).require_staff()
    return _update(database, call, request, request["company_id"])


def _changing(call: Call, request: Mapping[str, Any]) -> Actor:
    """Return who changes a company, after what single fields need."""
    actor = Actor.of(call)
    if "otp_demanded" in request:
        actor.require_recent_login()
    if "device_notices" in request:
        # A stolen API token must not silence what is told of stolen devices.
        actor.require_login()
    actor.require_scope(api.SCOPE_WRITE)
    return actor


def _update(database: Database, call: Call, request: Mapping[str, Any], company_id: str) -> Answer:
    actor = Actor.of(call)
    wanted = {name: request[name] for name in ("name", "vendor_customer_number") if name in request}

    def work(unit: Unit) -> Shown:
        companies.hold(unit, company_id)
        row = present_company(unit.connection, company_id)
        if request.get("if_version") not in (None, row.version):
            raise stale("request.stale", "The company has changed since it was read: read it again.")
        changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
        noticed = notices.wanted(unit.connection, company_id)
        wants = request.get("device_notices", noticed)
        if wants != noticed:
            notices.want(unit, company_id, wanted=wants)
        if request.get("otp_demanded", row.otp_demanded) != row.otp_demanded:
            changed["otp_demanded_at"] = None if row.otp_demanded else unit.now
            _tell_admins(database, unit, company_id, "otp_demand_off" if row.otp_demanded else "otp_demand_on")
        if changed or wants != noticed:
            companies.change(unit, company_id, **changed)
            what = [name.removesuffix("_at") for name in changed]
            row = present_company(unit.connection, company_id)
            data = {"name": row.name, "what": sorted([*what, *(["device_notices"] if wants != noticed else [])])}
            unit.emit("company_changed", subject=company_id, company_id=company_id, data=data)
        return shown(row, role=actor.role if actor.owns(company_id) else None, device_notices=wants)

    # Both doors keep their answers under the one name.
    return run(database, call, request, work, name="update_company")


def _tell_admins(database: Database, unit: Unit, company_id: str, act: str) -> None:
    assert database.keystore is not None
    for admin in notices.admins(unit.connection, company_id):
        mails.queue(unit, database.keystore, "otp_demand_changed", admin.language, admin.email, {"act": act})
