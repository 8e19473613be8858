"""Rows to hold while a guess of an activation key is looked up and counted (S3).

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table of guessers."""
    metadata = sa.MetaData(naming_convention=NAMING)
    sa.Table("key_guessers", metadata, sa.Column("id", sa.String(36), primary_key=True))
    metadata.create_all(op.get_bind())
