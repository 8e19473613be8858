"""Companies: the caller's own, and any for staff."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts.access import present_company
from services.accounts.api import Actor
from services.accounts.store import companies, notices
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing


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
