"""Which companies have which devices, as devices tell: who is told of an addition by devices is not told twice.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    metadata = sa.MetaData(naming_convention=NAMING)
    sa.Table(
        "device_holders",
        metadata,
        sa.Column("device_id", sa.String(36), primary_key=True),
        sa.Column("hardware_id", sa.String(32), nullable=False, index=True),
        sa.Column("company_id", sa.String(36), nullable=False),
    )
    metadata.create_all(op.get_bind())
