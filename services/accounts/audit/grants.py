"""The part of accounts' audit about what speaks for people: sessions, tokens, service accounts; and names and imports.

Each row is compared with the event that told of it: for whom it is, what it may, until when (L18).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.orm import aliased

from services.accounts.domain import INVITATION_LIFE, SESSION_LIFE
from services.accounts.models import ApiToken, Company, CompanyImport, Invitation, ServiceAccount, ServiceToken, Session
from services.accounts.times import iso
from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged

Facts = Mapping[str, Any]
_BOUND: Final = ("user_id", "account_id", "name", "scopes", "expires_at", "project_id")


def check_grants(connection: Connection) -> list[Check]:
    """Return the checks of sessions, tokens, service accounts, invitations, names of companies, and imports.

    Args:
        connection: of a snapshot.
    """
    session, token, account, service = Session, ApiToken, ServiceAccount, ServiceToken
    return [
        _granted(
            connection,
            "sessions",
            sa.select(session.id, session.user_id, session.created_at, session.ended_at, session.expires_at),
            ("session_created", "session_revoked"),
            "session_id",
        ),
        _granted(
            connection,
            "API tokens",
            sa.select(token.__table__, token.revoked_at.label("ended_at")),
            ("api_token_created", "api_token_revoked"),
            "token_id",
        ),
        _granted(
            connection,
            "service accounts",
            sa.select(account.__table__),
            ("service_account_created", "service_account_ended"),
            "account_id",
        ),
        _granted(
            connection,
            "service tokens",
            sa.select(service.id, service.account_id, service.created_at, service.expires_at).add_columns(
                service.revoked_at.label("ended_at")
            ),
            ("service_token_created", "service_token_revoked"),
            "token_id",
        ),
        _invitations(connection),
        _companies(connection),
        _imports(connection),
    ]


def _granted(connection: Connection, what: str, statement: Any, types: tuple[str, str], named: str) -> Check:
    """Everything was told when it was made, is as told, and has ended if its end was told; what is swept is no flaw."""
    flaws, checked = Flaws(), 0
    with Scratch() as told:
        for row, event in events(connection, types):
            with flaws.reading(f"event {row.id} about {what}"):
                fact = [event.type == types[0], row.created_at.isoformat(), event.companyid, dict(event.data)]
                told.add(event.data[named], json.dumps(fact))
        rows = stream(connection, statement.order_by(in_order(connection, statement.selected_columns.id)))
        for key, found, facts in merged(((row.id, row) for row in rows), told.items()):
            for row in found:
                checked += 1
                with flaws.reading(f"what was told of {what}: {key}"):
                    for flaw in _grant_flaws(connection, row, [json.loads(fact) for fact in facts]):
                        flaws.add(f"{what}: {key} {flaw}")
    return Check(f"{what} are as they were told", checked, flaws.told())


def _grant_flaws(connection: Connection, row: Row[Any], told: list[Any]) -> Iterator[str]:
    made = [fact for fact in told if fact[0]]
    if len(made) != 1:
        yield f"was told as made {len(made)} times"
        return
    (_, at, company_id, data) = made[0]
    if row.created_at != datetime.fromisoformat(at):
        yield f"was made at {row.created_at:%Y-%m-%d %H:%M:%S}, and was told at {at}"
    for name in _BOUND:
        stored = getattr(row, name, None)
        shown = iso(stored) if isinstance(stored, datetime) else stored
        # Events of old say less.
        if name in data and hasattr(row, name) and shown != data[name]:
            yield f"has {name} = {shown}, and was told with {data[name]}"
    if hasattr(row, "company_id") and row.company_id not in (company_id, _today(connection, company_id)):
        yield f"is for company {row.company_id}, and was told for {company_id}"
    if "session_id" in data and row.expires_at > row.created_at + SESSION_LIFE:
        yield f"ends at {row.expires_at:%Y-%m-%d %H:%M:%S}, later than a session made at {row.created_at:%Y-%m-%d} does"
    if len(told) > len(made) and row.ended_at is None:
        yield "has not ended, and was told as ended"


def _today(connection: Connection, company_id: str | None) -> str | None:
    into: str | None = connection.scalar(sa.select(Company.absorbed_into).where(Company.id == company_id))
    return into or company_id


def _invitations(connection: Connection) -> Check:
    """Every open invitation was told for its company, or for one that this company imported."""
    flaws = Flaws()

    def flawed(row: Any, companies: list[str]) -> str | None:
        if row.expires_at > row.created_at + INVITATION_LIFE:
            return f"invitation {row.id} ends at {row.expires_at:%Y-%m-%d %H:%M:%S}, later than an invitation does"
        if row.company_id in {_today(connection, company_id) for company_id in companies}:
            return None
        return f"invitation {row.id} is of company {row.company_id}, and was told of {companies}"

    statement = sa.select(Invitation.id, Invitation.company_id, Invitation.created_at, Invitation.expires_at)
    checked = _each(connection, flaws, statement, ("company_user_invited",), lambda event: event.companyid, flawed)
    return Check("invitations are as they were told", checked, flaws.told())


def _companies(connection: Connection) -> Check:
    """Every company that was told is there, has the name that was told last, and demands a second factor as told."""
    flaws = Flaws()

    def flawed(row: Any, facts: list[str]) -> str | None:
        said = [json.loads(fact) for fact in facts]
        if not said or said[-1][0] != row.name:
            return f"company {row.id} is called {row.name!r}, and was told as {[name for name, _ in said[-1:]]}"
        # It is told as changed, and only when it is: an odd number of times where it is on.
        if (row.otp_demanded_at is not None) != (sum(turned for _, turned in said) % 2 == 1):
            is_on = row.otp_demanded_at is not None
            return f"company {row.id} demands {'a' if is_on else 'no'} second factor, and was told otherwise"
        return None

    def fact_of(event: Any) -> str:
        return json.dumps([event.data["name"], "otp_demanded" in event.data.get("what", ())])

    statement = sa.select(Company.id, Company.name, Company.otp_demanded_at)
    types = ("company_created", "company_changed")
    checked = _each(
        connection, flaws, statement, types, fact_of, flawed, missing="company {} was told and is not there"
    )
    return Check("companies have the names that were told", checked, flaws.told())


def _each(
    connection: Connection,
    flaws: Flaws,
    statement: Any,
    types: tuple[str, ...],
    fact_of: Callable[[Any], Any],
    flawed: Callable[[Any, list[str]], str | None],
    missing: str = "",
) -> int:
    checked = 0
    with Scratch() as told:
        for row, event in events(connection, types):
            with flaws.reading(f"event {row.id}, {event.type}"):
                told.add(event.subject, str(fact_of(event)))
        rows = stream(connection, statement.order_by(in_order(connection, statement.selected_columns.id)))
        for key, found, facts in merged(((row.id, row) for row in rows), told.items()):
            if missing and not found:
                flaws.add(missing.format(key))
            for one in found:
                checked += 1
                flaw = flawed(one, facts)
                if flaw is not None:
                    flaws.add(flaw)
    return checked


def _imports(connection: Connection) -> Check:
    """Every import was told with both companies, and whoever is gone stands for the company that imported it."""
    flaws, checked = Flaws(), 0
    into = aliased(Company)
    stands = sa.func.coalesce(into.absorbed_into, into.id)
    of_gone = (
        sa.select(Company.id, Company.absorbed_into, CompanyImport.company_id, stands.label("stands"))
        .join(CompanyImport, CompanyImport.gone_id == Company.id)
        .outerjoin(into, into.id == CompanyImport.company_id)
    )
    for row in stream(connection, of_gone.where(Company.absorbed_into.is_not(None))):
        if row.absorbed_into != row.stands:
            flaws.add(f"company {row.id} was imported by {row.stands}, and stands for {row.absorbed_into}")
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, ("company_merged",)):
            with flaws.reading(f"event {row.id} about an import"):
                data = event.data
                told.add(data["merge_id"], json.dumps([data["company_id"], data["gone_id"], data["gone_ids"]]))
        columns = (CompanyImport.company_id, CompanyImport.gone_id, CompanyImport.gone_ids)
        for one in stream(connection, sa.select(CompanyImport.id, *columns)):
            stored.add(one.id, json.dumps(list(one[1:])))
        for key, found, facts in merged(stored.items(), told.items()):
            checked += len(found)
            if not found or found[0] not in facts:
                flaws.add(f"import {key} is {found}, and was told as {facts[:1]}")
    return Check("imports are as they were told", checked, flaws.told())
