"""The caller's own sessions, and what the gateways must not believe any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.domain import REVOCATION_WINDOW
from services.accounts.store import imports, sessions
from services.chassis.answers import Page, shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import ListRequest, read_text
from services.chassis.paging import Listing
from services.chassis.service.declare import query


@dataclass(frozen=True, slots=True)
class _Revocation:
    kind: str
    id: str
    company_id: str | None
    at: datetime


@query(request=ListRequest, answer=api.SessionList, needs=(needs.ACCOUNT,))
def list_sessions(database: Database, call: Call, request: Mapping[str, Any]) -> Page:
    """Return the caller's sessions that live, newest first (ACC-11)."""
    actor = Actor.of(call)
    listing, now = Listing(call, "list_sessions", request, own=True), datetime.now(UTC)
    after = listing.after(read_text)
    rows = database.read(lambda connection: sessions.living(connection, actor.user_id, now, after, listing.limit))
    page, following = listing.page(rows, lambda row: (row.id,))
    items = [shown(row, current=row.id == actor.session_id, company=row.company_id) for row in page]
    return Page(items, following)


@query(request=api.ListRevocationsRequest, answer=api.RevocationList, callers=("gateway",))
def list_revocations(database: Database, request: Mapping[str, Any]) -> dict[str, list[_Revocation]]:
    """Return what the gateways must not believe any more, of the last 16 minutes; older tokens have expired."""
    oldest = datetime.now(UTC) - REVOCATION_WINDOW
    since = max(oldest, request["since"] or oldest)

    def work(connection: Connection) -> list[_Revocation]:
        found = sessions.revocations(connection, since)
        items = [_Revocation(row.kind, row.subject_id, row.company_id, row.at) for row in found]
        # Tokens of both companies are renewed: those of one learn what it absorbed, those of the other are worth
        # nothing.
        items += [
            _Revocation("company", company_id, company_id, row.started_at)
            for row in imports.since(connection, since)
            for company_id in (row.company_id, row.gone_id)
        ]
        return items

    return {"items": database.read(work)}
