"""What a certificate is worth: whether the record that got it was proven or claimed (DEV-15).

What it was for the certificates of before is not known here, so they count as claimed: they prove nothing, and whoever
proves possession ends those of others. A proof of the own company makes them good again, without a new certificate.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column."""
    op.add_column("certificates", sa.Column("possession", sa.String(8), nullable=False, server_default="claimed"))
