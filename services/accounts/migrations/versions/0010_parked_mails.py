"""An index of the mails that somebody must look at, so that counting them costs nothing however many were sent.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_PARKED = sa.text("parked_at IS NOT NULL")


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_mails_parked_at", "mails", ["parked_at"], postgresql_where=_PARKED, sqlite_where=_PARKED)
