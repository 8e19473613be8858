"""Possession: by what a company's record of a device was proven (DEV-15).

Records of before that came by an order's number are proven by it; all others are claimed, because a hardware id
proves nothing and nobody remembers what else was known then. Their companies prove them by the number, by the
device's key or by staff.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and fill it from the order numbers."""
    op.add_column("devices", sa.Column("proven_by", sa.String(12)))
    op.execute("UPDATE devices SET proven_by = 'order_number' WHERE order_number IS NOT NULL")
