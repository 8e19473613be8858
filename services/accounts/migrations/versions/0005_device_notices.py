"""Mails about devices that a company paid licenses for: whether it wants them, and when the last one went out.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "device_notices",
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name=op.f("fk_device_notices_company_id_companies")),
        sa.PrimaryKeyConstraint("company_id", name=op.f("pk_device_notices")),
    )
