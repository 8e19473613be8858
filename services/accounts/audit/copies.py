"""What other rooms copy of accounts' rows, for the audit: names of companies, and for whom absorbed ones stand."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.models import Company
from services.chassis.data.audit.checks import stream


def company_names(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the name of each company."""
    for row in stream(connection, sa.select(Company.id, Company.name)):
        yield row.id, row.name


def absorbed(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each absorbed company the one that stands for it."""
    columns = sa.select(Company.id, Company.absorbed_into)
    for row in stream(connection, columns.where(Company.absorbed_into.is_not(None))):
        yield row.id, row.absorbed_into
