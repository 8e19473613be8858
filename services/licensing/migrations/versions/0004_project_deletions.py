"""Deletions of projects, and what closes a copy of one.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table of deletions and add the columns of the copies."""
    op.add_column("projects", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("closing_id", sa.String(36)))
    op.create_index("ix_projects_closing_id", "projects", ["closing_id"], unique=True)
    # One collection, so that the names of constraints follow the house's convention.
    metadata = sa.MetaData(naming_convention=NAMING)
    live = sa.text("state IN ('counting', 'closing')")
    table = sa.Table(
        "project_deletions",
        metadata,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("company_id", sa.String(36), nullable=False),
        sa.Column("closing_id", sa.String(36), nullable=False, unique=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("blockers", sa.JSON, nullable=False),
        sa.Column("created_by", sa.String(36), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("settled_at", UtcDateTime),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.CheckConstraint("state IN ('counting', 'closing', 'deleted', 'refused', 'abandoned')", name="state_known"),
    )
    sa.Index("ix_project_deletions_project_id", table.c.project_id)
    sa.Index("uq_project_deletions_live", table.c.project_id, unique=True, postgresql_where=live, sqlite_where=live)
    untold = sa.text("NOT told")
    sa.Index("ix_project_deletions_untold", table.c.started_at, postgresql_where=untold, sqlite_where=untold)
    metadata.create_all(op.get_bind())
