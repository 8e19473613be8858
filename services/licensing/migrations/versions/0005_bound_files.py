"""Files bound to keys: the counter that a device named, whose word a certificate has, keys that companies accepted.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING, UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("file_counters", sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"))
    # Whose word the certificates of before had is not known: whoever did not request them is asked once.
    op.add_column("certificates", sa.Column("renews", sa.String(64)))
    metadata = sa.MetaData(naming_convention=NAMING)
    sa.Table(
        "certificate_acceptances",
        metadata,
        sa.Column("company_id", sa.String(36), primary_key=True),
        sa.Column("hardware_id", sa.String(32), primary_key=True),
        sa.Column("key_digest", sa.String(64), primary_key=True),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("accepted_by", sa.String(36), nullable=False),
        sa.Column("accepted_at", UtcDateTime, nullable=False),
    )
    metadata.create_all(op.get_bind())
