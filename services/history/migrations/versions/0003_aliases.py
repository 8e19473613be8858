"""Ids of companies that another one absorbed, and of records that were joined with another by that (ACC-6).

Revision ID: 0003
"""

from alembic import op

from services.chassis.data.aliases import create_aliases_table

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    create_aliases_table(op)
