"""What accounts holds of a person, as one document for that person (ACC-12); no secrets and no other persons."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.access import own_account
from services.accounts.api import Actor, needs
from services.accounts.commands.me import me
from services.accounts.store import companies, invitations, people, sessions, undos
from services.accounts.store.sessions import StoredApiToken, StoredSession
from services.accounts.times import iso
from services.chassis.answers import dump
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import query

MOST: Final = 1000
"""Sessions and API tokens in the document at most, the newest ones."""

_SESSION: Final = (
    "id",
    "company_id",
    "user_agent",
    "created_at",
    "last_used_at",
    "expires_at",
    "ended_at",
    "end_reason",
)
_API_TOKEN: Final = (
    "id", "company_id", "name", "scopes", "project_id", "created_at", "expires_at", "last_used_at", "revoked_at",
)  # fmt: skip


@query(request=EmptyRequest, answer=api.Export, needs=(needs.ACCOUNT,), raises=("accounts.user_not_found",))
def export_me(database: Database, call: Call) -> dict[str, Any]:
    """Return everything that accounts holds of the caller."""
    actor = Actor.of(call)
    return database.read(lambda connection: _document(connection, actor), snapshot=True)


def _document(connection: Connection, actor: Actor) -> dict[str, Any]:
    account = dump(api.Me, me(connection, actor))
    user = own_account(connection, actor)
    now = datetime.now(UTC)
    places = people.known_addresses(connection, user.id)
    return {
        "made_at": iso(now),
        "account": {
            **{name: value for name, value in account.items() if name not in ("company", "companies", "version")},
            "locked": user.locked,
            "created_at": iso(user.created_at),
            "second_factor_since": iso(user.otp_confirmed_at),
            "last_company_id": user.last_company_id,
        },
        "companies": [
            {
                "id": row.company_id,
                "name": row.name,
                "role": row.role,
                "locked": row.locked,
                "since": iso(row.created_at),
            }
            for row in companies.joined_by(connection, user.id)
        ],
        "invitations": [
            {"company": row.company_name, "invited_at": iso(row.created_at), "expires_at": iso(row.expires_at)}
            for row in invitations.of_address(connection, user.email_normalized, now, None, MOST)
        ],
        "former_addresses": [
            {"email": row.email, "can_be_restored_until": iso(row.expires_at)}
            for row in undos.open_ones(connection, user.id, now)
        ],
        "sessions": _told(sessions.all_of(connection, user.id, MOST), _SESSION),
        "api_tokens": _told(sessions.all_api_tokens_of(connection, user.id, MOST), _API_TOKEN),
        # The addresses themselves are not stored, only digests of them.
        "places_logged_in_from": {"count": len(places), "last_seen_at": [iso(moment) for moment in places]},
    }


def _told(rows: Sequence[StoredSession | StoredApiToken], columns: Sequence[str]) -> list[dict[str, Any]]:
    values = ({name: getattr(row, name) for name in columns} for row in rows)
    return [
        {name: iso(value) if isinstance(value, datetime) else value for name, value in line.items()} for line in values
    ]
