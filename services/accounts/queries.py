"""The reads of accounts: one function per read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import MERGING_ROOMS, SCOPE_ACCOUNT, Actor
from services.accounts.domain import EMAIL_CHANGE, FORMER_USER, REVOCATION_WINDOW, Membership
from services.accounts.store import companies, imports, mails, notices, people, service_accounts, sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import forbidden, not_found
from services.chassis.fields import read_text
from services.chassis.paging import Listing


def get_me(database: Database, call: Call) -> dict[str, Any]:
    """Return the caller's own account.

    Raises: accounts.user_not_found for an erased one.
    """
    actor = Actor.of(call)
    return database.read(lambda connection: me(connection, actor))


def me(connection: Connection, actor: Actor) -> dict[str, Any]:
    """Return the account of an actor as answers carry it.

    Raises: accounts.user_not_found for an erased one.
    """
    user = people.by_id(connection, actor.user_id)
    if user is None:
        raise not_found("accounts.user_not_found", "Your account was erased: log in with another one.")
    members = [] if user.staff else companies.memberships(connection, user.id)
    present = next((member for member in members if member.company_id == actor.company_id), None)
    now = datetime.now(UTC)
    return {
        "id": user.id,
        "email": user.email,
        "forename": user.forename,
        "surname": user.surname,
        "language": user.language,
        "vendor_customer_number": user.vendor_customer_number,
        "account_rights": sorted(user.account_rights),
        "staff": user.staff,
        "otp_enabled": user.otp_confirmed_at is not None,
        "otp_asked": user.staff and user.otp_confirmed_at is None,
        "pending_email": mails.pending_email(connection, EMAIL_CHANGE, user.id, now),
        "company": _ref(present) if present else None,
        "companies": [place(member) for member in members],
        "version": user.version,
    }


def list_sessions(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's sessions that live, newest first."""
    actor = Actor.of(call)
    actor.require_scope(SCOPE_ACCOUNT)
    listing, now = Listing(call, "list_sessions", request, own=True), datetime.now(UTC)
    after = listing.after(read_text)
    rows = database.read(lambda connection: sessions.living(connection, actor.user_id, now, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    items = [
        {
            "id": row.id,
            "current": row.id == actor.session_id,
            "created_at": iso(row.created_at),
            "last_used_at": iso(row.last_used_at),
            "expires_at": iso(row.expires_at),
            "user_agent": row.user_agent,
            "company": row.company_id,
        }
        for row in page
    ]
    return {"items": items, "next": following}


def get_company(database: Database, call: Call) -> dict[str, Any]:
    """Return the caller's company.

    Raises: accounts.company_needed, accounts.company_not_found.
    """
    actor = Actor.of(call)
    company_id = actor.require_company()
    row, wanted = database.read(
        lambda connection: (present_company(connection, company_id), notices.wanted(connection, company_id))
    )
    return {
        "id": row.id,
        "name": row.name,
        "vendor_customer_number": row.vendor_customer_number,
        "role": actor.role,
        "device_notices": wanted,
        "otp_demanded": row.otp_demanded_at is not None,
        "created_at": iso(row.created_at),
        "version": row.version,
    }


def get_company_staff(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return any company; an id that was absorbed leads to the company that it is part of now.

    Raises: accounts.staff_needed, accounts.company_not_found.
    """
    actor = Actor.of(call)
    actor.require_staff()

    def work(connection: Connection) -> dict[str, Any]:
        row = present_company(connection, companies.current_id(connection, request["company_id"]))
        absorbed = companies.absorbed_ids(connection, row.id)
        names = companies.names(connection, absorbed)
        return {
            "id": row.id,
            "name": row.name,
            "vendor_customer_number": row.vendor_customer_number,
            "otp_demanded": row.otp_demanded_at is not None,
            "created_at": iso(row.created_at),
            "version": row.version,
            "absorbed": [{"id": company_id, "name": names[company_id]} for company_id in absorbed],
        }

    return database.read(work)


def present_company(connection: Connection, company_id: str) -> Any:
    """Return a company that was not absorbed.

    Raises: accounts.company_not_found.
    """
    row = companies.by_id(connection, company_id)
    if row is None:
        raise not_found("accounts.company_not_found", "There is no such company; check the id.")
    return row


def list_companies_staff(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return companies whose name or vendor account id holds a text.

    Raises: accounts.staff_needed.
    """
    Actor.of(call).require_staff()
    listing = Listing(call, "list_companies_staff", request)
    after = listing.after(read_text)
    rows = database.read(lambda connection: companies.search(connection, request["q"], after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    items = [
        {
            "id": row.id,
            "name": row.name,
            "vendor_customer_number": row.vendor_customer_number,
            "users": row.users,
            "created_at": iso(row.created_at),
        }
        for row in page
    ]
    return {"items": items, "next": following}


def list_users_staff(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return users whose address or name holds a text.

    Raises: accounts.staff_needed.
    """
    Actor.of(call).require_staff()
    listing = Listing(call, "list_users_staff", request)
    after = listing.after(read_text)

    def work(connection: Connection) -> dict[str, Any]:
        rows = people.search(connection, request["q"], after, listing.limit)
        page, following = listing.page(rows, lambda row: (row.id,))
        members = companies.memberships_of(connection, [row.id for row in page])
        return {"items": [staff_user(row, members[row.id]) for row in page], "next": following}

    return database.read(work)


def staff_user(row: Any, members: Sequence[Membership]) -> dict[str, Any]:
    """Return a user as staff see them, with the memberships."""
    return {
        "id": row.id,
        "email": row.email,
        "forename": row.forename,
        "surname": row.surname,
        "active": True,
        "locked": row.locked,
        "staff": row.staff,
        "account_rights": sorted(row.account_rights),
        "companies": [place(member) for member in members],
    }


def get_names(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return names of persons and companies by id; only other rooms ask this.

    Erased persons are called "former user", in the language of the request.
    """
    Actor.of(call)
    former = FORMER_USER.get(call.language, FORMER_USER["en"])

    def work(connection: Connection) -> dict[str, Any]:
        # A service account stands where a person would: it enters orders.
        names = people.names(connection, request["user_ids"])
        names |= service_accounts.names(connection, request["user_ids"])
        return {
            "users": {user_id: name or former for user_id, name in names.items()},
            "companies": companies.names(connection, request["company_ids"]),
        }

    return database.read(work)


def list_revocations(database: Database, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the gateways must not believe any more, of the last 16 minutes; older tokens have expired."""
    oldest = datetime.now(UTC) - REVOCATION_WINDOW
    since = max(oldest, request["since"] or oldest)

    def work(connection: Connection) -> tuple[Sequence[Any], Sequence[Any]]:
        return sessions.revocations(connection, since), imports.since(connection, since)

    ended, imported = database.read(work)
    items = [{"kind": row.kind, "id": row.subject_id, "company_id": row.company_id, "at": iso(row.at)} for row in ended]
    # Tokens of both companies are renewed: those of one learn what it absorbed, those of the other are worth nothing.
    items += [
        {"kind": "company", "id": company_id, "company_id": company_id, "at": iso(row.started_at)}
        for row in imported
        for company_id in (row.company_id, row.gone_id)
    ]
    return {"items": items}


def list_api_tokens(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's API tokens, newest first, without their secrets.

    Raises: accounts.login_needed, accounts.confirmation_needed, accounts.scope_needed.
    """
    actor = Actor.of(call)
    actor.require_recent_login()
    if SCOPE_ACCOUNT not in actor.scopes:
        raise forbidden("accounts.scope_needed", "API tokens are managed after a login, not by an API token: log in.")
    listing = Listing(call, "list_api_tokens", request, own=True)
    after = listing.after(read_text)
    rows = database.read(lambda connection: sessions.api_tokens(connection, actor.user_id, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    return {"items": [api_token_item(row) for row in page], "next": following}


def api_token_item(row: Any) -> dict[str, Any]:
    """Return an API token as lists carry it, without its secret."""
    return {
        "id": row.id,
        "name": row.name,
        "scopes": list(row.scopes),
        "project_id": row.project_id,
        "company_id": row.company_id,
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "last_used_at": iso(row.last_used_at),
    }


def get_job(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return an import of the caller's company, for its administrators, for who started it, and for staff.

    Raises: accounts.job_not_found, accounts.admin_needed.
    """
    actor = Actor.of(call)

    def work(connection: Connection) -> dict[str, Any]:
        row = imports.by_id(connection, request["job_id"])
        if row is None or not (actor.staff or actor.owns(row.company_id)):
            raise not_found(
                "accounts.job_not_found", "There is no such job of your company: use the address that its start gave."
            )
        if not actor.staff and row.started_by != actor.user_id:
            actor.require_admin()
        return job_answer(connection, row)

    return database.read(work)


def job_answer(connection: Connection, row: Any) -> dict[str, Any]:
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
        "created_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "result": result if done else None,
    }


def _ref(member: Membership) -> dict[str, Any]:
    return {"id": member.company_id, "name": member.company_name, "role": member.role}


def place(member: Membership) -> dict[str, Any]:
    """Return a membership in a list of all that a person has, with its lock."""
    return {**_ref(member), "locked": member.locked}
