"""Demanded second factors, since when a session is in its company, and an end of every API token.

Revision ID: 0008
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0008"
down_revision = "0007"

_LONGEST = timedelta(days=365)


def upgrade() -> None:
    """Add the columns; sessions came into their company when they began, and API tokens live for a year from now."""
    op.add_column("companies", sa.Column("otp_demanded_at", UtcDateTime(), nullable=True))
    op.add_column("sessions", sa.Column("company_since", UtcDateTime(), nullable=True))
    op.execute("UPDATE sessions SET company_since = created_at")
    tokens = sa.table("api_tokens", sa.column("expires_at", UtcDateTime()), sa.column("revoked_at", UtcDateTime()))
    latest = datetime.now(UTC) + _LONGEST
    endless = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > latest)
    op.execute(sa.update(tokens).where(endless).values(expires_at=latest))
