"""The caller's own sessions, and what the gateways must not believe any more."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from services.accounts.api import SCOPE_ACCOUNT, Actor
from services.accounts.domain import REVOCATION_WINDOW
from services.accounts.store import imports, sessions
from services.accounts.times import iso
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import read_text
from services.chassis.paging import Listing


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
