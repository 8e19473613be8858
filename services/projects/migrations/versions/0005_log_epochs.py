"""Epochs of the log, emissions in the order of commits, and what is remembered of applied events (R25, L19).

Revision ID: 0005
"""

from alembic import op

from services.chassis.data.migrations import add_epochs

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and tables of the chassis."""
    add_epochs(op)
