"""Accounts' own audit: people and their secrets; what imports left behind, and that every one came to its end."""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.audit_people import check_people
from services.accounts.models import ApiToken, Company, CompanyImport, Invitation, Membership, Session
from services.chassis.audit import Check, Flaws, Report, outbox_report, read_all
from services.chassis.db import Database
from services.chassis.keystore import KeyStore
from services.chassis.settings import Settings


def audit(settings: Settings) -> Report:
    """Audit accounts' database against itself."""
    database = Database.from_settings(settings, "accounts", pool_size=1)
    keys = KeyStore.from_settings(settings, "accounts")
    try:
        return read_all(database, partial(report, keys=keys))
    finally:
        database.close()


def report(connection: Connection, keys: KeyStore) -> Report:
    """Report all checks over one snapshot."""
    return outbox_report(connection, "accounts", [*check_people(connection, keys), *check_imports(connection)])


def check_imports(connection: Connection) -> list[Check]:
    """Return the checks of imports of companies."""
    return [_aliases(connection), _emptied(connection), _finished(connection)]


def _aliases(connection: Connection) -> Check:
    """An absorbed company names the one that stands for it today, never one that is gone; each has its import."""
    flaws = Flaws()
    rows = connection.execute(sa.select(Company.id, Company.absorbed_into)).all()
    gone = {row.id: row.absorbed_into for row in rows if row.absorbed_into is not None}
    imported = set(connection.scalars(sa.select(CompanyImport.gone_id)))
    for company_id, into_id in gone.items():
        if into_id in gone or into_id == company_id:
            flaws.add(f"company {company_id} was absorbed by {into_id}, which is gone itself")
    for company_id in gone.keys() ^ imported:
        flaws.add(f"company {company_id} is gone without an import, or was imported and is still there")
    return Check("absorbed companies stand for one", len(gone), flaws.told())


def _emptied(connection: Connection) -> Check:
    """Nobody belongs to an absorbed company, is invited to it, or has a living login in it."""
    flaws = Flaws()
    gone = sa.select(Company.id).where(Company.absorbed_into.is_not(None))
    for what, column, living in (
        ("users", Membership.company_id, sa.true()),
        ("invitations", Invitation.company_id, sa.true()),
        ("sessions", Session.company_id, Session.ended_at.is_(None)),
        ("API tokens", ApiToken.company_id, ApiToken.revoked_at.is_(None)),
    ):
        statement = sa.select(column, sa.func.count().label("number")).where(column.in_(gone), living).group_by(column)
        for row in connection.execute(statement):
            flaws.add(f"company {row[0]} is gone and has {row.number} {what}")
    return Check("absorbed companies are empty", len(connection.execute(gone).all()), flaws.told())


def _finished(connection: Connection) -> Check:
    """Every import was applied by all rooms; one under way ends by itself."""
    flaws = Flaws()
    rows = connection.execute(sa.select(CompanyImport.id, CompanyImport.finished_at)).all()
    for row in rows:
        if row.finished_at is None:
            flaws.add(f"import {row.id} was not applied by every room; start the services and audit again")
    return Check("imports came to their end", len(rows), flaws.told(), passing=True)
