"""Epochs of the log, emissions in the order of commits, what is remembered of applied events, resumed orders.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.migrations import add_epochs
from services.chassis.data.tables import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns and tables of the chassis (R25, L19), and when an order was taken up again (L8)."""
    add_epochs(op)
    op.add_column("orders", sa.Column("resumed_at", UtcDateTime))
    entered = sa.text("state = 'entered'")
    op.create_index("ix_orders_entered", "orders", ["created_at"], postgresql_where=entered, sqlite_where=entered)
