"""Projects that are closed for a deletion under way.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the deletion for which a project is closed."""
    op.add_column("projects", sa.Column("closing_id", sa.String(36)))
    op.create_index("ix_projects_closing_id", "projects", ["closing_id"], unique=True)
