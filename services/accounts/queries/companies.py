"""Companies: the caller's own, and any for staff."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import present_company
from services.accounts.api import Actor, needs
from services.accounts.store import companies, notices
from services.chassis.answers import Page, Shown, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import EmptyRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@query(request=EmptyRequest, answer=api.Company, needs=(needs.COMPANY,), raises=("accounts.company_not_found",))
def get_company(database: Database, call: Call) -> Shown:
    """Return the caller's company."""
    actor = Actor.of(call)
    company_id = actor.require_company()
    row, wanted = database.read(
        lambda connection: (present_company(connection, company_id), notices.wanted(connection, company_id))
    )
    return shown(row, role=actor.role, device_notices=wanted)


@query(
    request=api.CompanyIdRequest,
    answer=api.StaffCompanyDetail,
    needs=(needs.STAFF,),
    raises=("accounts.company_not_found",),
)
def get_company_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Shown:
    """Return any company; an id that was absorbed leads to the company that it is part of now (ACC-10)."""

    def work(connection: Connection) -> Shown:
        row = present_company(connection, companies.current_id(connection, request["company_id"]))
        absorbed = companies.absorbed_ids(connection, row.id)
        names = companies.names(connection, absorbed)
        return shown(row, absorbed=[{"id": company_id, "name": names[company_id]} for company_id in absorbed])

    return database.read(work)


@query(request=api.SearchRequest, answer=api.StaffCompanyList, needs=(needs.STAFF,))
def list_companies_staff(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return companies whose name or vendor account id holds a text (ACC-10)."""
    listing = Listing(call, "list_companies_staff", request)
    after = listing.after(read_text)
    rows = database.read(lambda connection: companies.search(connection, request["q"], after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    return Page([*page], following)
