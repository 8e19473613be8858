"""Accounts' own audit: people and their secrets; what imports left behind, and that every one came to its end."""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import aliased

from services.accounts.audit.grants import check_grants
from services.accounts.audit.offered import check_offered
from services.accounts.audit.people import check_people
from services.accounts.audit.told import check_told
from services.accounts.models import (
    ApiToken,
    Base,
    Company,
    CompanyImport,
    DeviceNotice,
    Invitation,
    Membership,
    Session,
    User,
)
from services.chassis.data.audit.checks import Check, Flaws, Report, read_all, stream
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.audit.rows import check_rows
from services.chassis.data.db import Database
from services.chassis.data.tables import metadata
from services.chassis.keys.keystore import KeyStore
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
    return outbox_report(
        connection,
        "accounts",
        partial(check_rows, connection, Base.metadata, metadata),
        partial(check_people, connection, keys),
        partial(check_told, connection),
        partial(check_grants, connection),
        partial(check_offered, connection),
        partial(check_imports, connection),
    )


def check_imports(connection: Connection) -> list[Check]:
    """Return the checks of imports of companies."""
    return [_aliases(connection), _emptied(connection), _finished(connection)]


def _aliases(connection: Connection) -> Check:
    """An absorbed company names the one that stands for it today, never one that is gone; each has its import."""
    flaws, checked = Flaws(), 0
    into = aliased(Company)
    imported = sa.exists().where(CompanyImport.gone_id == Company.id)
    gone = sa.select(Company.id, Company.absorbed_into, into.absorbed_into.label("gone_itself"), imported.label("told"))
    gone = gone.outerjoin(into, into.id == Company.absorbed_into).where(Company.absorbed_into.is_not(None))
    for row in stream(connection, gone):
        checked += 1
        if row.gone_itself is not None or row.absorbed_into == row.id:
            flaws.add(f"company {row.id} was absorbed by {row.absorbed_into}, which is gone itself")
        if not row.told:
            flaws.add(f"company {row.id} is gone without an import, or was imported and is still there")
    living = sa.exists().where(Company.id == CompanyImport.gone_id, Company.absorbed_into.is_not(None))
    for row in stream(connection, sa.select(CompanyImport.gone_id).where(~living)):
        flaws.add(f"company {row.gone_id} was imported and is still there")
    return Check("absorbed companies stand for one", checked, flaws.told())


_OWNED = (
    ("users", Membership.company_id, sa.true()),
    ("invitations", Invitation.company_id, sa.true()),
    ("sessions", Session.company_id, Session.ended_at.is_(None)),
    ("API tokens", ApiToken.company_id, ApiToken.revoked_at.is_(None)),
    ("users who come back to it", User.last_company_id, User.erased_at.is_(None)),
    ("held mails about devices", DeviceNotice.company_id, DeviceNotice.held),
)
"""What must not be an absorbed company's: what it is called, the column, and the rows that count."""


def _emptied(connection: Connection) -> Check:
    """An absorbed company is nobody's live owner: no users, invitations, logins, tokens, choices, notices (ACC-6)."""
    flaws = Flaws()
    gone = sa.select(Company.id).where(Company.absorbed_into.is_not(None))
    for what, column, living in _OWNED:
        statement = sa.select(column, sa.func.count().label("number")).where(column.in_(gone), living).group_by(column)
        for row in stream(connection, statement):
            flaws.add(f"company {row[0]} is gone and has {row.number} {what}")
    number = connection.scalar(sa.select(sa.func.count()).select_from(gone.subquery())) or 0
    return Check("absorbed companies are empty", number, flaws.told())


def _finished(connection: Connection) -> Check:
    """Every import was applied by all rooms; one under way ends by itself."""
    flaws, checked = Flaws(), 0
    for row in stream(
        connection, sa.select(CompanyImport.id, CompanyImport.finished_at).order_by(CompanyImport.started_at)
    ):
        checked += 1
        if row.finished_at is None:
            flaws.add(f"import {row.id} was not applied by every room; start the services and audit again")
    return Check("imports came to their end", checked, flaws.told(), passing=True)
