"""Ids of companies that another one absorbed (ACC-6).

Revision ID: 0004
"""

from alembic import op

from services.chassis.data.aliases import create_aliases_table

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    create_aliases_table(op)
