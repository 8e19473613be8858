"""What closes a project, until when at most, and the version of the copy.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; a closing without a name, as it was before, cannot be ended by anyone and is dropped."""
    op.add_column("projects", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("closing_id", sa.String(36)))
    op.add_column("projects", sa.Column("closing_until", UtcDateTime))
    op.drop_column("projects", "closing")
    op.create_index("ix_projects_closing_id", "projects", ["closing_id"], unique=True)
