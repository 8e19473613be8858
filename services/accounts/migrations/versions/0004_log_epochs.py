"""Epochs of the log, emissions in the order of commits, what is remembered of applied events (R25, L19), parked mails.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.migrations import add_epochs
from services.chassis.data.tables import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and tables of the chassis, and when a mail was parked."""
    add_epochs(op)
    op.add_column("mails", sa.Column("parked_at", UtcDateTime))
